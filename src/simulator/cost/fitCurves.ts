/**
 * Fits the efficiency curves, from kernel tables alone. The code here is given texts by an allow
 * list (`FIT_FILES`) and the published tables of `publishedKernels.ts`; it can open nothing, so it
 * cannot see DeepSeek's training trace or the paper's step times. Where the files are,
 * `tests/simulator/costFits.test.ts` runs it again and holds the stored numbers (`curves.ts`) to
 * what comes out.
 */
import { assert, at } from '../../base/assert.ts';
import { minimise } from './minimise.ts';
import { type Product, type ProductCurve, productTime, type TensorMachine } from './productTime.ts';
import * as published from './publishedKernels.ts';

/** All that a fit may read, below `data/h800-kernels`. */
export const FIT_FILES = [
  'gemm.csv',
  'grouped-gemm-prefill.csv',
  'grouped-gemm-decode.csv',
  'mla-prefill.csv',
] as const;

export type FitFiles = Readonly<Record<(typeof FIT_FILES)[number], string>>;

/** The card of all tables: H800 and H100 SXM differ in links and double precision only. */
export const FIT_GPU = {
  numSms: 132,
  bf16: 989.4e12,
  fp8: 1978.9e12,
  memoryBytesPerSecond: 3.35e12,
} as const;

export interface Residuals {
  readonly count: number;
  /** Of |predicted / measured − 1|. */
  readonly median: number;
  readonly p90: number;
  /** Root of the mean square: one standard deviation of an estimate. */
  readonly rms: number;
}

export interface Sample extends Product {
  readonly seconds: number;
}

export interface FittedProduct {
  readonly curve: ProductCurve;
  readonly residuals: Residuals;
}

export interface FittedAttention {
  /** Share of the BF16 peak on the pairs that tiles cover. */
  readonly tensorShare: number;
  /** Once: filling and emptying the card (forward). */
  readonly launchSeconds: number;
  /** Of each token, head and channel: passes over rows before and behind the core (backward). */
  readonly secondsPerElement: number;
  /** Causal tiles cover `1 + tile / length` of the pairs that count. */
  readonly tile: number;
  readonly residuals: Residuals;
}

export interface FittedMemory {
  readonly memoryShare: number;
  readonly launchSeconds: number;
  readonly residuals: Residuals;
}

export interface Curves {
  /** DeepGEMM's first release, and products as InferSim measured them later in 2025. */
  readonly fp8First: FittedProduct;
  readonly fp8Later: FittedProduct;
  readonly fp8GroupedFirst: FittedProduct;
  readonly fp8GroupedLater: FittedProduct;
  readonly fp8MaskedLater: FittedProduct;
  readonly fp8WeightGradientFirst: FittedProduct;
  readonly fp8WeightGradientLater: FittedProduct;
  readonly bf16: FittedProduct;
  readonly attentionForward: FittedAttention;
  readonly attentionBackward: FittedAttention;
  /** Casts of 2026, one layout each: also the most that any kernel bound by memory is given. */
  readonly castLater: FittedMemory;
  /** Casts of early 2025, both layouts at once. */
  readonly castFirst: FittedMemory;
}

export function fitCurves(files: FitFiles): Curves {
  const gemm = table(files['gemm.csv']).map(({ m = 0, n = 0, k = 0, latency_us = 0 }) =>
    sample({ m, n, k, groups: 1, seconds: latency_us * 1e-6 }),
  );
  const prefill = groupedSamples(files['grouped-gemm-prefill.csv']);
  const decode = groupedSamples(files['grouped-gemm-decode.csv']);
  const deepGemm = [...published.deepGemmDense].map(samplePublished);
  const deepGrouped = [...published.deepGemmContiguous, ...published.deepGemmMasked].map(
    samplePublished,
  );
  const weights = published.deepGemmWeightGradients.map(sampleWeightGradient);
  const first = { maxTileN: 128, groups: 'together' } as const;
  const later = { maxTileN: 160, groups: 'together' } as const;
  const apart = { maxTileN: 152, groups: 'apart' } as const;
  const fp8First = fitProduct(deepGemm, first, FIT_GPU.fp8);
  const gradientLater = fitProduct(weights, apart, FIT_GPU.fp8);
  return {
    fp8First,
    fp8Later: fitProduct(gemm, later, FIT_GPU.fp8),
    fp8GroupedFirst: fitProduct(deepGrouped, first, FIT_GPU.fp8),
    fp8GroupedLater: fitProduct(prefill, later, FIT_GPU.fp8),
    fp8MaskedLater: fitProduct(decode, later, FIT_GPU.fp8),
    fp8WeightGradientFirst: slowed(gradientLater, published.WEIGHT_GRADIENT_GAIN),
    fp8WeightGradientLater: gradientLater,
    bf16: fitProduct(
      published.bf16Small.map(sampleBf16),
      { ...later, maxTileN: 128 },
      FIT_GPU.bf16,
      {
        tensorShare: published.BF16_SUSTAINED_SHARE,
      },
    ),
    attentionForward: fitForward(files['mla-prefill.csv']),
    attentionBackward: fitBackward(),
    castLater: fitMemory(published.castKernels, 1),
    castFirst: fitMemory(published.firstCastKernels, 2),
  };
}

