/** The norm over tensors, the fault it finds, and the scale that follows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32 } from '../kernels/kernels.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { clipScale, gradientNorm } from './gradientNorm.ts';

const kernels = createReferenceKernels({ poison: true });
const arena = kernels.createArena('gradients');

function gradient(name: string, values: readonly number[]): { name: string; gradient: F32 } {
  const tensor = arena.allocate('f32', [values.length]);
  kernels.write(tensor, Float32Array.from(values));
  return { name, gradient: tensor };
}

test('The norm is over all tensors together', async () => {
  const parameters = [gradient('a', [3]), gradient('b', [0, 4]), gradient('c', [12])];
  const { norm, fault } = await gradientNorm({ kernels, arena, parameters });
  assert.equal(norm, 13);
  assert.equal(fault, null);
});

test('A NaN or an infinity anywhere is found, with the first tensor that has one', async () => {
  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
  const find = async (b: number[], c: number[]) =>
    (
      await gradientNorm({
        kernels,
        arena,
        parameters: [gradient('a', [1]), gradient('b', b), gradient('c', c)],
      })
    ).fault;
  assert.deepEqual(await find([1, nan], [infinity]), { tensor: 'b', what: 'nan' });
  assert.deepEqual(await find([1], [-infinity, 2]), { tensor: 'c', what: 'infinity' });
  assert.deepEqual(await find([1e30], [1]), { tensor: 'b', what: 'infinity' });
});

test('Without tensors the norm is 0', async () => {
  assert.deepEqual(await gradientNorm({ kernels, arena, parameters: [] }), {
    norm: 0,
    fault: null,
  });
});

test('The norm needs scratch memory only', async () => {
  const own = kernels.createArena('scratch');
  await gradientNorm({ kernels, arena: own, parameters: [gradient('a', [1, 2])] });
  assert.equal(own.usedBytes, 0);
});

test('Clipping scales a larger norm down to the limit and leaves a smaller one alone', () => {
  assert.equal(clipScale(0.5, 1), 1);
  assert.equal(clipScale(0, 1), 1);
  assert.ok(Math.abs(clipScale(4, 1) - 0.25) < 1e-6);
  assert.equal(clipScale(Number.POSITIVE_INFINITY, 1), 0);
});
