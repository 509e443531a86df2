/** Recordings hold the memory they point into, and are of no use once some was given back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32, Kernels } from '../../src/kernels/kernels.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { type Recording, record } from '../../src/kernels/recording.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { collect } from '../support/garbage.ts';

const loaded = loadAddon();

function ones(kernels: Kernels, arena: Arena, ...shape: number[]): F32 {
  const tensor = arena.allocate('f32', shape);
  kernels.fill({ out: tensor, value: 1 });
  return tensor;
}

/** x += 8192 · (number of operations that ran on ones); the weights lie in `weights`. */
function network(kernels: Kernels, weights: Arena): (kernels: Kernels, x_TD: F32) => void {
  const gain = ones(kernels, weights, 64);
  const mlp = {
    gateUp: { values: ones(kernels, weights, 4, 64) },
    down: { values: ones(kernels, weights, 64, 2) },
  };
  return (on, x_TD) => on.feedForwardDecode({ x_TD, gain, eps: 0, mlp });
}

if ('reason' in loaded) {
  test('recordings of the native kernels', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;

  test('recording: more operations than one array of arguments holds', async () => {
    const kernels = createNativeKernels(addon);
    const arena = kernels.createArena('long');
    const [x_TD, y_TD] = [ones(kernels, arena, 1, 64), ones(kernels, arena, 1, 64)];
    const run = network(kernels, arena);
    const many = (on: Kernels, to: F32): void => {
      for (let i = 0; i < 300; i++) run(on, to);
    };
    const recording = record(kernels, (on) => many(on, x_TD));
    many(kernels, y_TD);
    assert.deepEqual(await kernels.read(x_TD), await kernels.read(y_TD));
    for (const tensor of [x_TD, y_TD]) kernels.fill({ out: tensor, value: 1 });
    recording.run();
    many(kernels, y_TD);
    assert.deepEqual(await kernels.read(x_TD), await kernels.read(y_TD));
  });

  test('recording: its memory stays while it is kept', async () => {
    const kernels = createNativeKernels(addon);
    const x_TD = ones(kernels, kernels.createArena('x'), 1, 64);
    const recorded = (): Recording => {
      const run = network(kernels, kernels.createArena('weights'));
      return record(kernels, (on) => run(on, x_TD));
    };
    const recording = recorded();
    await collect();
    kernels.fill({ out: x_TD, value: 1 });
    // Ends the process if the weights have gone back to the system.
    recording.run();
    assert.equal((await kernels.read(x_TD))[0], 8193);
  });

  test('recording: refused once memory was given back, as is a call on that memory', async () => {
    const kernels = createNativeKernels(addon);
    const x_TD = ones(kernels, kernels.createArena('x'), 1, 64);
    const weights = kernels.createArena('weights');
    const run = network(kernels, weights);
    const recording = record(kernels, (on) => run(on, x_TD));
    assert.equal(recording.isCurrent, true);
    weights.free();
    assert.equal(recording.isCurrent, false);
    assert.throws(() => recording.run(), /memory was given back since the recording/);
    // The arguments were written down before.
    assert.throws(() => run(kernels, x_TD), /the memory was given back/);
    kernels.fill({ out: x_TD, value: 2 });
    assert.equal((await kernels.read(x_TD))[0], 2);
  });

  test('recording: refuses to give memory back, or to record, while it is made', () => {
    const kernels = createNativeKernels(addon);
    const arena = kernels.createArena('weights');
    const x_TD = ones(kernels, arena, 1, 64);
    const run = network(kernels, arena);
    const freeing = (on: Kernels): void => {
      run(on, x_TD);
      arena.free();
    };
    assert.throws(() => record(kernels, freeing), /a recording gives memory back/);
    const nested = (on: Kernels): unknown => record(on, (inner) => run(inner, x_TD));
    assert.throws(() => record(kernels, nested), /one recording at a time/);
  });
}
