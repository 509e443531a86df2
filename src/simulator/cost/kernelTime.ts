/**
 * Seconds of one kernel on one GPU, from the fitted curves, with where the number is from.
 *
 * Products and attention follow curves fitted on H800 tables; fewer SMs mean more waves. Kernels
 * bound by memory reach the share of the bandwidth that published casts reach; nothing else of
 * their kind was measured, so they are `derived`. On another chip the same curves are stretched by
 * its peaks, SMs and bandwidth, held below what was published there (`otherChips.ts`), and called
 * `extrapolated`.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { GpuSpec } from '../../config/clusterSpec.ts';
import type { Fp8Scaling } from '../../config/engineTraits.ts';
import type { EstimateSource } from '../estimate.ts';
import { curves } from './curves.ts';
import { FIT_GPU, type FittedProduct } from './fitCurves.ts';
import { reachedShares } from './otherChips.ts';
import { type ProductCurve, productTime, type TensorMachine } from './productTime.ts';
import type { KernelClass, KernelWork } from './stageWork.ts';

/**
 * Which generation of kernels runs. `first`: DeepGEMM as first released and the CUTLASS weight
 * gradients before it, nearest to what DeepSeek-V3 was trained with; `later`: 2025's faster ones.
 */
export type KernelRelease = 'first' | 'later';

/** Measured seconds over ours, and the error that is left; null: nobody could tell. */
export interface KernelFactor {
  readonly factor: number;
  readonly relativeError: number | null;
}

/** By class of kernel. */
export type KernelFactors = Readonly<Partial<Record<KernelClass, KernelFactor>>>;

export interface KernelMachine {
  readonly gpu: GpuSpec;
  /**
   * SMs that FP8 products and attention are laid out for: DeepGEMM's grids are set once for the
   * process, so that DeepEP's kernels find theirs free (both have `set_num_sms`, and
   * FlashAttention-3 has `sm_margin`).
   */
  readonly numSms: number;
  /** SMs that are free: what any other kernel spreads over. */
  readonly freeSms: number;
  readonly release: KernelRelease;
  readonly fp8Scaling: Fp8Scaling;
  /** Memory bandwidth that transfers take from kernels bound by memory, bytes/s. */
  readonly memoryTaken: number;
  readonly factors?: KernelFactors;
  /** Seconds of the slowest GPU that others wait for over those of the tables’; 1 by default. */
  readonly pace?: number;
}

export interface KernelTime {
  readonly seconds: number;
  readonly source: EstimateSource;
  readonly relativeError: number;
  readonly bound: 'compute' | 'memory';
}

/**
 * Of kernels nobody published: casts of one shape take from 22 to 77 µs on an H100 depending on who
 * wrote them (vLLM, pull request 24697), a factor of 3.5 that ± 30 % covers in the middle.
 */
const DERIVED_ERROR = 0.3;
/** Of a curve on a chip that it was not fitted on. */
const OTHER_CHIP_ERROR = 0.2;
/** A fit of one release used for another, or inside a busier GPU. */
const FITTED_FLOOR = 0.05;

export function kernelTime(kernel: KernelWork, machine: KernelMachine): KernelTime {
  const time = curveTime(kernel, machine);
  const factor = machine.factors?.[kernel.class];
  const seconds = time.seconds * (machine.pace ?? 1);
  return factor === undefined
    ? { ...time, seconds }
    : {
        ...time,
        seconds: seconds * factor.factor,
        source: 'fitted',
        relativeError: factor.relativeError ?? time.relativeError,
      };
}

function curveTime(kernel: KernelWork, machine: KernelMachine): KernelTime {
  const { gpu } = machine;
  switch (kernel.class) {
    case 'fp8Gemm':
    case 'fp8GroupedGemm':
    case 'fp8WeightGradient':
    case 'bf16Gemm':
    case 'bf16GroupedGemm':
    case 'bf16WeightGradient':
      return tensorTime(kernel, machine);
    case 'attentionForward':
    case 'attentionBackward':
      return attentionTime(kernel, machine);
    default: {
      const free = gpu.memoryBytesPerSecond - machine.memoryTaken;
      const { share, relativeError } = memoryShare(kernel, machine);
      return {
        seconds:
          gpu.launchSeconds + kernel.bytes / (share * Math.max(free, gpu.memoryBytesPerSecond / 2)),
        source: 'derived',
        relativeError,
        bound: 'memory',
      };
    }
  }
}

