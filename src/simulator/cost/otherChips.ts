/**
 * What published kernels reach on chips that no curve was fitted on, as shares of the data sheet's
 * peak: power and heat hold large products below it, on Blackwell further than on Hopper. A
 * stretched curve never goes above these. Kernel measurements only; no training run is in here.
 */
import type { GpuSpec } from '../../config/clusterSpec.ts';

export interface ReachedShares {
  /** The most that a large product does. */
  readonly bf16: number;
  readonly fp8: number;
  /** Attention's backward pass, causal, 8,192 tokens, heads of 128; of the BF16 peak. */
  readonly attentionBackward: number;
}

/**
 * B200. Products: OpenXLA's table for sm_100 (matmul_interpolator_data.h), 4,096³: 1,417 TFLOP/s in
 * BF16 and 2,785 in FP8; torchao, pull request 2427: 1,450 in BF16 at 6,144³ and 1,420 at 8,192³;
 * vLLM, pull request 19566: 2,545 in FP8. Attention: FlashAttention, pull request 2280: 1,118
 * TFLOP/s backward (1,418 forward, which the curve has too).
 */
const b200: ReachedShares = {
  bf16: 1450 / 2250,
  fp8: 2785 / 4500,
  attentionBackward: 1118 / 2250,
};

/**
 * GB200, the same dies with more power. Products: Transformer Engine, issue 2053: 1,644 TFLOP/s in
 * BF16 (8,192 × 2,048 × 2,048); SGLang, pull request 13528: DeepGEMM's FP8 takes 114 µs more for
 * 1,024 rows more of 24,576 × 7,168: 3,155. Attention as on B200.
 */
const gb200: ReachedShares = {
  bf16: 1644 / 2500,
  fp8: 3155 / 5000,
  attentionBackward: b200.attentionBackward,
};

/** Null where nothing is known beyond the data sheet. */
export function reachedShares({ name }: Pick<GpuSpec, 'name'>): ReachedShares | null {
  if (name === 'B200') return b200;
  return name === 'GB200' ? gb200 : null;
}
