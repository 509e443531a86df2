/** Safetensors: what is written is read, and no file of a stranger does more than fail clearly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concatenate, memorySink } from '../../tests/support/memoryFolder.ts';
import { type ByteSource, byteSourceOf } from '../base/byteSource.ts';
import { MoebiusError } from '../base/errors.ts';
import {
  openSafetensors,
  readTensorBytes,
  type TensorToWrite,
  tensorByteLength,
  writeSafetensors,
} from './safetensors.ts';
import { type StoredDType, storedDTypes } from './storedDType.ts';

function file(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  return rawFile(new TextEncoder().encode(text), data);
}

function rawFile(header: Uint8Array, data: Uint8Array = new Uint8Array()): Uint8Array {
  return concatenate([lengthBytes(BigInt(header.byteLength)), header, data]);
}

function lengthBytes(length: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
}

async function write(
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  let written = new Uint8Array();
  const sink = memorySink((bytes) => {
    written = bytes.slice();
  });
  await writeSafetensors(sink, tensors, metadata);
  return written;
}

async function refusal(bytes: Uint8Array): Promise<MoebiusError> {
  try {
    await openSafetensors(byteSourceOf(bytes, 'bad.safetensors'));
  } catch (error) {
    if (error instanceof MoebiusError) return error;
    throw error;
  }
  return assert.fail('the file was taken');
}

const f32 = (offsets: unknown, shape: unknown = [2]): unknown => ({
  dtype: 'F32',
  shape,
  data_offsets: offsets,
});

test('Safetensors: any tensors come back as they were written', async () => {
  const tensor = fc.record({
    name: fc.string({ unit: 'grapheme', maxLength: 12 }).filter((name) => name !== '__metadata__'),
    dtype: fc.constantFrom(...(storedDTypes as StoredDType[])),
    shape: fc.array(fc.nat({ max: 5 }), { maxLength: 4 }),
    seed: fc.nat({ max: 255 }),
  });
  const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 });
  const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });
  await fc.assert(
    fc.asyncProperty(tensors, metadata, async (specs, notes) => {
      const toWrite = specs.map((spec) => ({
        ...spec,
        bytes: () => new Uint8Array(tensorByteLength(spec)).map((_, i) => spec.seed + i),
      }));
      const opened = await openSafetensors(byteSourceOf(await write(toWrite, notes)));
      assert.deepEqual({ ...opened.metadata }, { ...notes });
      assert.deepEqual([...opened.tensors.keys()].sort(), specs.map(({ name }) => name).sort());
      for (const { name, dtype, shape, bytes } of toWrite) {
        const stored = opened.tensors.get(name);
        assert(stored !== undefined);
        assert.deepEqual([stored.dtype, stored.shape], [dtype, shape]);
        const width = tensorByteLength({ name, dtype, shape: [] });
        assert.equal(stored.byteOffset % width, 0, 'aligned to its elements');
        assert.deepEqual(await readTensorBytes(opened.source, stored), bytes());
      }
    }),
  );
});

test('Safetensors: data is not copied where the source can show it', async () => {
  const bytes = await write([
    { name: 'a', dtype: 'U8', shape: [3], bytes: () => Uint8Array.of(1, 2, 3) },
  ]);
  const opened = await openSafetensors(byteSourceOf(bytes));
  const stored = opened.tensors.get('a');
  assert(stored !== undefined);
  assert.equal((await readTensorBytes(opened.source, stored)).buffer, bytes.buffer);
});

test('Safetensors: a source without views is read', async () => {
  const bytes = await write([
    { name: 'a', dtype: 'I16', shape: [2], bytes: () => Uint8Array.of(1, 0, 2, 0) },
  ]);
  const source: ByteSource = {
    name: 'remote',
    byteLength: bytes.byteLength,
    read: async (offset, length) => bytes.slice(offset, offset + length),
  };
  const opened = await openSafetensors(source);
  const stored = opened.tensors.get('a');
  assert(stored !== undefined);
  assert.deepEqual(await readTensorBytes(source, stored), Uint8Array.of(1, 0, 2, 0));
});

test('Safetensors: tensors are asked for one at a time, in the order they are stored', async () => {
  const asked: string[] = [];
  const tensor = (name: string, dtype: StoredDType): TensorToWrite => ({
    name,
    dtype,
    shape: [1],
    bytes: () => {
      asked.push(name);
      return new Uint8Array(tensorByteLength({ name, dtype, shape: [1] }));
    },
  });
  await write([tensor('7', 'U8'), tensor('b', 'F32'), tensor('a', 'F32'), tensor('c', 'BF16')]);
  assert.deepEqual(asked, ['b', 'a', 'c', '7']);
});

test('Safetensors: a name written twice, or too few bytes, is our own mistake', async () => {
  const one: TensorToWrite = { name: 'a', dtype: 'U8', shape: [1], bytes: () => new Uint8Array(1) };
  await assert.rejects(write([one, one]), { name: 'AssertionError' });
  await assert.rejects(write([{ ...one, name: '__metadata__' }]), { name: 'AssertionError' });
  await assert.rejects(write([{ ...one, shape: [2] }]), { name: 'AssertionError' });
});

const EIGHT = new Uint8Array(8);
const REFUSED: readonly (readonly [what: string, code: string, bytes: Uint8Array])[] = [
  ['an empty file', 'truncated', new Uint8Array()],
  ['a file cut in its length', 'truncated', new Uint8Array(7)],
  [
    'a header longer than the file',
    'truncated',
    concatenate([lengthBytes(3n), Uint8Array.of(123, 125)]),
  ],
  ['a header of 100 MB', 'headerLength', lengthBytes(100_000_001n)],
  ['a length of 2⁶⁴ − 1', 'headerLength', lengthBytes(2n ** 64n - 1n)],
  ['a length beyond 2⁵³', 'headerLength', lengthBytes(2n ** 53n + 1n)],
  ['no header', 'notJson', file('')],
  ['text that is not JSON', 'notJson', file('{"a":')],
  ['bytes that are not UTF-8', 'notJson', rawFile(Uint8Array.of(0x22, 0xff, 0x22))],
  ['a byte order mark', 'notJson', file('\ufeff{}')],
  ['a list', 'header', file([])],
  ['null', 'header', file('null')],
  ['nesting without end', 'notJson', file('['.repeat(1_000_000))],
  ['metadata that is no object', 'header', file({ __metadata__: 'pt' })],
  ['metadata that is no string', 'header', file({ __metadata__: { format: 1 } })],
  ['a tensor that is no object', 'header', file({ a: 3 })],
  [
    'a tensor with a key too many',
    'header',
    file({ a: { ...(f32([0, 8]) as object), sparse: 1 } }, EIGHT),
  ],
  [
    'a name given twice',
    'duplicateKey',
    file(`{"a":${JSON.stringify(f32([0, 8]))},"a":${JSON.stringify(f32([0, 8]))}}`, EIGHT),
  ],
  [
    'a name given twice, once escaped',
    'duplicateKey',
    file(
      `{"a":${JSON.stringify(f32([0, 8]))},"\\u0061":${JSON.stringify(f32([8, 16]))}}`,
      new Uint8Array(16),
    ),
  ],
  [
    'a shape given twice',
    'duplicateKey',
    file('{"a":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]}}', EIGHT),
  ],
  [
    'an unknown dtype',
    'dtype',
    file({ a: { dtype: 'F4', shape: [2], data_offsets: [0, 8] } }, EIGHT),
  ],
  [
    'a dtype of the prototype',
    'dtype',
    file({ a: { dtype: 'toString', shape: [2], data_offsets: [0, 8] } }, EIGHT),
  ],
  ['no dtype', 'dtype', file({ a: { shape: [2], data_offsets: [0, 8] } }, EIGHT)],
  ['no shape', 'shape', file({ a: { dtype: 'F32', data_offsets: [0, 8] } }, EIGHT)],
  ['a negative dim', 'shape', file({ a: f32([0, 8], [-2]) }, EIGHT)],
  ['a dim that is no whole number', 'shape', file({ a: f32([0, 8], [1.5]) }, EIGHT)],
  ['a dim in words', 'shape', file({ a: f32([0, 8], ['2']) }, EIGHT)],
  ['a dim of null (NaN)', 'shape', file({ a: f32([0, 8], [null]) }, EIGHT)],
  ['a dim beyond 2⁵³', 'shape', file({ a: f32([0, 8], [2 ** 53]) }, EIGHT)],
  ['a shape whose product overflows', 'shape', file({ a: f32([0, 8], [2 ** 40, 2 ** 40]) }, EIGHT)],
  [
    'a shape whose product wraps to its size',
    'shape',
    file({ a: f32([0, 8], [2 ** 33, 2 ** 33, 2]) }, EIGHT),
  ],
  [
    'a shape of infinities',
    'shape',
    file(`{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}`, EIGHT),
  ],
  ['no offsets', 'offsets', file({ a: { dtype: 'F32', shape: [2] } }, EIGHT)],
  ['one offset', 'offsets', file({ a: f32([8]) }, EIGHT)],
  ['a negative offset', 'offsets', file({ a: f32([-8, 0]) }, EIGHT)],
  ['offsets in the wrong order', 'offsets', file({ a: f32([8, 0]) }, EIGHT)],
  ['offsets beyond the file', 'offsets', file({ a: f32([0, 8]) })],
  ['offsets far beyond the file', 'offsets', file({ a: f32([2 ** 52, 2 ** 52 + 8]) }, EIGHT)],
  ['fewer bytes than the shape', 'offsets', file({ a: f32([0, 4]) }, EIGHT)],
  ['more bytes than the shape', 'offsets', file({ a: f32([0, 8], [1]) }, EIGHT)],
  ['overlapping tensors', 'offsets', file({ a: f32([0, 8]), b: f32([4, 12]) }, new Uint8Array(12))],
  ['two tensors on the same bytes', 'offsets', file({ a: f32([0, 8]), b: f32([0, 8]) }, EIGHT)],
  ['a hole at the start', 'offsets', file({ a: f32([4, 12]) }, new Uint8Array(12))],
  [
    'a hole between tensors',
    'offsets',
    file({ a: f32([0, 8]), b: f32([12, 20]) }, new Uint8Array(20)),
  ],
  [
    'an empty tensor inside another',
    'offsets',
    file({ a: f32([0, 8]), b: f32([4, 4], [0]) }, EIGHT),
  ],
  ['bytes after the data', 'offsets', file({ a: f32([0, 8]) }, new Uint8Array(9))],
  ['data without tensors', 'offsets', file({}, Uint8Array.of(1))],
];

for (const [what, code, bytes] of REFUSED) {
  test(`Safetensors: ${what} is refused (checkpoint.${code})`, async () => {
    const error = await refusal(bytes);
    assert.equal(error.code, `checkpoint.${code}`);
    assert.match(error.message, /bad\.safetensors/);
    assert.match(error.hint ?? '', /^[A-Z].*\.$/s);
  });
}

test('Safetensors: names like those of an object’s prototype are plain names', async () => {
  const bytes = file(
    '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
    Uint8Array.of(7),
  );
  const opened = await openSafetensors(byteSourceOf(bytes));
  assert.deepEqual([...opened.tensors.keys()], ['__proto__']);
});

test('Safetensors: a header padded with blanks and empty tensors anywhere are fine', async () => {
  const header = { a: f32([0, 8]), b: f32([8, 8], [0, 3]), c: f32([0, 0], [0]) };
  const opened = await openSafetensors(byteSourceOf(file(`${JSON.stringify(header)}   `, EIGHT)));
  assert.deepEqual([...opened.tensors.keys()], ['a', 'b', 'c']);
});

test('Safetensors: a damaged file is read or refused, never more', async () => {
  const good = await write(
    [
      { name: 'x.weight', dtype: 'F32', shape: [2, 3], bytes: () => new Uint8Array(24) },
      { name: 'x.bias', dtype: 'BF16', shape: [3], bytes: () => new Uint8Array(6) },
      { name: 'y', dtype: 'F8_E4M3', shape: [5], bytes: () => new Uint8Array(5) },
    ],
    { format: 'pt' },
  );
  const edits = fc.array(
    fc.record({ at: fc.nat({ max: good.byteLength - 1 }), byte: fc.nat({ max: 255 }) }),
    { minLength: 1, maxLength: 4 },
  );
  // Characters that keep a header JSON make deeper damage than random bytes do.
  const telling = [...'0123456789-.e[]{}",: '].map((char) => char.charCodeAt(0));
  await fc.assert(
    fc.asyncProperty(
      edits,
      fc.nat({ max: good.byteLength }),
      fc.boolean(),
      async (changes, cut, isText) => {
        const bytes = good.slice();
        for (const { at, byte } of changes) {
          bytes[at] = isText ? (telling[byte % telling.length] ?? 0) : byte;
        }
        const damaged = cut % 3 === 0 ? bytes.slice(0, cut) : bytes;
        try {
          const opened = await openSafetensors(byteSourceOf(damaged));
          for (const stored of opened.tensors.values()) {
            const { byteLength } = await readTensorBytes(opened.source, stored);
            assert.equal(byteLength, tensorByteLength(stored));
          }
        } catch (error) {
          if (!(error instanceof MoebiusError)) throw error;
          assert.match(error.code, /^checkpoint\./);
        }
      },
    ),
    { numRuns: 3000 },
  );
});
