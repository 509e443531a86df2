/** Views: which elements they show, and what cannot be viewed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import { bytesPerElement, type DType } from './dtype.ts';
import { packRows, unpackRows } from './hostRows.ts';
import {
  columns,
  elements,
  entry,
  hostArray,
  isContiguous,
  numColumns,
  numElements,
  numRows,
  reshape,
  slices,
  type Tensor,
} from './tensor.ts';

function counting(...shape: readonly number[]): Tensor<'f32'> {
  const length = numElements(shape);
  const buffer = new ArrayBuffer(4 * length + 64);
  new Float32Array(buffer, 64, length).forEach((_, i, all) => {
    all[i] = i;
  });
  const memory = { byteLength: buffer.byteLength, buffer };
  return { dtype: 'f32', shape, rowStride: shape[shape.length - 1] ?? 1, memory, byteOffset: 64 };
}

const shown = (tensor: Tensor<'f32'>): number[] => [...packRows(tensor)];

test('tensor: all dims but the last are rows', () => {
  const tensor = counting(2, 3, 4);
  assert.equal(numRows(tensor), 6);
  assert.equal(numColumns(tensor), 4);
  assert.equal(numElements(tensor.shape), 24);
  assert.equal(numRows(counting(5)), 1);
  assert.equal(numElements([]), 1);
});

test('columns: the same columns of every row, through every dim', () => {
  const view = columns(counting(2, 2, 4), 1, 3);
  assert.deepEqual(view.shape, [2, 2, 2]);
  assert.deepEqual(shown(view), [1, 2, 5, 6, 9, 10, 13, 14]);
  assert.deepEqual(shown(columns(view, 1, 2)), [2, 6, 10, 14]);
  assert.equal(isContiguous(view), false);
});

test('slices: entries of the first dim, gaps kept', () => {
  assert.deepEqual(shown(slices(counting(3, 2), 1, 3)), [2, 3, 4, 5]);
  const view = slices(columns(counting(3, 2, 4), 0, 1), 1, 2);
  assert.deepEqual(view.shape, [1, 2, 1]);
  assert.deepEqual(shown(view), [8, 12]);
  assert.deepEqual(shown(slices(counting(3, 2), 2, 2)), []);
});

test('entry: one of the first dim, which goes away', () => {
  const view = entry(counting(3, 2, 2), 1);
  assert.deepEqual(view.shape, [2, 2]);
  assert.deepEqual(shown(view), [4, 5, 6, 7]);
});

test('elements: a run of a tensor of one dim', () => {
  const view = elements(counting(6), 2, 5);
  assert.deepEqual(shown(view), [2, 3, 4]);
  assert.equal(isContiguous(view), true);
  assert.deepEqual(shown(reshape(view, [3, 1])), [2, 3, 4]);
});

test('reshape: the same elements in the same order', () => {
  const tensor = reshape(counting(2, 6), [3, 4]);
  assert.deepEqual(tensor.shape, [3, 4]);
  assert.deepEqual(shown(columns(tensor, 0, 1)), [0, 4, 8]);
  assert.deepEqual(shown(reshape(columns(counting(1, 6), 2, 4), [2])), [2, 3]);
});

test('views: what does not exist is refused', () => {
  const tensor = counting(3, 4);
  for (const attempt of [
    () => columns(tensor, 2, 5),
    () => columns(tensor, 3, 2),
    () => columns(tensor, -1, 2),
    () => slices(tensor, 2, 4),
    () => slices(counting(4), 0, 1),
    () => entry(tensor, 3),
    () => elements(tensor, 0, 1),
    () => reshape(tensor, [5, 2]),
    () => reshape(columns(tensor, 0, 2), [6]),
  ]) {
    assert.throws(attempt, AssertionError);
  }
});

test('hostArray: from the first element to the last, of every dtype', () => {
  const { memory } = counting(8);
  const dtypes: readonly DType[] = ['f32', 'bf16', 'f16', 'f8e4m3', 'i32'];
  for (const dtype of dtypes) {
    const tensor = { dtype, shape: [2, 3], rowStride: 5, memory, byteOffset: 8 };
    const array = hostArray(tensor);
    assert.equal(array.length, 8);
    assert.equal(array.byteOffset, 8);
    assert.equal(array.BYTES_PER_ELEMENT, bytesPerElement(dtype));
  }
  assert.equal(hostArray(counting(0, 3)).length, 0);
});

test('hostArray: refused where the memory is not the host’s', () => {
  const memory = { byteLength: 64, buffer: null };
  const tensor: Tensor = { dtype: 'f32', shape: [4], rowStride: 4, memory, byteOffset: 0 };
  assert.throws(() => hostArray(tensor), AssertionError);
});

test('unpackRows: fills the rows and leaves what lies between', () => {
  const tensor = counting(2, 4);
  unpackRows(columns(tensor, 1, 3), Float32Array.of(-1, -2, -3, -4));
  assert.deepEqual(shown(tensor), [0, -1, -2, 3, 4, -3, -4, 7]);
  assert.throws(() => unpackRows(tensor, new Float32Array(7)), AssertionError);
});

test('packRows: a copy, also of what is contiguous', () => {
  const tensor = counting(2, 2);
  packRows(tensor).fill(9);
  assert.deepEqual(shown(tensor), [0, 1, 2, 3]);
});
