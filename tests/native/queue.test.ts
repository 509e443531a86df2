/** Operations that wait in a queue keep what they point into, and run before anybody looks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32, Kernels } from '../../src/kernels/kernels.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { collect } from '../support/garbage.ts';

const loaded = loadAddon();

/** x += 2 · silu(x · 1) · 1 in effect: a network of ones, over one row of ones. */
function queueNetwork(kernels: Kernels): F32 {
  const arena = kernels.createArena('queue');
  const ones = (...shape: number[]): F32 => {
    const tensor = arena.allocate('f32', shape);
    kernels.fill({ out: tensor, value: 1 });
    return tensor;
  };
  const [x_TD, gain] = [ones(1, 64), ones(64)];
  const mlp = { gateUp: { values: ones(4, 64) }, down: { values: ones(64, 2) } };
  kernels.feedForwardDecode({ x_TD, gain, eps: 0, mlp });
  return x_TD;
}

if ('reason' in loaded) {
  test('queued operations', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;
  // Two columns of silu(64) · 64 = 4096 each, on top of the 1 that was there.
  const expected = new Float32Array(64).fill(2 * 64 * 64 + 1);

  test('queue: operations have run when a tensor is read', async () => {
    const kernels = createNativeKernels(addon);
    assert.deepEqual(await kernels.read(queueNetwork(kernels)), expected);
  });

  test('queue: another backend in between disturbs nothing', async () => {
    const [one, other] = [createNativeKernels(addon), createNativeKernels(addon, { threads: 1 })];
    const x = queueNetwork(one);
    const y = queueNetwork(other);
    assert.deepEqual(await one.read(x), expected);
    assert.deepEqual(await other.read(y), expected);
  });

  test('queue: more operations than fit run in order', async () => {
    const kernels = createNativeKernels(addon);
    const x_TD = queueNetwork(kernels);
    const arena = kernels.createArena('more');
    const gain = arena.allocate('f32', [64]);
    const weights = arena.allocate('f32', [4, 64]);
    const down = arena.allocate('f32', [64, 2]);
    for (const out of [gain, weights, down]) kernels.fill({ out, value: 0 });
    const mlp = { gateUp: { values: weights }, down: { values: down } };
    // Nothing is added, however many there are.
    for (let i = 0; i < 300; i++) kernels.feedForwardDecode({ x_TD, gain, eps: 1, mlp });
    assert.deepEqual(await kernels.read(x_TD), expected);
  });

  test('queue: an arena that is given back has been waited for', async () => {
    const kernels = createNativeKernels(addon);
    const x_TD = queueNetwork(kernels);
    const arena = kernels.createArena('given back');
    const gain = arena.allocate('f32', [64]);
    const mlp = {
      gateUp: { values: arena.allocate('f32', [4, 64]) },
      down: { values: arena.allocate('f32', [64, 2]) },
    };
    kernels.feedForwardDecode({ x_TD, gain, eps: 1, mlp });
    arena.free();
    await collect();
    // Ends the process if what waits still points into it.
    assert.deepEqual(await kernels.read(x_TD), expected);
  });

  test('queue: weights are known again only where every one is the same', async () => {
    const kernels = createNativeKernels(addon);
    const arena = kernels.createArena('again');
    const filled = (value: number, ...shape: number[]): F32 => {
      const tensor = arena.allocate('f32', shape);
      kernels.fill({ out: tensor, value });
      return tensor;
    };
    const gain = filled(1, 64);
    const gateUp = { values: filled(1, 4, 64) };
    const added = async (down: number, columns = 2): Promise<number> => {
      const x_TD = filled(1, 1, 64);
      const mlp = { gateUp, down: { values: filled(down, 64, columns) } };
      kernels.feedForwardDecode({ x_TD, gain, eps: 0, mlp });
      return ((await kernels.read(x_TD))[0] ?? 0) - 1;
    };
    assert.deepEqual([await added(1), await added(2), await added(1)], [8192, 16384, 8192]);
    await assert.rejects(added(1, 3), /feedForwardDecode: gateUp has shape \[4,64\], not \[6,64\]/);
  });

  test('queue: tensors that nobody refers to any more are still there when it runs', async () => {
    const kernels = createNativeKernels(addon);
    queueNetwork(kernels);
    await collect();
    // Ends the process if the memory has gone back to the system.
    assert.deepEqual(await kernels.read(queueNetwork(kernels)), expected);
  });
}