/**
 * Share of the bandwidth that a kernel bound by memory reaches. `later`: what casts written in 2026
 * do. `first`: casts as Transformer Engine first released them, everything else as DeepGEMM's first
 * kernels do where memory bounds them (its masked products, 2.0 of 3.35 TB/s), since nobody
 * published the others of the time.
 *
 * A kernel that stays below what others reach is bound by what its SMs keep in flight, so it goes
 * with their number; never above the ceiling. A kernel at the ceiling needs half of the SMs: memory
 * wants 2 MB in flight (3.35 TB/s × 600 ns), a full SM that loads 16 bytes a thread keeps 32 KB.
 */
function memoryShare(
  kernel: KernelWork,
  { release, gpu, freeSms }: KernelMachine,
): { share: number; relativeError: number } {
  const ceiling = curves.castLater.memoryShare;
  const sms = freeSms / gpu.numSms;
  const relativeError = DERIVED_ERROR;
  if (release === 'later') return { share: ceiling * Math.min(1, 2 * sms), relativeError };
  const isCast = kernel.class === 'cast' || kernel.class === 'transposedCast';
  const own = isCast ? curves.castFirst : curves.fp8GroupedFirst.curve;
  return { share: Math.min(ceiling, own.memoryShare * sms), relativeError };
}

function tensorTime(kernel: KernelWork, machine: KernelMachine): KernelTime {
  const { gpu, fp8Scaling } = machine;
  const isFp8 = kernel.class.startsWith('fp8');
  const numSms = isFp8 ? machine.numSms : machine.freeSms;
  const isGradient = isWeightGradient(kernel.class);
  const fitted = fittedOf(kernel.class, machine);
  const peak = isFp8 ? gpu.peakFlops.fp8 : gpu.peakFlops.bf16;
  if (peak === null) {
    throw new MoebiusError('plan.precision', `${gpu.name} has no FP8 tensor cores`, {
      values: { gpu: gpu.name, precision: 'fp8' },
      hint: 'Set precision to bf16, or choose a GPU with FP8.',
    });
  }
  const target: TensorMachine = {
    numSms,
    smFlops: peak / gpu.numSms,
    memoryBytesPerSecond: gpu.memoryBytesPerSecond,
  };
  const curve = stretched(fitted.curve, { gpu, isFp8, target, fp8Scaling });
  const { m, groups } = kernel;
  const rows = isGradient ? m : m / groups;
  const sums = isGradient && fp8Scaling !== 'tiles' ? sumBytes(kernel) : 0;
  const time = productTime(curve, { ...kernel, m: rows, bytes: kernel.bytes - sums }, target);
  const adding = sums / (gpu.memoryBytesPerSecond * curve.memoryShare);
  const reached = reachedShares(gpu);
  const share = reached === null ? 1 : isFp8 ? reached.fp8 : reached.bf16;
  const least = (kernel.flops + kernel.recomputedFlops) / (peak * share * (numSms / gpu.numSms));
  const { bound } = time;
  const seconds = Math.max(time.seconds, least) + adding;
  const isInTable = isFp8 && fp8Scaling === 'tiles';
  const isDense = kernel.class === 'bf16Gemm' || kernel.class === 'fp8Gemm';
  const isMeasured = isInTable || (isDense && rows <= LIBRARY_ROWS);
  return { seconds, bound, ...provenance(gpu, { rms: fitted.residuals.rms, isMeasured }) };
}

/**
 * Weight gradients are added to FP32 sums, read and written where a tile ends. Nobody published a
 * library's; DeepGEMM's (pull request 95) show that these bytes come on top: over 4,096 tokens all
 * six of its rows take FLOPs / 1,400 TFLOP/s, which its large forward products do, and the bytes of
 * the sums over the bandwidth, and 0 to 18 µs. The fit of those rows has it for scales by tiles.
 * What that recipe leaves in BF16, gates and a head, is priced as other products are: its kernels
 * are not known.
 */
function sumBytes({ m, n, groups }: KernelWork): number {
  return 8 * m * n * groups;
}

/** Tables of library products end here, and have no experts and no weight gradients. */
const LIBRARY_ROWS = 256;

function isWeightGradient(kernelClass: KernelClass): boolean {
  return kernelClass === 'fp8WeightGradient' || kernelClass === 'bf16WeightGradient';
}

