/**
 * Kernel measurements that others published, as they printed them: what the efficiency curves are
 * fitted from beside the CSV files of `h800-kernels`. Nothing here is from DeepSeek's training
 * trace or from a step-time table.
 */

export interface PublishedProduct {
  readonly groups: number;
  /** Rows and columns of one group's result, and the depth summed over. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly teraflops: number;
}

type Row = readonly [groups: number, m: number, n: number, k: number, teraflops: number];

function products(rows: readonly Row[]): readonly PublishedProduct[] {
  return rows.map(([groups, m, n, k, teraflops]) => ({ groups, m, n, k, teraflops }));
}

/** DeepGEMM, README of the first release (February 2025), H800: dense FP8 products. */
export const deepGemmDense: readonly PublishedProduct[] = products([
  [1, 64, 2112, 7168, 206],
  [1, 64, 24576, 1536, 289],
  [1, 64, 32768, 512, 219],
  [1, 64, 7168, 16384, 336],
  [1, 64, 4096, 7168, 287],
  [1, 64, 7168, 2048, 295],
  [1, 128, 2112, 7168, 352],
  [1, 128, 24576, 1536, 535],
  [1, 128, 32768, 512, 358],
  [1, 128, 7168, 16384, 645],
  [1, 128, 4096, 7168, 533],
  [1, 128, 7168, 2048, 510],
  [1, 4096, 2112, 7168, 1058],
  [1, 4096, 24576, 1536, 990],
  [1, 4096, 32768, 512, 590],
  [1, 4096, 7168, 16384, 1358],
  [1, 4096, 4096, 7168, 1304],
  [1, 4096, 7168, 2048, 1025],
]);

/** The same README: grouped products, contiguous layout (training forward and input gradients). */
export const deepGemmContiguous: readonly PublishedProduct[] = products([
  [4, 8192, 4096, 7168, 1297],
  [4, 8192, 7168, 2048, 1099],
  [8, 4096, 4096, 7168, 1288],
  [8, 4096, 7168, 2048, 1093],
]);

/** The same README: grouped products, masked layout (decoding). */
export const deepGemmMasked: readonly PublishedProduct[] = products([
  [1, 1024, 4096, 7168, 1233],
  [1, 1024, 7168, 2048, 925],
  [2, 512, 4096, 7168, 1040],
  [2, 512, 7168, 2048, 916],
  [4, 256, 4096, 7168, 932],
  [4, 256, 7168, 2048, 815],
]);

/**
 * DeepGEMM, pull request 95 (May 2025), H800: weight gradients with FP32 accumulation; the grouped
 * rows as issue 107 quotes them. Groups run one after another.
 */
export const deepGemmWeightGradients: readonly PublishedProduct[] = products([
  [1, 7168, 2112, 4096, 920],
  [1, 1536, 24576, 4096, 986],
  [1, 512, 32768, 4096, 878],
  [1, 16384, 7168, 4096, 994],
  [1, 7168, 4096, 4096, 942],
  [1, 2048, 7168, 4096, 920],
  [1, 7168, 2112, 8192, 1052],
  [1, 1536, 24576, 8192, 1092],
  [1, 512, 32768, 8192, 1014],
  [4, 7168, 4096, 4096, 939],
  [4, 2048, 7168, 4096, 900],
  [4, 7168, 4096, 8192, 1044],
  [4, 2048, 7168, 8192, 1033],
  [8, 7168, 4096, 4096, 942],
]);

/** The same pull request: these kernels are "~20%" faster than the CUTLASS ones used before. */
export const WEIGHT_GRADIENT_GAIN = 1.2;

/** vLLM, pull requests 17126 and 49363, H100: BF16 products of PyTorch (cuBLAS), up to 256 rows. */
export const bf16Small: readonly PublishedProduct[] = products([
  [1, 16, 6144, 4096, 39.11],
  [1, 64, 6144, 4096, 160.59],
  [1, 128, 6144, 4096, 307.85],
  [1, 256, 6144, 4096, 544.33],
  [1, 16, 12288, 5376, 46.54],
  [1, 64, 12288, 5376, 182.59],
  [1, 128, 12288, 5376, 352.56],
]);

/**
 * FlashMLA, "a deep dive" (2025): tensor cores of an H800 sustain about 865 of 989 TFLOP/s in BF16,
 * since the clock falls to 1.6 GHz under load: what a large product of a library is given.
 */
export const BF16_SUSTAINED_SHARE: number = 865 / 989;

/** FlashAttention-3 (arXiv 2407.08608), figure 6: backward, head dim 128, H100; tokens × 2048. */
export const flashAttention3Backward: readonly {
  readonly sequenceLength: number;
  readonly teraflops: number;
}[] = [
  { sequenceLength: 512, teraflops: 316 },
  { sequenceLength: 1024, teraflops: 424 },
  { sequenceLength: 2048, teraflops: 501 },
  { sequenceLength: 4096, teraflops: 542 },
  { sequenceLength: 8192, teraflops: 559 },
  { sequenceLength: 16384, teraflops: 561 },
];

export interface PublishedCast {
  readonly rows: number;
  readonly columns: number;
  readonly microseconds: number;
}

/**
 * Transformer Engine, pull request 1513 (March 2025): DeepSeek's casts by 1 × 128 tiles as first
 * released, codes by rows and transposed from one kernel. The comment prints neither the card nor
 * the input's format; the recipe is for Hopper, and BF16 is what it casts.
 */
export const firstCastKernels: readonly PublishedCast[] = [
  { rows: 256, columns: 1024, microseconds: 10.15 },
  { rows: 4096, columns: 3072, microseconds: 30.89 },
  { rows: 4096, columns: 4096, microseconds: 44.86 },
  { rows: 4096, columns: 5440, microseconds: 70.51 },
  { rows: 16384, columns: 1024, microseconds: 44.76 },
  { rows: 16384, columns: 3072, microseconds: 125.24 },
  { rows: 16384, columns: 6144, microseconds: 245.32 },
  { rows: 16384, columns: 12288, microseconds: 486.6 },
];

/**
 * torchao, benchmarks of block-wise FP8 training (March 2026), H100: casts by 1 × 128 tiles, plain
 * and transposed, and of 128 × 128 blocks. BF16 in, FP8 and scales out.
 */
export const castKernels: readonly PublishedCast[] = [
  { rows: 32768, columns: 4096, microseconds: 154.46 },
  { rows: 32768, columns: 4096, microseconds: 150.53 },
  { rows: 32768, columns: 4096, microseconds: 150.86 },
  { rows: 32768, columns: 4096, microseconds: 148.7 },
  { rows: 32768, columns: 4096, microseconds: 144.99 },
  { rows: 131072, columns: 4096, microseconds: 581.89 },
  { rows: 131072, columns: 4096, microseconds: 586.98 },
  { rows: 131072, columns: 4096, microseconds: 581.47 },
  { rows: 131072, columns: 4096, microseconds: 562.56 },
  { rows: 131072, columns: 4096, microseconds: 555.3 },
];
