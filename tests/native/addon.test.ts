/** The addon itself: settings, memory, mapped files, worker threads, and what it refuses. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ABI_VERSION } from '../../src/kernels/compiled/abi.ts';
import { createNativeKernels, describeNative, measureRoofline } from '../../src/kernels/native.ts';
import { loadAddon, nativeOptionsFromEnvironment } from '../../src/runtime/loadAddon.ts';
import { hostArray } from '../../src/tensor/tensor.ts';
import { readProjectFile } from '../support/projectFiles.ts';
import { scriptUrl } from '../support/scripts.ts';

const loaded = loadAddon();

test('loadAddon: a file that is no addon gives a reason, not an exception', () => {
  const folder = mkdtempSync(join(tmpdir(), 'addon-'));
  const path = join(folder, 'moebius.node');
  try {
    assert.match(reasonOf(loadAddon({ path })), /does not load/);
    writeFileSync(path, 'not a library');
    assert.match(reasonOf(loadAddon({ path })), /does not load/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('ABI_VERSION: is what the sources of the kernels say', () => {
  const [, version] = /kAbiVersion = (\d+);/.exec(readProjectFile('csrc/kernels.h')) ?? [];
  assert.equal(Number(version), ABI_VERSION);
});

test('nativeOptionsFromEnvironment: reads MOEBIUS_ISA and MOEBIUS_THREADS, and refuses nonsense', () => {
  assert.deepEqual(nativeOptionsFromEnvironment({ MOEBIUS_ISA: 'avx2', MOEBIUS_THREADS: '3' }), {
    isa: 'avx2',
    threads: 3,
  });
  assert.equal(nativeOptionsFromEnvironment({ MOEBIUS_ISA: '' }).isa, undefined);
  assert.ok((nativeOptionsFromEnvironment({}).threads ?? 0) >= 1);
  for (const threads of ['0', '-1', '1.5', 'two', '']) {
    assert.throws(() => nativeOptionsFromEnvironment({ MOEBIUS_THREADS: threads }), {
      code: 'runtime.invalidEnvironment',
    });
  }
});

if ('reason' in loaded) {
  test('native addon', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;

  test('createNativeKernels: unknown instruction sets and thread counts are refused by name', () => {
    assert.throws(() => createNativeKernels(addon, { isa: 'avx1024' }), {
      code: 'kernels.unknownIsa',
      values: { isa: 'avx1024', available: addon.isas },
    });
    for (const threads of [0, -1, 1.5, Number.NaN, addon.maxThreads + 1]) {
      assert.throws(() => createNativeKernels(addon, { threads }), {
        code: 'kernels.invalidThreads',
      });
    }
  });

  test('describeNative: names what would run', () => {
    const { isa, threads, isas } = describeNative(addon, { threads: 2 });
    assert.equal(isa, addon.isas[0]);
    assert.deepEqual(isas, addon.isas);
    assert.equal(threads, 2);
  });

  test('addon: the last instruction set runs everywhere, each is named once', () => {
    assert.ok(['sse2', 'neon', 'generic'].includes(addon.isas.at(-1) ?? ''));
    assert.equal(new Set(addon.isas).size, addon.isas.length);
  });

  test('allocate: memory is zeroed, 2 MiB aligned, of the size asked for', () => {
    const buffer = addon.allocate(3_000_001);
    assert.equal(buffer.byteLength, 3_000_001);
    const bytes = new Uint8Array(buffer);
    assert.equal(addon.address(bytes) % 2 ** 21, 0);
    assert.ok(bytes.every((byte) => byte === 0));
    bytes.fill(7);
    assert.equal(addon.address(bytes.subarray(5)), addon.address(bytes) + 5);
  });

  test('allocate: sizes that are none are refused', () => {
    for (const size of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
      assert.throws(() => addon.allocate(size), /allocate/);
    }
  });

  test('address: is refused for what is no typed array', () => {
    assert.throws(() => addon.address(new ArrayBuffer(8) as unknown as Uint8Array), /typed array/);
    const shared = new Uint8Array(new SharedArrayBuffer(64));
    assert.ok(addon.address(shared) > 0);
  });

  test('run: an unknown operation is refused', () => {
    const array = new Float64Array(addon.maxArguments);
    const address = addon.address(new Uint8Array(array.buffer));
    const attempt = (...numbers: number[]) => {
      array.set([0, 1, ...numbers]);
      addon.run(1, address);
    };
    assert.throws(() => attempt(addon.operations.length, 0), /unknown operation/);
    assert.throws(() => attempt(-1, 0), /unknown operation/);
    assert.throws(() => attempt(0, addon.maxArguments), /beyond the array/);
    assert.throws(() => addon.run(1, 0), /where/);
  });

  test('mapFile: gives a file’s bytes, an empty buffer for an empty file, and the system’s word', () => {
    const folder = mkdtempSync(join(tmpdir(), 'map-'));
    try {
      const path = join(folder, 'ünï çödé.bin');
      const content = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251);
      writeFileSync(path, content);
      const mapped = new Uint8Array(addon.mapFile(path));
      rmSync(path); // the mapping outlives the name
      assert.deepEqual(mapped, content);
      writeFileSync(join(folder, 'empty'), '');
      assert.equal(addon.mapFile(join(folder, 'empty')).byteLength, 0);
      assert.throws(() => addon.mapFile(path), /No such file/);
      assert.throws(() => addon.mapFile(folder), /mapFile/);
      assert.throws(() => addon.mapFile('a\0b'), /NUL/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('native kernels: tensors may lie in any buffer: an arena’s, plain, shared, or a mapped file', async () => {
    const kernels = createNativeKernels(addon);
    const out = kernels.createArena('out').allocate('f32', [3]);
    for (const buffer of [new ArrayBuffer(12), new SharedArrayBuffer(12)]) {
      new Float32Array(buffer).set([1, 2, 3]);
      const memory = { byteLength: 12, buffer };
      const x = { dtype: 'f32', shape: [3], rowStride: 3, memory, byteOffset: 0 } as const;
      kernels.add({ out, a: x, b: x });
      assert.deepEqual(Array.from(hostArray(out)), [2, 4, 6]);
    }
  });

  test('native kernels: worker threads compute side by side and leave the pool usable', async () => {
    const source = `
      import { parentPort } from 'node:worker_threads';
      const { loadAddon } = await import('${scriptUrl('src/runtime/loadAddon.ts')}');
      const { createNativeKernels } = await import('${scriptUrl('src/kernels/native.ts')}');
      const kernels = createNativeKernels(loadAddon().addon, { threads: 3 });
      const arena = kernels.createArena('worker');
      const x = arena.allocate('f32', [300, 300]);
      const out = arena.allocate('f32', [300, 300]);
      kernels.fill({ out: x, value: 2 });
      for (let i = 0; i < 20; i++) kernels.matmul({ out, a: x, b: { values: x }, layout: 'nt' });
      const values = await kernels.read(out);
      parentPort.postMessage(values.every((value) => value === 1200));
    `;
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    const answers = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise((resolve, reject) => {
            const worker = new Worker(url);
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
    assert.deepEqual(answers, [true, true, true]);
    const kernels = createNativeKernels(addon, { threads: 4 });
    const x = kernels.createArena('after').allocate('f32', [100_000]);
    kernels.fill({ out: x, value: 1 });
    kernels.scale({ x, factor: 3 });
    assert.ok((await kernels.read(x)).every((value) => value === 3));
  });

  test('measureRoofline: every limit is a positive number', () => {
    const limits = measureRoofline(addon, { threads: 2, seconds: 0.03 });
    for (const [name, value] of Object.entries(limits)) {
      assert.ok(Number.isFinite(value) && value > 1e6, `${name} is ${value}`);
    }
  });
}

function reasonOf(result: ReturnType<typeof loadAddon>): string {
  return 'reason' in result ? result.reason : 'none';
}