/** The same kernel with everything taking that many times as long. */
function slowed({ curve, residuals }: FittedProduct, factor: number): FittedProduct {
  return {
    curve: {
      ...curve,
      tensorShare: curve.tensorShare / factor,
      stepSeconds: curve.stepSeconds * factor,
      tileSeconds: curve.tileSeconds * factor,
    },
    // "About" is not a table: as much again as the factor may be rounded by.
    residuals: { ...residuals, rms: Math.hypot(residuals.rms, ABOUT) },
  };
}

const ABOUT = 0.1;

const LIMITS = { tensorShare: 0.98, memoryShare: 0.95 };

function fitProduct(
  samples: readonly Sample[],
  form: Pick<ProductCurve, 'maxTileN' | 'groups'>,
  peak: number,
  fixed: { readonly tensorShare?: number } = {},
): FittedProduct {
  const curveOf = (point: readonly number[]): ProductCurve => ({
    tensorShare: fixed.tensorShare ?? LIMITS.tensorShare / (1 + Math.exp(at(point, 0))),
    stepSeconds: 1e-9 * Math.exp(at(point, 1)),
    tileSeconds: 1e-9 * Math.exp(at(point, 2)),
    launchSeconds: 1e-6 * Math.exp(at(point, 3)),
    memoryShare: LIMITS.memoryShare / (1 + Math.exp(at(point, 4))),
    ...form,
  });
  const machine = fitMachine(peak);
  const errors = (curve: ProductCurve): number[] =>
    samples.map((each) => Math.log(productTime(curve, each, machine).seconds / each.seconds));
  const cost = (point: readonly number[]): number =>
    errors(curveOf(point)).reduce((sum, error) => sum + robust(error), 0);
  // One share of waves jumps with the others, so the simplex starts again from where it ended.
  let best = minimise(cost, [-1.5, 4, 6.5, 1, -2], { step: 0.7, iterations: 300 });
  for (let again = 0; again < 3; again++) {
    best = minimise(cost, best.point, { step: 0.4, iterations: 200 });
  }
  const curve = curveOf(best.point);
  return { curve, residuals: residualsOf(errors(curve)) };
}

/** Square near zero, then linear: one odd row does not bend the curve. */
function robust(error: number): number {
  const size = Math.abs(error);
  return size < 0.15 ? error * error : 0.15 * (2 * size - 0.15);
}

function fitMachine(peak: number): TensorMachine {
  const { numSms, memoryBytesPerSecond } = FIT_GPU;
  return { numSms, smFlops: peak / numSms, memoryBytesPerSecond };
}

function fitForward(csv: string): FittedAttention {
  // InferSim's rows: V3's 128 heads of 192 and 128, causal, BF16.
  const [heads, width] = [128, 192 + 128];
  const rows = table(csv).map(({ seq_len: length = 0, latency_us = 0 }) => {
    const pairs = (length * (length + 1)) / 2;
    const flops = 2 * pairs * heads * width;
    const elements = (length * heads * width) / 2;
    return { length, flops, elements, seconds: latency_us * 1e-6 };
  });
  return fitAttention(rows, 'causal');
}

/** The paper counts 2.5 times the forward pass, over all pairs, 16 k tokens, 2,048 channels. */
function fitBackward(): FittedAttention {
  const rows = published.flashAttention3Backward.map(({ sequenceLength: length, teraflops }) => {
    const flops = 2.5 * 4 * 16384 * length * 2048;
    return { length, flops, elements: 16384 * 2048, seconds: flops / (teraflops * 1e12) };
  });
  return fitAttention(rows, 'full');
}

