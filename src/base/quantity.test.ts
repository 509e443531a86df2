/** Units: what is read, what is refused, and that formatting loses nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from './errors.ts';
import { type Dimension, formatQuantity, parseQuantity } from './quantity.ts';

const dimensions: readonly Dimension[] = [
  'bytes',
  'bytesPerSecond',
  'flopsPerSecond',
  'seconds',
  'watts',
  'dollarsPerHour',
];

function refusal(text: string, dimension: Dimension): MoebiusError {
  try {
    parseQuantity(text, dimension, 'x.y');
  } catch (error) {
    assert.ok(error instanceof MoebiusError);
    return error;
  }
  return assert.fail(`${text} was accepted`);
}

test('parseQuantity: bits are eighths of bytes, G is 10⁹ and Gi is 2³⁰', () => {
  assert.equal(parseQuantity('400 Gb/s', 'bytesPerSecond', 'x'), 50e9);
  assert.equal(parseQuantity('400Gbps', 'bytesPerSecond', 'x'), 50e9);
  assert.equal(parseQuantity('160 GB/s', 'bytesPerSecond', 'x'), 160e9);
  assert.equal(parseQuantity('3.35 TB/s', 'bytesPerSecond', 'x'), 3.35e12);
  assert.equal(parseQuantity('80 GB', 'bytes', 'x'), 80e9);
  assert.equal(parseQuantity('80 GiB', 'bytes', 'x'), 80 * 2 ** 30);
  assert.equal(parseQuantity('989 TFLOPS', 'flopsPerSecond', 'x'), 989e12);
  assert.equal(parseQuantity('2.8 us', 'seconds', 'x'), 2.8e-6);
  assert.equal(parseQuantity('2.8 µs', 'seconds', 'x'), 2.8e-6);
  assert.equal(parseQuantity('10.2 kW', 'watts', 'x'), 10_200);
  assert.equal(parseQuantity('$2/h', 'dollarsPerHour', 'x'), 2);
  assert.equal(parseQuantity('$2 per GPU-hour', 'dollarsPerHour', 'x'), 2);
  assert.equal(parseQuantity('92 %', 'share', 'x'), 0.92);
  assert.equal(parseQuantity('1,979 TFLOPS', 'flopsPerSecond', 'x'), 1979e12);
});

test('parseQuantity: a number without a unit is refused, with how to write it', () => {
  for (const dimension of dimensions) {
    const error = refusal('400', dimension);
    assert.equal(error.code, 'quantity.noUnit');
    assert.match(error.message, /^x\.y is 400, without a unit$/);
    assert.match(error.hint ?? '', /x\.y: /);
  }
});

test('parseQuantity: a unit of another kind, or none at all, is refused by name', () => {
  assert.match(refusal('400 GB', 'bytesPerSecond').message, /measures memory; it takes a bandwid/);
  assert.match(refusal('3 TB/s', 'bytes').message, /measures a bandwidth; it takes memory/);
  assert.match(refusal('3 parsecs', 'seconds').message, /no unit here; it takes a time/);
  assert.equal(refusal('fast', 'bytesPerSecond').code, 'quantity.number');
  assert.equal(refusal('', 'bytes').code, 'quantity.number');
  assert.equal(refusal('1e999 GB', 'bytes').code, 'quantity.number');
  assert.equal(refusal('1e308 TB', 'bytes').code, 'quantity.number');
  assert.equal(refusal('3 constructor', 'seconds').code, 'quantity.unit');
});

test('formatQuantity: parseQuantity reads back exactly the same number', () => {
  const value = fc.double({ min: 1e-12, max: 1e18, noNaN: true });
  fc.assert(
    fc.property(value, fc.constantFrom(...dimensions), (number, dimension) => {
      const text = formatQuantity(number, dimension);
      assert.equal(parseQuantity(text, dimension, 'x'), number, text);
    }),
    { numRuns: 2000 },
  );
});

test('formatQuantity: people’s numbers stay short', () => {
  assert.equal(formatQuantity(50e9, 'bytesPerSecond'), '50 GB/s');
  assert.equal(formatQuantity(989.4e12, 'flopsPerSecond'), '989.4 TFLOPS');
  assert.equal(formatQuantity(3.33e-6, 'seconds'), '3.33 us');
  assert.equal(formatQuantity(0, 'seconds'), '0 s');
  assert.equal(formatQuantity(2, 'dollarsPerHour'), '$2/h');
  assert.equal(formatQuantity(0.92, 'share'), '92 %');
});
