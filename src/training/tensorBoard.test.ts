/** Event files, read back by a parser that shares nothing with the writer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ByteSink } from '../base/byteSource.ts';
import { crc32c, maskedCrc32c } from './crc32c.ts';
import { ProtobufWriter } from './protobuf.ts';
import { TensorBoardWriter } from './tensorBoard.ts';

// The reading side, written from the formats' descriptions and sharing nothing with the writer.

interface Field {
  readonly number: number;
  readonly wireType: number;
  readonly bytes: Uint8Array;
}

function parseMessage(bytes: Uint8Array): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): { value: number; raw: Uint8Array } => {
    const start = at;
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return { value, raw: bytes.subarray(start, at) };
    }
  };
  while (at < bytes.length) {
    const { value: tag } = varint();
    const wireType = tag % 8;
    const length = { 0: -1, 1: 8, 2: -2, 5: 4 }[wireType];
    assert.ok(length !== undefined, `wire type ${wireType}`);
    const number = Math.floor(tag / 8);
    if (length === -1) {
      fields.push({ number, wireType, bytes: varint().raw });
    } else {
      const size = length === -2 ? varint().value : length;
      assert.ok(at + size <= bytes.length, 'a field ends inside its message');
      fields.push({ number, wireType, bytes: bytes.subarray(at, at + size) });
      at += size;
    }
  }
  return fields;
}

function only(fields: readonly Field[], number: number): Uint8Array {
  const found = fields.filter((field) => field.number === number);
  assert.equal(found.length, 1, `field ${number}`);
  return found[0]?.bytes ?? new Uint8Array();
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const double = (bytes: Uint8Array, at = 0): number => view(bytes).getFloat64(at, true);
const doubles = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length / 8 }, (_, i) => double(bytes, 8 * i));
const natural = (bytes: Uint8Array): number =>
  bytes.reduceRight((value, byte) => value * 128 + (byte & 0x7f), 0);

function parseRecords(file: Uint8Array): readonly Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const header = view(file.subarray(at));
    const length = Number(header.getBigUint64(0, true));
    assert.equal(header.getUint32(8, true), maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(header.getUint32(12 + length, true), maskedCrc32c(data));
    records.push(data);
    at += length + 16;
  }
  return records;
}

async function written(
  body: (writer: TensorBoardWriter) => Promise<void>,
): Promise<readonly (readonly Field[])[]> {
  const chunks: Uint8Array[] = [];
  let isClosed = false;
  const sink: ByteSink = {
    write: async (bytes) => void chunks.push(bytes),
    close: async () => {
      isClosed = true;
    },
  };
  const writer = new TensorBoardWriter(sink, () => 1.7e9 + 0.25);
  await body(writer);
  await writer.close();
  assert.ok(isClosed);
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const file = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.length;
  }
  return parseRecords(file).map(parseMessage);
}

test('crc32c: the vectors of RFC 3720, B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
  assert.equal(crc32c(new Uint8Array()), 0);
});

test('maskedCrc32c: undone by its inverse, and always 32 bits', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const masked = maskedCrc32c(bytes);
      const rotated = (masked - 0xa282ead8) >>> 0;
      assert.equal(((rotated << 15) | (rotated >>> 17)) >>> 0, crc32c(bytes));
    }),
  );
});

test('ProtobufWriter: every natural number up to 2⁵³ − 1 comes back', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 1000 }), (value, field) => {
      const [parsed] = parseMessage(new ProtobufWriter().integer(field, value).finish());
      assert.deepEqual([parsed?.number, parsed?.wireType], [field, 0]);
      assert.equal(natural(parsed?.bytes ?? new Uint8Array()), value);
    }),
  );
});

test('ProtobufWriter: a message larger than its first buffer is whole', () => {
  const long = 'ö'.repeat(5000);
  const bytes = new ProtobufWriter()
    .message(3, (inner) => inner.text(1, long).double(2, 0.5))
    .finish();
  const inner = parseMessage(only(parseMessage(bytes), 3));
  assert.equal(text(only(inner, 1)), long);
  assert.equal(double(only(inner, 2)), 0.5);
});

test('TensorBoardWriter: a file begins by saying its version, even an empty one', async () => {
  const [first, ...rest] = await written(async () => undefined);
  assert.equal(rest.length, 0);
  assert.equal(double(only(first ?? [], 1)), 1.7e9 + 0.25);
  assert.equal(text(only(first ?? [], 3)), 'brain.Event:2');
});

test('TensorBoardWriter: scalars of a step are one event, values in float32', async () => {
  const scalars = [
    ['train/loss', 3.25],
    ['train/mtpLoss1', Number.NaN],
    ['speed/tokensPerSecond', 1e6 + 0.1],
  ] as const;
  const [, event, ...rest] = await written((writer) => writer.scalars(123_456, scalars));
  assert.equal(rest.length, 0);
  assert.equal(natural(only(event ?? [], 2)), 123_456);
  const values = parseMessage(only(event ?? [], 5)).map((field) => {
    assert.equal(field.number, 1);
    const entry = parseMessage(field.bytes);
    return [text(only(entry, 1)), view(only(entry, 2)).getFloat32(0, true)];
  });
  assert.deepEqual(
    values,
    scalars.map(([tag, value]) => [tag, Math.fround(value)]),
  );
});

test('TensorBoardWriter: a text is a string tensor of the text plugin', async () => {
  const [, event] = await written((writer) => writer.text(5, 'sample/a', 'Call me Ishmael. 🐋'));
  const value = parseMessage(only(parseMessage(only(event ?? [], 5)), 1));
  assert.equal(text(only(value, 1)), 'sample/a');
  const tensor = parseMessage(only(value, 8));
  assert.equal(natural(only(tensor, 1)), 7);
  const dim = parseMessage(only(parseMessage(only(tensor, 2)), 2));
  assert.equal(natural(only(dim, 1)), 1);
  assert.equal(text(only(tensor, 8)), 'Call me Ishmael. 🐋');
  const plugin = parseMessage(only(parseMessage(only(value, 9)), 1));
  assert.equal(text(only(plugin, 1)), 'text');
});

test('TensorBoardWriter: a histogram counts every value once, between its ends', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }),
      async (values) => {
        const [, event] = await written((writer) => writer.histogram(1, 'h', values));
        const value = parseMessage(only(parseMessage(only(event ?? [], 5)), 1));
        const histogram = parseMessage(only(value, 5));
        assert.equal(double(only(histogram, 1)), Math.min(...values));
        assert.equal(double(only(histogram, 2)), Math.max(...values));
        assert.equal(double(only(histogram, 3)), values.length);
        const limits = doubles(only(histogram, 6));
        const buckets = doubles(only(histogram, 7));
        assert.equal(limits.length, buckets.length);
        assert.ok(limits.every((limit, i) => i === 0 || limit >= (limits[i - 1] ?? 0)));
        assert.equal(
          buckets.reduce((sum, count) => sum + count, 0),
          values.length,
        );
      },
    ),
    // Closer together than thirty times the smallest number there is.
    { examples: [[[0, 5e-324]], [[1e6, 1e6]]] },
  );
});

test('TensorBoardWriter: nothing is written for nothing', async () => {
  const events = await written(async (writer) => {
    await writer.scalars(1, []);
    await writer.histogram(1, 'h', []);
  });
  assert.equal(events.length, 1);
});