function fitAttention(
  rows: readonly { length: number; flops: number; elements: number; seconds: number }[],
  mask: 'causal' | 'full',
): FittedAttention {
  const isCausal = mask === 'causal';
  const curveOf = (point: readonly number[]): Omit<FittedAttention, 'residuals'> => ({
    tensorShare: 0.95 / (1 + Math.exp(at(point, 0))),
    launchSeconds: isCausal ? 1e-6 * Math.exp(at(point, 1)) : 0,
    secondsPerElement: isCausal ? 0 : 1e-12 * Math.exp(at(point, 1)),
    tile: 128,
  });
  const errors = (curve: Omit<FittedAttention, 'residuals'>): number[] =>
    rows.map(({ length, flops, elements, seconds }) => {
      const covered = isCausal ? flops * (1 + curve.tile / length) : flops;
      const ends = curve.launchSeconds + curve.secondsPerElement * elements;
      return Math.log((ends + covered / (FIT_GPU.bf16 * curve.tensorShare)) / seconds);
    });
  const cost = (point: readonly number[]): number =>
    errors(curveOf(point)).reduce((sum, error) => sum + robust(error), 0);
  const { point } = minimise(cost, [-0.5, 1], { step: 0.5, iterations: 200 });
  const curve = curveOf(point);
  return { ...curve, residuals: residualsOf(errors(curve)) };
}

/** @param layouts in which the codes and their scales are written */
function fitMemory(casts: readonly published.PublishedCast[], layouts: 1 | 2): FittedMemory {
  const rows = casts.map(({ rows: r, columns: c, microseconds }) => ({
    bytes: r * c * (2 + layouts * (1 + 4 / 128)),
    seconds: microseconds * 1e-6,
  }));
  const curveOf = (point: readonly number[]): Omit<FittedMemory, 'residuals'> => ({
    memoryShare: 0.98 / (1 + Math.exp(at(point, 0))),
    launchSeconds: 1e-6 * Math.exp(at(point, 1)),
  });
  const errors = (curve: Omit<FittedMemory, 'residuals'>): number[] =>
    rows.map(({ bytes, seconds }) => {
      const rate = curve.memoryShare * FIT_GPU.memoryBytesPerSecond;
      return Math.log((curve.launchSeconds + bytes / rate) / seconds);
    });
  const cost = (point: readonly number[]): number =>
    errors(curveOf(point)).reduce((sum, error) => sum + robust(error), 0);
  const { point } = minimise(cost, [-1.5, 1], { step: 0.5, iterations: 200 });
  const curve = curveOf(point);
  return { ...curve, residuals: residualsOf(errors(curve)) };
}

function residualsOf(errors: readonly number[]): Residuals {
  const sizes = errors.map((error) => Math.abs(Math.expm1(error))).sort((a, b) => a - b);
  const share = (part: number): number =>
    at(sizes, Math.min(sizes.length - 1, Math.floor(part * sizes.length)));
  const rms = Math.sqrt(sizes.reduce((sum, size) => sum + size * size, 0) / sizes.length);
  return { count: sizes.length, median: share(0.5), p90: share(0.9), rms };
}

// Tables

type CsvRow = Readonly<Record<string, number>>;

function table(csv: string): CsvRow[] {
  const [header = '', ...lines] = csv.trim().split('\n');
  const names = header.trim().split(',');
  return lines.map((line) => {
    const cells = line.trim().split(',');
    assert(cells.length === names.length, `a row of ${cells.length} cells: ${line}`);
    return Object.fromEntries(names.map((name, i) => [name, Number(at(cells, i))]));
  });
}

/** Both products of the experts, from one row each. */
function groupedSamples(csv: string): Sample[] {
  return table(csv).flatMap((row) => {
    const { num_local_experts: groups = 0, tokens_per_expert: m = 0 } = row;
    const { hidden_size: hidden = 0, intermediate_size: width = 0 } = row;
    const { up_proj_us = 0, down_proj_us = 0 } = row;
    return [
      sample({ m, n: 2 * width, k: hidden, groups, seconds: up_proj_us * 1e-6 }),
      sample({ m, n: hidden, k: width, groups, seconds: down_proj_us * 1e-6 }),
    ];
  });
}

function sample(of: Omit<Sample, 'bytes'>): Sample {
  const { m, n, k, groups } = of;
  return { ...of, bytes: groups * (m * k + n * k + 2 * m * n) };
}

function samplePublished(row: published.PublishedProduct): Sample {
  const { m, n, k, groups, teraflops } = row;
  return sample({ m, n, k, groups, seconds: (2 * m * n * k * groups) / (teraflops * 1e12) });
}

function sampleBf16(row: published.PublishedProduct): Sample {
  const each = samplePublished(row);
  return { ...each, bytes: 2 * (each.m * each.k + each.n * each.k + each.m * each.n) };
}

/** FP32 results are read and written. */
function sampleWeightGradient(row: published.PublishedProduct): Sample {
  const each = samplePublished(row);
  const { m, n, k, groups } = each;
  return { ...each, bytes: groups * (m * k + n * k + 8 * m * n) };
}
