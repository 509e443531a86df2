/** Overlap: exact for the views that models make, and never missed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DType } from '../tensor/dtype.ts';
import { columns, slices, type Tensor } from '../tensor/tensor.ts';
import { isOverlapping } from './shapeRules.ts';

const memory = { byteLength: 4096, buffer: new ArrayBuffer(4096) };

function matrix(args: {
  dtype?: DType;
  rows: number;
  width: number;
  stride?: number;
  byteOffset?: number;
}): Tensor {
  const { dtype = 'f32', rows, width, stride = width, byteOffset = 0 } = args;
  return { dtype, shape: [rows, width], rowStride: stride, memory, byteOffset };
}

/** The bytes that a matrix of float32 covers. */
function bytes({ shape, rowStride, byteOffset }: Tensor): Set<number> {
  const [rows = 0, width = 0] = shape;
  const covered = new Set<number>();
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < 4 * width; i++) covered.add(byteOffset + 4 * row * rowStride + i);
  }
  return covered;
}

test('isOverlapping: columns of one matrix interleave without touching', () => {
  const whole = matrix({ rows: 5, width: 12 });
  assert.equal(isOverlapping(columns(whole, 0, 8), columns(whole, 8, 12)), false);
  assert.equal(isOverlapping(columns(whole, 8, 12), columns(whole, 0, 8)), false);
  assert.equal(isOverlapping(columns(whole, 0, 9), columns(whole, 8, 12)), true);
  assert.equal(isOverlapping(columns(whole, 0, 8), whole), true);
  assert.equal(isOverlapping(columns(slices(whole, 2, 5), 0, 8), columns(whole, 8, 12)), false);
});

test('isOverlapping: rows apart, other memory and nothing at all do not overlap', () => {
  const whole = matrix({ rows: 6, width: 4 });
  assert.equal(isOverlapping(slices(whole, 0, 3), slices(whole, 3, 6)), false);
  assert.equal(isOverlapping(slices(whole, 0, 4), slices(whole, 3, 6)), true);
  assert.equal(isOverlapping(whole, { ...whole, memory: { ...memory } }), false);
  assert.equal(isOverlapping(whole, slices(whole, 2, 2)), false);
});

interface Placed {
  readonly rows: number;
  readonly width: number;
  readonly gap: number;
  readonly start: number;
}

const matrices: fc.Arbitrary<Placed> = fc.record({
  rows: fc.integer({ min: 0, max: 4 }),
  width: fc.integer({ min: 0, max: 5 }),
  gap: fc.integer({ min: 0, max: 4 }),
  start: fc.integer({ min: 0, max: 40 }),
});

test('isOverlapping: never misses a shared byte, and is exact for equal strides', () => {
  const lay = ({ rows, width, gap, start }: Placed): Tensor =>
    matrix({ rows, width, stride: width + gap, byteOffset: 4 * start });
  const holds = (a: Placed, b: Placed): void => {
    const [left, right] = [lay(a), lay(b)];
    const shared = [...bytes(left)].some((byte) => bytes(right).has(byte));
    if (shared) assert.equal(isOverlapping(left, right), true);
    if (left.rowStride === right.rowStride) assert.equal(isOverlapping(left, right), shared);
    assert.equal(isOverlapping(left, right), isOverlapping(right, left));
  };
  fc.assert(fc.property(matrices, matrices, holds), { seed: 4, numRuns: 3000 });
});
