/**
 * Safetensors: tensors by name in one file, ready to be mapped.
 *
 *     ┌ 8 bytes ┬ n bytes ────────────────────────────┬ data ──────────────────┐
 *     │ n (LE)  │ {"name": {dtype, shape,             │ every byte belongs to  │
 *     │         │   data_offsets: [begin, end)}, … }  │ one tensor exactly     │
 *     └─────────┴─────────────────────────────────────┴────────────────────────┘
 *
 * A file is a stranger's: nothing in the header is believed before it is checked, and after
 * `openSafetensors` every tensor lies inside the file, has as many bytes as its shape says, and
 * shares none. Data is not read until asked for, and not copied where the source can show it.
 */
import { assert } from '../base/assert.ts';
import type { ByteSink, ByteSource } from '../base/byteSource.ts';
import { MoebiusError } from '../base/errors.ts';
import {
  bytesPerStoredElement,
  isStoredDType,
  type StoredDType,
  storedDTypes,
} from './storedDType.ts';
import { parseStrictJson } from './strictJson.ts';

/** The same limit as the reference library's: a header is kilobytes per thousand tensors. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const METADATA = '__metadata__';

export interface TensorInfo {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
}

export interface StoredTensor extends TensorInfo {
  /** From the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  readonly source: ByteSource;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * Reads and checks the header.
 *
 * @throws checkpoint.truncated, checkpoint.headerLength, checkpoint.notJson,
 *   checkpoint.duplicateKey, checkpoint.header, checkpoint.dtype, checkpoint.shape,
 *   checkpoint.offsets
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const headerBytes = await readHeaderLength(source);
  const header = parseStrictJson(
    await readBytes(source, LENGTH_BYTES, headerBytes),
    `the header of ${source.name}`,
  );
  if (!isObject(header)) throw malformed(source, 'the header', 'is not an object');
  const dataStart = LENGTH_BYTES + headerBytes;
  const tensors = new Map<string, StoredTensor>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA) metadata = parseMetadata(entry, source);
    else tensors.set(name, parseTensor(entry, { name, dataStart, source }));
  }
  checkLayout([...tensors.values()], { dataStart, source });
  return { source, metadata, tensors };
}

/** A tensor's bytes: the file's own where it is mapped (not to be written to), or a copy. */
export async function readTensorBytes(
  source: ByteSource,
  tensor: StoredTensor,
): Promise<Uint8Array> {
  return readBytes(source, tensor.byteOffset, tensor.byteLength);
}

export interface TensorToWrite extends TensorInfo {
  /** Asked for once, when its turn comes, so that a model need not be held twice. */
  readonly bytes: () => Uint8Array | Promise<Uint8Array>;
}

export function tensorByteLength(tensor: TensorInfo): number {
  return tensor.shape.reduce((count, dim) => count * dim, bytesPerStoredElement(tensor.dtype));
}

