/** The average's formula and its limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32 } from '../kernels/kernels.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { updateAverage } from './ema.ts';

const kernels = createReferenceKernels({ poison: true });
const arena = kernels.createArena('average');

function tensor(values: readonly number[]): F32 {
  const out = arena.allocate('f32', [values.length]);
  kernels.write(out, Float32Array.from(values));
  return out;
}

test('An average moves towards the value by one minus its decay', async () => {
  const tensors = [{ average: tensor([0, 8]), value: tensor([4, 8]) }];
  updateAverage({ kernels, tensors, decay: 0.75 });
  assert.deepEqual([...(await kernels.read(tensors[0]?.average as F32))], [1, 8]);
  updateAverage({ kernels, tensors, decay: 1 });
  assert.deepEqual([...(await kernels.read(tensors[0]?.average as F32))], [1, 8]);
  updateAverage({ kernels, tensors, decay: 0 });
  assert.deepEqual([...(await kernels.read(tensors[0]?.average as F32))], [4, 8]);
});

test('A decay outside [0, 1] is refused', () => {
  for (const decay of [-0.1, 1.1, Number.NaN]) {
    assert.throws(() => updateAverage({ kernels, tensors: [], decay }), {
      code: 'optimizer.settings',
    });
  }
});
