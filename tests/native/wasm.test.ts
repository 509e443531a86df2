/** The WebAssembly kernels beyond the contract: memory, threads, and what they refuse. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AssertionError } from '../../src/base/assert.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { Random } from '../../src/base/random.ts';
import type { F32, Kernels } from '../../src/kernels/kernels.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import type { WasmInstance } from '../../src/kernels/wasm/instance.ts';
import { createWasmKernels } from '../../src/kernels/wasm.ts';
import { type LoadWasmOptions, loadWasm } from '../../src/runtime/loadWasm.ts';
import { hostArray } from '../../src/tensor/tensor.ts';

const MEBIBYTE = 2 ** 20;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function instanceOf(options: LoadWasmOptions): WasmInstance {
  const loaded = loadWasm(options);
  assert.ok('instance' in loaded, 'reason' in loaded ? loaded.reason : '');
  return loaded.instance;
}

function randomMatrix(kernels: Kernels, shape: readonly number[], seed: number): F32 {
  const tensor = kernels.createArena('test').allocate('f32', shape);
  const random = new Random(seed);
  const values = hostArray(tensor);
  for (let i = 0; i < values.length; i++) values[i] = random.uniform() - 0.5;
  return tensor;
}

async function product(
  kernels: Kernels,
  [m, n, k]: readonly [number, number, number],
): Promise<Float32Array> {
  const out = kernels.createArena('out').allocate('f32', [m, n]);
  const [a, b] = [randomMatrix(kernels, [m, k], 1), randomMatrix(kernels, [n, k], 2)];
  kernels.matmul({ out, a, b: { values: b }, layout: 'nt' });
  return kernels.read(out);
}

test('loadWasm: a file that is no module gives a reason, not an exception', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wasm-'));
  const path = join(folder, 'kernels.wasm');
  try {
    for (const content of ['', 'not a module']) {
      writeFileSync(path, content);
      const loaded = loadWasm({ path, threads: 1 });
      assert.match('reason' in loaded ? loaded.reason : '', /does not load/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('wasm: threads are whole numbers, and no more than were started', () => {
  for (const threads of [0, -1, 1.5, Number.NaN, 1000]) {
    assert.throws(() => loadWasm({ threads }), { code: 'kernels.invalidThreads' });
  }
  const instance = instanceOf({ threads: 2 });
  for (const threads of [0, 1.5, 3]) {
    assert.throws(() => createWasmKernels(instance, { threads }), {
      code: 'kernels.invalidThreads',
    });
  }
  instance.close();
});

test('wasm: all threads that were asked for stand ready', () => {
  const instance = instanceOf({ threads: 4 });
  assert.equal(instance.awaitWorkers(0), 4);
  instance.close();
});

test('wasm: a product has the same bits on any number of threads and either kind of memory', async () => {
  const unshared = createWasmKernels(instanceOf({ threads: 1, isShared: false }));
  const instance = instanceOf({ threads: 3 });
  for (const sizes of [
    [1, 700, 900],
    [5, 333, 77],
    [129, 130, 1030],
  ] as const) {
    const one = await product(unshared, sizes);
    for (const threads of [1, 2, 3]) {
      assert.deepEqual(await product(createWasmKernels(instance, { threads }), sizes), one);
    }
  }
  instance.close();
});

test('wasm: a memory that moves as it grows takes its tensors along', async () => {
  const instance = instanceOf({ threads: 1, isShared: false });
  const kernels = createWasmKernels(instance);
  const arena = kernels.createArena('test');
  const early = arena.allocate('f32', [4]);
  kernels.fill({ out: early, value: 3 });
  const before = hostArray(early).buffer;
  const late = arena.allocate('f32', [40 * MEBIBYTE]);
  assert.equal((before as ArrayBuffer).detached, true);
  kernels.fill({ out: late, value: 2 });
  kernels.scale({ x: early, factor: 2 });
  assert.deepEqual(Array.from(await kernels.read(early)), [6, 6, 6, 6]);
  assert.equal(hostArray(late).at(-1), 2);
});

test('wasm: a tensor in memory of others is refused, and nothing is read from it', () => {
  const kernels = createWasmKernels(instanceOf({ threads: 1 }));
  const other = createWasmKernels(instanceOf({ threads: 1 }));
  const out = kernels.createArena('own').allocate('f32', [3]);
  for (const foreign of [createReferenceKernels(), other]) {
    const x = foreign.createArena('foreign').allocate('f32', [3]);
    assert.throws(() => kernels.copy({ out, x }), { code: 'kernels.foreignMemory' });
  }
});

test('wasm: an arena beyond the memory is refused with the bytes, and what there was still works', async () => {
  const instance = instanceOf({ threads: 1, maxBytes: 64 * MEBIBYTE });
  const kernels = createWasmKernels(instance);
  const arena = kernels.createArena('test');
  const x = arena.allocate('f32', [1000]);
  assert.throws(() => arena.allocate('f32', [20 * MEBIBYTE]), {
    code: 'kernels.outOfMemory',
    values: {
      wantedBytes: 80 * MEBIBYTE,
      availableBytes: instance.heap.availableBytes,
      maxBytes: 64 * MEBIBYTE,
    },
  });
  kernels.fill({ out: x, value: 1 });
  assert.ok((await kernels.read(x)).every((value) => value === 1));
});

test('wasm: an operation without room for its scratch is refused, and the next one runs', async () => {
  const instance = instanceOf({ threads: 1, maxBytes: 64 * MEBIBYTE });
  const kernels = createWasmKernels(instance);
  const arena = kernels.createArena('test');
  const [x, out] = [arena.allocate('f32', [64, 64]), arena.allocate('f32', [64, 64])];
  kernels.fill({ out: x, value: 2 });
  const held: number[] = [];
  for (let size = 32 * MEBIBYTE; size >= 64; size /= 2) {
    for (let address = instance.heap.tryAllocate(size); address !== undefined; ) {
      held.push(address);
      address = instance.heap.tryAllocate(size);
    }
  }
  const multiply = (): void => kernels.matmul({ out, a: x, b: { values: x }, layout: 'nt' });
  assert.throws(multiply, (error: unknown) => {
    assert.ok(error instanceof MoebiusError);
    assert.equal(error.code, 'kernels.outOfMemory');
    assert.ok(Number(error.values.wantedBytes) > Number(error.values.availableBytes));
    return true;
  });
  const largest = held[0];
  assert.ok(largest !== undefined);
  instance.heap.release(largest, 32 * MEBIBYTE);
  multiply();
  assert.ok((await kernels.read(out)).every((value) => value === 256));
});

test('wasm: memory of arenas that nobody refers to any more is given out again', async () => {
  const instance = instanceOf({ threads: 1, maxBytes: 128 * MEBIBYTE });
  const kernels = createWasmKernels(instance);
  for (let round = 0; round < 20; round++) {
    kernels.createArena('passing').allocate('f32', [8 * MEBIBYTE]);
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve));
  }
});

test('wasm: a worker that fails is told of, and its kernels compute no more', () => {
  const instance = instanceOf({ threads: 2 });
  const fill = instance.operations.indexOf('fill');
  // The first half of the rows lies in the memory, the second beyond its end.
  const numFloats = 2 ** 20;
  instance.heap.allocate(4 * numFloats);
  const end = instance.heap.buffer.byteLength;
  instance.arguments.set([end - 2 * numFloats, 1, numFloats, numFloats, 0, 7], 2);
  assert.throws(() => instance.run(fill, 2), AssertionError);
  assert.throws(() => instance.run(fill, 1), AssertionError);
});
