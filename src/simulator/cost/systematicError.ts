/**
 * What a whole pass is off by, whatever it is made of: errors that do not average out over classes
 * of kernels because one cause moves them all. One standard deviation each.
 */
import type { GpuSpec } from '../../config/clusterSpec.ts';
import type { EngineTraits } from '../../config/engineTraits.ts';
import { isFittedChip } from './kernelTime.ts';

/**
 * Clocks under load, gaps, ranks that wait for one another. Two published measurements of the same
 * FP8 products on the same card (DeepGEMM, InferSim) are 9 to 28 % apart.
 */
const ANY = 0.08;

/**
 * A chip that no curve was fitted on. Kernels published for such chips against the stretched
 * curves: on B200 BF16 products 17 %, FP8 products 8 %, attention's backward pass 18 % and forward
 * 2 % slower (`otherChips.ts`); on A100 BF16 products 2 % faster (Fire-Flyer, table 2). Root of the
 * mean square.
 */
const OTHER_CHIP = 0.12;

/**
 * Experts over ranks, in an engine whose kernels around the experts nobody published. How much such
 * code moves a step: Megatron-Bridge's tables give runs of one model on one chip in two releases,
 * where ln of the ratio is 0.23 (DeepSeek-V3, B200), 0.09, 0.04, 0.05 (Qwen3 30B, GB200, B200,
 * GB300), 0.15, 0.04 (Qwen3 235B, B200, H100) and 0.03 (DeepSeek-V3, GB200), and in one release
 * B300 is 0.34 behind B200 for another cut of the pipeline. Root of the mean square; only the width
 * is taken from them.
 */
const FOREIGN_EXPERTS = 0.16;

export function systematicError({
  gpu,
  ep,
  engine,
}: {
  readonly gpu: GpuSpec;
  readonly ep: number;
  readonly engine: EngineTraits;
}): number {
  const isForeign = ep > 1 && Object.keys(engine).length > 0;
  return Math.hypot(ANY, isFittedChip(gpu) ? 0 : OTHER_CHIP, isForeign ? FOREIGN_EXPERTS : 0);
}
