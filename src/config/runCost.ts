/**
 * What a training run comes to: how fast, what share of the peak, how long, how dear. Pure sums
 * over a step's seconds; who knows the seconds is the simulator's or a stopwatch's business.
 *
 * MFU (model FLOPs utilisation) is the FLOPs that the model needs over those that the GPUs could
 * have done: what is computed twice to save memory counts for nothing. DeepSeek prints it twice,
 * with half of attention's square (causal) and with all of it (ISCA 2025, table 4).
 */
import type { PriceSpec } from './clusterSpec.ts';
import type { PlannedModel } from './gqaModelConfig.ts';
import { flopsPerToken } from './modelCounts.ts';

const SECONDS_PER_HOUR = 3600;
const HOURS_PER_DAY = 24;
const SECONDS_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR;

/** One training step, as long as it takes. */
export interface TimedStep {
  readonly tokensPerStep: number;
  readonly stepSeconds: number;
}

export function tokensPerDay({ tokensPerStep, stepSeconds }: TimedStep): number {
  return (tokensPerStep / stepSeconds) * SECONDS_PER_DAY;
}

export function stepSecondsAt(rate: {
  readonly tokensPerStep: number;
  readonly tokensPerDay: number;
}): number {
  return (rate.tokensPerStep / rate.tokensPerDay) * SECONDS_PER_DAY;
}

export interface UtilizationOptions extends TimedStep {
  readonly model: PlannedModel;
  /** Tokens of a sequence. */
  readonly sequenceLength: number;
  /** Whether FLOPs of MTP modules count; DeepSeek's figures leave them out. */
  readonly mtp: boolean;
  readonly numGpus: number;
  /** Of one GPU, FLOP/s; MFU is printed against the BF16 peak even where products run in FP8. */
  readonly peakFlops: number;
}

/** Shares are of 1; TFLOPS are of one GPU. */
export interface Utilization {
  readonly flopsPerTokenCausal: number;
  readonly flopsPerTokenNonCausal: number;
  readonly tflopsCausal: number;
  readonly tflopsNonCausal: number;
  readonly mfuCausal: number;
  readonly mfuNonCausal: number;
}

export function utilization(options: UtilizationOptions): Utilization {
  const { model, sequenceLength: context, mtp, numGpus, peakFlops } = options;
  const tokensPerGpuSecond = options.tokensPerStep / options.stepSeconds / numGpus;
  const causal = flopsPerToken(model, { context, causal: true, mtp, training: true });
  const nonCausal = flopsPerToken(model, { context, causal: false, mtp, training: true });
  return {
    flopsPerTokenCausal: causal,
    flopsPerTokenNonCausal: nonCausal,
    tflopsCausal: (causal * tokensPerGpuSecond) / 1e12,
    tflopsNonCausal: (nonCausal * tokensPerGpuSecond) / 1e12,
    mfuCausal: (causal * tokensPerGpuSecond) / peakFlops,
    mfuNonCausal: (nonCausal * tokensPerGpuSecond) / peakFlops,
  };
}

/** FLOPs over what GPUs at their peak do in so many hours: MFU of a whole run. */
export function utilizationOfRun(run: {
  readonly flops: number;
  readonly gpuHours: number;
  readonly peakFlops: number;
}): number {
  return run.flops / (run.gpuHours * SECONDS_PER_HOUR * run.peakFlops);
}

/** Days that a number of GPU-hours takes on so many GPUs. */
export function daysOn(run: { readonly gpuHours: number; readonly numGpus: number }): number {
  return run.gpuHours / run.numGpus / HOURS_PER_DAY;
}

export function gpuHoursOf(run: { readonly days: number; readonly numGpus: number }): number {
  return run.days * HOURS_PER_DAY * run.numGpus;
}

export function dollarsOf(gpuHours: number, price: Pick<PriceSpec, 'dollarsPerGpuHour'>): number {
  return gpuHours * price.dollarsPerGpuHour;
}

/** With the GPU's share of host, network and cooling. */
export function kilowattHoursOf(
  gpuHours: number,
  price: Pick<PriceSpec, 'wattsPerGpu' | 'pue'>,
): number {
  return (gpuHours * price.wattsPerGpu * price.pue) / 1000;
}

export interface RunCostOptions extends TimedStep {
  /** Tokens of the whole run. */
  readonly totalTokens: number;
  readonly numGpus: number;
  readonly price: PriceSpec;
}

export interface RunCost {
  /** Not rounded: the last step may be a part of one. */
  readonly numSteps: number;
  readonly hours: number;
  readonly days: number;
  readonly gpuHours: number;
  readonly dollars: number;
  readonly kilowattHours: number;
}

export function runCost(options: RunCostOptions): RunCost {
  const { tokensPerStep, stepSeconds, totalTokens, numGpus, price } = options;
  const numSteps = totalTokens / tokensPerStep;
  const hours = (numSteps * stepSeconds) / SECONDS_PER_HOUR;
  const gpuHours = hours * numGpus;
  return {
    numSteps,
    hours,
    days: hours / HOURS_PER_DAY,
    gpuHours,
    dollars: dollarsOf(gpuHours, price),
    kilowattHours: kilowattHoursOf(gpuHours, price),
  };
}