/**
 * Writes and closes one file. Wider dtypes come first, so that every tensor is aligned to its
 * elements; among equals the given order stays.
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = tensors.toSorted(
    (a, b) => bytesPerStoredElement(b.dtype) - bytesPerStoredElement(a.dtype),
  );
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set(METADATA, metadata);
  let end = 0;
  for (const tensor of ordered) {
    assert(!header.has(tensor.name) && tensor.name !== METADATA, `the name "${tensor.name}"`);
    const begin = end;
    end += tensorByteLength(tensor);
    const { dtype, shape } = tensor;
    header.set(tensor.name, { dtype, shape, data_offsets: [begin, end] });
  }
  await sink.write(encodeHeader(header));
  for (const tensor of ordered) {
    const bytes = await tensor.bytes();
    assert(bytes.byteLength === tensorByteLength(tensor), `the bytes of "${tensor.name}"`);
    await sink.write(bytes);
  }
  await sink.close();
}

/** Length and JSON, padded with spaces so that the data starts on a multiple of 8 bytes. */
function encodeHeader(header: ReadonlyMap<string, unknown>): Uint8Array {
  // Not an object's keys: a name like "7" would be moved to the front, "__proto__" would vanish.
  const entries = [...header].map(
    ([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`,
  );
  const text = new TextEncoder().encode(`{${entries.join(',')}}`);
  const padded = Math.ceil(text.byteLength / 8) * 8;
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, LENGTH_BYTES);
  return bytes;
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  const { byteLength } = source;
  if (byteLength < LENGTH_BYTES) {
    throw new MoebiusError('checkpoint.truncated', `${source.name} has ${byteLength} bytes`, {
      values: { byteLength, needed: LENGTH_BYTES },
      hint: 'Download or copy the file again; it is not a whole safetensors file.',
    });
  }
  const bytes = await readBytes(source, 0, LENGTH_BYTES);
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  const room = byteLength - LENGTH_BYTES;
  if (length > BigInt(Math.min(room, MAX_HEADER_BYTES))) {
    const isShort = length <= BigInt(MAX_HEADER_BYTES);
    const why = isShort ? `but ${room} follow` : `more than ${MAX_HEADER_BYTES}`;
    throw new MoebiusError(
      isShort ? 'checkpoint.truncated' : 'checkpoint.headerLength',
      `${source.name} announces a header of ${length} bytes, ${why}`,
      {
        values: { headerBytes: length.toString(), byteLength, limit: MAX_HEADER_BYTES },
        hint: 'Download or copy the file again; it is cut, or no safetensors file.',
      },
    );
  }
  return Number(length);
}

async function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  return source.view?.(offset, length) ?? (await source.read(offset, length));
}

interface Place {
  readonly source: ByteSource;
  readonly dataStart: number;
}

function parseMetadata(entry: unknown, source: ByteSource): Readonly<Record<string, string>> {
  if (isObject(entry) && Object.values(entry).every((value) => typeof value === 'string')) {
    return entry as Readonly<Record<string, string>>;
  }
  throw malformed(source, METADATA, 'is not an object of strings');
}

function parseTensor(entry: unknown, place: Place & { name: string }): StoredTensor {
  const { name, source, dataStart } = place;
  if (!isObject(entry)) throw malformed(source, `"${name}"`, 'is not an object');
  const { dtype, shape, data_offsets: offsets, ...rest } = entry;
  const extra = Object.keys(rest)[0];
  if (extra !== undefined) throw malformed(source, `"${name}"`, `has an unknown key "${extra}"`);
  if (!isStoredDType(dtype)) {
    throw new MoebiusError(
      'checkpoint.dtype',
      `"${name}" in ${source.name} has dtype ${JSON.stringify(dtype)}`,
      { values: { name, dtype, known: storedDTypes }, hint: 'Store it in a known dtype.' },
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw badShape(place, shape, 'is not a list of whole numbers');
  }
  const expected = tensorByteLength({ name, dtype, shape });
  if (!Number.isSafeInteger(expected)) throw badShape(place, shape, 'is too large');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw badOffsets(place, offsets, 'are not two whole numbers');
  }
  const [begin, end] = offsets as [number, number];
  const dataBytes = source.byteLength - dataStart;
  if (begin > end || end > dataBytes) {
    throw badOffsets(place, offsets, `do not lie in the ${dataBytes} bytes of data`);
  }
  if (end - begin !== expected) {
    throw badOffsets(
      place,
      offsets,
      `hold ${end - begin} bytes; ${dtype} [${shape}] has ${expected}`,
    );
  }
  return { name, dtype, shape, byteOffset: dataStart + begin, byteLength: expected };
}

/** Tensors tile the data: no byte twice, none left over. What hides between tensors is suspect. */
function checkLayout(tensors: readonly StoredTensor[], { source, dataStart }: Place): void {
  const byOffset = tensors.toSorted(
    (a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength,
  );
  let end = dataStart;
  for (const { name, byteOffset, byteLength } of byOffset) {
    const span = [byteOffset - dataStart, byteOffset - dataStart + byteLength];
    if (byteOffset < end) {
      throw badOffsets({ name, source }, span, 'overlap those of another tensor');
    }
    if (byteOffset > end) {
      throw badOffsets(
        { name, source },
        span,
        `leave a hole of ${byteOffset - end} bytes before them`,
      );
    }
    end = byteOffset + byteLength;
  }
  const left = source.byteLength - end;
  if (left > 0) {
    throw new MoebiusError(
      'checkpoint.offsets',
      `${source.name} has ${left} bytes after its data`,
      {
        values: { left },
        hint: 'Download or write the file again; it is damaged, or two files in one.',
      },
    );
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function malformed(source: ByteSource, what: string, why: string): MoebiusError {
  return new MoebiusError('checkpoint.header', `${what} in ${source.name} ${why}`, {
    values: { file: source.name },
    hint: 'Download or write the file again; its header is not safetensors’.',
  });
}

function badShape(
  { name, source }: { name: string; source: ByteSource },
  shape: unknown,
  why: string,
): MoebiusError {
  return new MoebiusError(
    'checkpoint.shape',
    `the shape of "${name}" in ${source.name} ${why}: ${JSON.stringify(shape)}`,
    { values: { name, shape }, hint: 'Download or write the file again; it is damaged.' },
  );
}

function badOffsets(
  { name, source }: { name: string; source: ByteSource },
  offsets: unknown,
  why: string,
): MoebiusError {
  return new MoebiusError(
    'checkpoint.offsets',
    `the data offsets of "${name}" in ${source.name} ${why}: ${JSON.stringify(offsets)}`,
    { values: { name, offsets }, hint: 'Download or write the file again; it is damaged.' },
  );
}
