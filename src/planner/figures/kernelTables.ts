/**
 * Group 4, continued: tables of DeepEP and DeepGEMM whose columns follow from one another.
 * Bandwidth is bytes moved over the time that the other column gives.
 */
import { type Figure, numbers, type Quantity } from './figure.ts';

/** Low-latency kernels, 128 tokens: EP, µs and GB/s of dispatch, µs and GB/s of combine. */
type LatencyRow = readonly [number, number, number, number, number];

const firstRelease: readonly LatencyRow[] = [
  [8, 163, 46, 318, 46],
  [16, 173, 43, 329, 44],
  [32, 182, 41, 350, 41],
  [64, 186, 40, 353, 41],
  [128, 192, 39, 369, 39],
  [256, 194, 39, 360, 40],
];

/** From June 2025, where NVLink carries what stays in a node. */
const laterRelease: readonly LatencyRow[] = [
  [8, 77, 98, 114, 127],
  [16, 118, 63, 195, 74],
  [32, 155, 48, 273, 53],
  [64, 173, 43, 314, 46],
  [128, 192, 39, 369, 39],
  [256, 194, 39, 360, 40],
];

const numbersSent = 128 * 8;
/** FP8 with a scale for every 128 numbers, and BF16. */
const dispatchBytes = numbersSent * (7168 + (7168 / 128) * 4);
const combineBytes = numbersSent * 7168 * 2;

function latencyFigure(
  options: Pick<Figure, 'id' | 'claim' | 'note'> & { readonly rows: readonly LatencyRow[] },
): Figure {
  const { rows, ...figure } = options;
  const cells = rows.flatMap(([ep, dispatch, dispatchSaid, combine, combineSaid]): Quantity[] => [
    cell(`EP${ep} dispatch`, dispatchSaid, dispatchBytes / dispatch),
    cell(`EP${ep} combine`, combineSaid, combineBytes / combine),
  ]);
  return {
    ...figure,
    group: 4,
    source: 'DEEPEP',
    formula: '128 · 8 · (7,168 + 56 · 4) B and 128 · 8 · 14,336 B over the time, cut',
    basis: numbers(...cells),
  };
}

function cell(name: string, said: number, bytesPerMicrosecond: number): Quantity {
  return {
    name,
    said: String(said),
    unit: 'GB/s',
    ours: bytesPerMicrosecond / 1e3,
    reading: { kind: 'cut' },
  };
}

/** M, N, K, TFLOPS, GB/s on an H800. */
type ProductRow = readonly [number, number, number, number, number];

const dense: readonly ProductRow[] = [
  [64, 2112, 7168, 206, 1688],
  [64, 24576, 1536, 289, 2455],
  [64, 32768, 512, 219, 2143],
  [64, 7168, 16384, 336, 2668],
  [64, 4096, 7168, 287, 2320],
  [64, 7168, 2048, 295, 2470],
  [128, 2112, 7168, 352, 1509],
  [128, 24576, 1536, 535, 2448],
  [128, 32768, 512, 358, 2103],
  [128, 7168, 16384, 645, 2604],
  [128, 4096, 7168, 533, 2221],
  [128, 7168, 2048, 510, 2277],
  [4096, 2112, 7168, 1058, 527],
  [4096, 24576, 1536, 990, 786],
  [4096, 32768, 512, 590, 1232],
  [4096, 7168, 16384, 1358, 343],
  [4096, 4096, 7168, 1304, 500],
  [4096, 7168, 2048, 1025, 697],
];

/** Groups, M of each, N, K, TFLOPS, GB/s. */
type GroupedRow = readonly [number, number, number, number, number, number];

const contiguous: readonly GroupedRow[] = [
  [4, 8192, 4096, 7168, 1297, 418],
  [4, 8192, 7168, 2048, 1099, 681],
  [8, 4096, 4096, 7168, 1288, 494],
  [8, 4096, 7168, 2048, 1093, 743],
];

const masked: readonly GroupedRow[] = [
  [1, 1024, 4096, 7168, 1233, 924],
  [1, 1024, 7168, 2048, 925, 968],
  [2, 512, 4096, 7168, 1040, 1288],
  [2, 512, 7168, 2048, 916, 1405],
  [4, 256, 4096, 7168, 932, 2064],
  [4, 256, 7168, 2048, 815, 2047],
];

function productFigure(
  options: Pick<Figure, 'id' | 'claim'> & { readonly rows: readonly GroupedRow[] },
): Figure {
  const { id, claim, rows } = options;
  return {
    id,
    group: 4,
    source: 'DEEPGEMM',
    claim,
    formula: '(M·K + G·N·K + 2·M·N) / (2·M·N·K / TFLOPS), M over all groups',
    basis: numbers(
      ...rows.map(([groups, perGroup, n, k, teraflops, said]): Quantity => {
        const m = groups * perGroup;
        const seconds = (2 * m * n * k) / (teraflops * 1e12);
        return {
          name: `${groups > 1 ? `${groups} × ` : ''}${perGroup} × ${n} × ${k}`,
          said: String(said),
          unit: 'GB/s',
          ours: (m * k + groups * n * k + 2 * m * n) / seconds / 1e9,
          reading: { kind: 'within', share: 0.0025, because: 'TFLOPS are given in whole ones' },
        };
      }),
    ),
  };
}

export const kernelTables: readonly Figure[] = [
  latencyFigure({
    id: 'ep.low-latency',
    claim: 'bandwidth of low-latency kernels, first release, from their times',
    rows: firstRelease,
  }),
  latencyFigure({
    id: 'ep.low-latency-later',
    claim: 'bandwidth of low-latency kernels, June 2025, from their times',
    note: 'three of twelve cells are printed 1 or 2 GB/s lower than their times give',
    rows: laterRelease,
  }),
  productFigure({
    id: 'gemm.dense',
    claim: 'memory traffic of dense products, from their TFLOPS',
    rows: dense.map(([m, n, k, teraflops, said]) => [1, m, n, k, teraflops, said]),
  }),
  productFigure({
    id: 'gemm.contiguous',
    claim: 'memory traffic of grouped products, contiguous',
    rows: contiguous,
  }),
  productFigure({
    id: 'gemm.masked',
    claim: 'memory traffic of grouped products, masked',
    rows: masked,
  }),
];