function fittedOf(kernelClass: KernelClass, { release, fp8Scaling }: KernelMachine): FittedProduct {
  // Without scales by tiles a library does no worse than the later kernels do with them.
  if (kernelClass.startsWith('fp8') && fp8Scaling !== 'tiles') return curves.fp8Later;
  const isFirst = release === 'first';
  switch (kernelClass) {
    case 'fp8Gemm':
      return isFirst ? curves.fp8First : curves.fp8Later;
    case 'fp8GroupedGemm':
      return isFirst ? curves.fp8GroupedFirst : curves.fp8GroupedLater;
    case 'fp8WeightGradient':
      return isFirst ? curves.fp8WeightGradientFirst : curves.fp8WeightGradientLater;
    default:
      return curves.bf16;
  }
}

/**
 * The curve on another chip. What a tile costs beside the tensor core keeps its share where the
 * chip is faster (its kernels are written for it); the additions of promoted sums follow the
 * ordinary cores, and a chip that sums in FP32 pays what a BF16 step pays.
 */
function stretched(
  curve: ProductCurve,
  args: { gpu: GpuSpec; isFp8: boolean; target: TensorMachine; fp8Scaling: Fp8Scaling },
): ProductCurve {
  const { gpu, isFp8, target, fp8Scaling } = args;
  const fitted = (isFp8 ? FIT_GPU.fp8 : FIT_GPU.bf16) / FIT_GPU.numSms;
  const faster = Math.min(1, fitted / target.smFlops);
  const vector = VECTOR_FLOPS / FIT_GPU.numSms / (gpu.vectorFlops / gpu.numSms);
  let { stepSeconds, tensorShare } = curve;
  if (isFp8 && fp8Scaling !== 'tiles') {
    stepSeconds *= faster;
  } else if (isFp8 && gpu.fp8Accumulation === 'fp32') {
    stepSeconds = Math.min(stepSeconds, curves.bf16.curve.stepSeconds / 2) * faster;
    tensorShare = Math.max(tensorShare, curves.bf16.curve.tensorShare);
  } else {
    stepSeconds *= isFp8 ? vector : faster;
  }
  return { ...curve, tensorShare, stepSeconds, tileSeconds: curve.tileSeconds * faster };
}

/** Of the card that the curves were fitted on, FLOP/s of its ordinary cores in FP32. */
const VECTOR_FLOPS = 66.9e12;

function attentionTime(kernel: KernelWork, machine: KernelMachine): KernelTime {
  const { gpu, numSms } = machine;
  const isForward = kernel.class === 'attentionForward';
  const fitted = isForward ? curves.attentionForward : curves.attentionBackward;
  const { m: tokens, n: pairs, k: width, groups: heads, flops, recomputedFlops } = kernel;
  // A sequence of T tokens has T (T + 1) / 2 pairs.
  const length = Math.max(1, (2 * pairs) / tokens - 1);
  const share = numSms / gpu.numSms;
  const covered = (flops + recomputedFlops) * (1 + fitted.tile / length);
  const ends = (fitted.secondsPerElement * (tokens * heads * width)) / 2;
  const reached = isForward ? null : reachedShares(gpu);
  const tensorShare = reached?.attentionBackward ?? fitted.tensorShare;
  const core = covered / (gpu.peakFlops.bf16 * tensorShare * share);
  const memory = FIT_GPU.memoryBytesPerSecond / gpu.memoryBytesPerSecond;
  return {
    // The forward table's fixed time holds the launch.
    seconds: Math.max(gpu.launchSeconds, fitted.launchSeconds) + core + ends * memory,
    bound: 'compute',
    ...provenance(gpu, { rms: fitted.residuals.rms, isMeasured: true }),
  };
}

function provenance(
  gpu: GpuSpec,
  { rms, isMeasured }: { rms: number; isMeasured: boolean },
): { source: EstimateSource; relativeError: number } {
  const own = Math.max(FITTED_FLOOR, rms);
  if (!isFittedChip(gpu)) {
    return { source: 'extrapolated', relativeError: Math.hypot(own, OTHER_CHIP_ERROR) };
  }
  if (!isMeasured) return { source: 'extrapolated', relativeError: Math.hypot(own, 0.15) };
  return { source: 'fitted', relativeError: own };
}

/** H800 and H100 SXM: the tables' cards, by what matters here. */
export function isFittedChip(gpu: GpuSpec): boolean {
  const { numSms, peakFlops, memoryBytesPerSecond } = gpu;
  return (
    numSms === FIT_GPU.numSms &&
    Math.abs(peakFlops.bf16 / FIT_GPU.bf16 - 1) < 0.01 &&
    Math.abs(memoryBytesPerSecond / FIT_GPU.memoryBytesPerSecond - 1) < 0.01
  );
}
