/** A folder in memory: what checkpoint tests write to and read from. */
import { type ByteFolder, type ByteSink, byteSourceOf } from '../../src/base/byteSource.ts';

export interface MemoryFolder extends ByteFolder {
  readonly files: Map<string, Uint8Array>;
  /** A file that appears when its sink is closed. */
  create(file: string): Promise<ByteSink>;
}

export function memoryFolder(files: Iterable<readonly [string, Uint8Array]> = []): MemoryFolder {
  const contents = new Map(files);
  return {
    name: 'memory',
    files: contents,
    list: async () => [...contents.keys()],
    open: async (file) => byteSourceOf(contents.get(file) ?? new Uint8Array(), file),
    create: async (file) => memorySink((bytes) => contents.set(file, bytes)),
  };
}

/** Gives all that was written to `done` when closed. */
export function memorySink(done: (bytes: Uint8Array) => void): ByteSink {
  const parts: Uint8Array[] = [];
  return {
    write: async (bytes) => {
      parts.push(bytes.slice());
    },
    close: async () => done(concatenate(parts)),
  };
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.byteLength, 0));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.byteLength;
  }
  return bytes;
}
