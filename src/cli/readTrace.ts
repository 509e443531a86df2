/** A trace from a file, plain or gzip (told by its first bytes), read piece by piece. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { MoebiusError } from '../base/errors.ts';
import { createTraceBuilder } from '../simulator/trace/buildTrace.ts';
import type { Trace } from '../simulator/trace/deviceTrace.ts';
import { scanTrace } from '../simulator/trace/scanTrace.ts';

const CHUNK_BYTES = 1 << 20;

/** @throws trace.malformed, trace.event, trace.empty */
export async function readTrace(path: string): Promise<Trace> {
  const magic = await firstBytes(path);
  const builder = createTraceBuilder();
  const scanner = scanTrace(builder.add);
  if (magic === 'PK') {
    throw new MoebiusError('trace.malformed', `${path} is a zip archive`, {
      hint: 'Unpack it and give the JSON file; gzip is read as it is.',
    });
  }
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  const isGzip = magic === '\u001f\u008b';
  // The loop below meets every error; the callback only keeps it from being nobody's.
  const bytes = isGzip
    ? pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => undefined)
    : file;
  try {
    for await (const chunk of bytes) scanner.push(chunk as Buffer);
  } catch (error) {
    if (!isGzipError(error)) throw error;
    throw new MoebiusError('trace.malformed', `${path} is damaged gzip`, {
      values: { reason: (error as Error).message },
      hint: 'Copy or record the trace again.',
      cause: error,
    });
  }
  return builder.build(scanner.end());
}

function isGzipError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_/.test(String(error.code));
}

async function firstBytes(path: string): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
