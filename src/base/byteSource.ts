/**
 * Bytes come from a `ByteSource` and go to a `ByteSink`, both passed in: a file, a mapped file, a
 * buffer, an HTTP range. Rooms that may not touch Node still read checkpoints and write metrics.
 */
export interface ByteSource {
  readonly name: string;
  readonly byteLength: number;
  /** A copy of `length` bytes from `offset`; both lie inside the source. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The same bytes without a copy, where the source can give them (a mapped file, a buffer). */
  view?(offset: number, length: number): Uint8Array;
}

export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
  /** Makes what was written durable and closes; nothing may be written afterwards. */
  close(): Promise<void>;
}

/** A folder of named byte sources, with no way out of it: what a checkpoint loader is given. */
export interface ByteFolder {
  readonly name: string;
  list(): Promise<readonly string[]>;
  open(file: string): Promise<ByteSource>;
}

export function byteSourceOf(bytes: Uint8Array, name = 'memory'): ByteSource {
  return {
    name,
    byteLength: bytes.byteLength,
    read: async (offset, length) => bytes.slice(offset, offset + length),
    view: (offset, length) => bytes.subarray(offset, offset + length),
  };
}
