/** Kernels on cards: where a number is from, what other chips do to it, what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GpuSpec } from '../../config/clusterSpec.ts';
import { a100, h20, h100, h800 } from '../../config/clusters/gpus.ts';
import { type KernelMachine, kernelTime } from './kernelTime.ts';
import { deepGemmContiguous } from './publishedKernels.ts';
import { moved } from './recipe.ts';
import type { KernelClass, KernelWork } from './stageWork.ts';

function machineOf(gpu: GpuSpec, changed: Partial<KernelMachine> = {}): KernelMachine {
  const { numSms } = gpu;
  const setting = { release: 'first', fp8Scaling: 'tiles', memoryTaken: 0 } as const;
  return { gpu, numSms, freeSms: numSms, ...setting, ...changed };
}

function productOf(kernelClass: KernelClass, sizes: Partial<KernelWork> = {}): KernelWork {
  const [m, n, k, groups] = [4096, 4096, 7168, 1];
  const flops = 2 * m * n * k;
  return {
    ...moved(kernelClass, 'test', m * k + n * k + 2 * m * n),
    m,
    n,
    k,
    groups,
    flops,
    ...sizes,
  };
}

test('kernelTime: the published grouped products come out within a tenth, and say so', () => {
  for (const { groups, m, n, k, teraflops } of deepGemmContiguous) {
    const flops = 2 * groups * m * n * k;
    const bytes = groups * (m * k + n * k + 2 * m * n);
    const kernel = productOf('fp8GroupedGemm', { m: groups * m, n, k, groups, flops, bytes });
    const { seconds, source, bound } = kernelTime(kernel, machineOf(h800.gpu));
    assert.ok(
      Math.abs(flops / seconds / (teraflops * 1e12) - 1) < 0.1,
      `${flops / seconds / 1e12}`,
    );
    assert.equal(source, 'fitted');
    assert.equal(bound, 'compute');
  }
});

test('kernelTime: other chips are extrapolated, bytes-bound kernels derived, H100 is an H800', () => {
  const product = productOf('fp8Gemm');
  const [fitted, same, other] = [h800, h100, h20].map(({ gpu }) =>
    kernelTime(product, machineOf(gpu)),
  );
  assert.deepEqual(fitted, same);
  assert.equal(other?.source, 'extrapolated');
  assert.ok((other?.relativeError ?? 0) > (fitted?.relativeError ?? 1));
  assert.ok((other?.seconds ?? 0) > 3 * (fitted?.seconds ?? 1), 'an H20 has 15 % of the peak');
  const norm = kernelTime(moved('norm', 'test', 1e8), machineOf(h800.gpu));
  assert.equal(norm.source, 'derived');
  assert.ok(1e8 / norm.seconds < h800.gpu.memoryBytesPerSecond);
});

test('kernelTime: FP32 sums of a library’s weight gradient come on top of its product', () => {
  const machine = machineOf(h100.gpu, { fp8Scaling: 'tensor' });
  const [m, n] = [4096, 4096];
  const bytes = 2 * (m * 7168 + n * 7168) + 8 * m * n;
  for (const kind of ['bf16', 'fp8'] as const) {
    const gradient = kernelTime(productOf(`${kind}WeightGradient`, { bytes }), machine).seconds;
    const alone = kernelTime(productOf(`${kind}Gemm`), machine).seconds;
    const sums = (8 * m * n) / h100.gpu.memoryBytesPerSecond;
    assert.ok(gradient - alone > 0.95 * sums && gradient - alone < 1.6 * sums, `${kind}`);
  }
});

test('kernelTime: later kernels are faster than the first, weight gradients slower than products', () => {
  const machine = machineOf(h800.gpu);
  const later = machineOf(h800.gpu, { release: 'later' });
  for (const kernelClass of ['fp8Gemm', 'fp8WeightGradient'] as const) {
    // Writing results under the next tile's products is what the later ones gained.
    const kernel = productOf(kernelClass, { n: 24_576, k: 1536 });
    assert.ok(kernelTime(kernel, later).seconds < kernelTime(kernel, machine).seconds);
  }
  const [forward, gradient] = (['fp8Gemm', 'fp8WeightGradient'] as const).map(
    (each) => kernelTime(productOf(each), machine).seconds,
  );
  assert.ok(forward !== undefined && gradient !== undefined && gradient > 1.3 * forward);
});

test('kernelTime: memory taken by transfers and SMs taken from a copy make it slower', () => {
  const copy = moved('elementwise', 'test', 1e8);
  const whole = kernelTime(copy, machineOf(h800.gpu)).seconds;
  assert.ok(kernelTime(copy, machineOf(h800.gpu, { memoryTaken: 3e11 })).seconds > whole);
  const fewer = kernelTime(copy, machineOf(h800.gpu, { freeSms: 112 })).seconds;
  assert.ok(fewer > whole && fewer < whole * (132 / 112) * 1.01);
});

test('kernelTime: a measured factor replaces the curve’s claim', () => {
  const kernel = productOf('fp8Gemm');
  const plain = kernelTime(kernel, machineOf(h800.gpu));
  const of = (relativeError: number | null): ReturnType<typeof kernelTime> =>
    kernelTime(
      kernel,
      machineOf(h800.gpu, { factors: { fp8Gemm: { factor: 1.25, relativeError } } }),
    );
  const measured = of(0.04);
  assert.equal(measured.seconds, plain.seconds * 1.25);
  assert.equal(measured.source, 'fitted');
  assert.equal(measured.relativeError, 0.04);
  assert.equal(of(null).relativeError, plain.relativeError);
});

test('kernelTime: FP8 on a chip without it is refused with the way out', () => {
  assert.throws(() => kernelTime(productOf('fp8Gemm'), machineOf(a100.gpu)), {
    code: 'plan.precision',
    hint: /bf16/,
  });
  assert.ok(kernelTime(productOf('bf16Gemm'), machineOf(a100.gpu)).seconds > 0);
});

test('kernelTime: sums in FP32 inside the tensor core save the promotion', () => {
  const native: GpuSpec = { ...h800.gpu, fp8Accumulation: 'fp32' };
  const kernel = productOf('fp8Gemm');
  const [promoted, summed] = [h800.gpu, native].map(
    (gpu) => kernelTime(kernel, machineOf(gpu)).seconds,
  );
  assert.ok(promoted !== undefined && summed !== undefined && summed < promoted);
});
