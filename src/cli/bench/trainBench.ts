/**
 * `moebius bench train` and `moebius bench kernels`: steps of a model on made-up tokens beside the
 * same step's prediction, and where a predicted step's time goes, each against the roofline.
 */
import { median } from '../../base/median.ts';
import { formatBytes, formatCount, formatPercent } from '../../base/units.ts';
import { countParameters, flopsPerToken } from '../../config/modelCounts.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../../config/trainConfig.ts';
import type { StepPrograms } from '../../policy/pipeline/singleRank.ts';
import { machineClock } from '../../runtime/clock.ts';
import type { LocalTrainingExecutor } from '../../runtime/localExecutor.ts';
import { OperationProfile } from '../../runtime/profileOperations.ts';
import type { TrainingState } from '../../runtime/trainingState.ts';
import { stepPrograms } from '../../training/step.ts';
import { readModelTarget } from '../modelTarget.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { prepareRank } from '../prepareTraining.ts';
import { priceStep, type StepPrediction } from '../priceStep.ts';
import { type Machine, openMachine, trainingExecutor } from '../wiring.ts';
import { zipfBatch } from '../zipfBatch.ts';
import { type BenchOptions, checkLength } from './benchOptions.ts';
import { describeLimits, type Limits, largerLimits, measureLimits } from './machineLimits.ts';
import { type OperationFigures, operationFigures, operationTable } from './operationTable.ts';

export interface TrainBenchOptions extends BenchOptions {
  /** Tokens of a sequence; 512. */
  readonly sequenceLength?: number;
  /** Measured steps. */
  readonly steps?: number;
  /** Where a step's time goes, operation by operation, measured in one more step. */
  readonly operations?: boolean;
}

const WARM_UP_STEPS = 1;
const DEFAULT_MODEL = 'v3-mini';
export const DEFAULT_LENGTH = 512;

export interface TrainFigures {
  readonly tokensPerSecond: number;
  readonly stepSeconds: number;
  readonly predictedStepSeconds: number;
  readonly fmaPeakGflops: number | null;
  readonly shareOfPeak: number | null;
  readonly peakMemoryBytes: number;
  /** Pages first touched in a measured step, the median; what is left is JavaScript's own. */
  readonly pageFaultsPerStep: number;
  /** Made-up tokens have no text behind them. */
  readonly validationBitsPerByte: null;
  readonly allStepSeconds: readonly number[];
  readonly flopsPerToken: number;
  readonly machine: string;
  readonly roofline: Limits | null;
  /** Of one more step, with a clock around every operation; with `--operations` only. */
  readonly operations?: readonly OperationFigures[];
}

export async function benchTrain(options: TrainBenchOptions): Promise<TrainFigures> {
  const { config, machine, programs } = await prepare(options);
  const limitSeconds = options.tiny === true ? 0.03 : 0.5;
  const before = measureLimits(machine, limitSeconds);
  const prediction = await priceStep(config, machine, programs);
  const { state, executor } = prepareRank(config, machine, '');
  const seconds: number[] = [];
  const faults: number[] = [];
  for (let step = 0; step < WARM_UP_STEPS + config.steps; step++) {
    const before = process.resourceUsage().minorPageFault;
    const spent = await timeStep(executor, programs);
    if (step < WARM_UP_STEPS) continue;
    seconds.push(spent);
    faults.push(process.resourceUsage().minorPageFault - before);
    note(`step ${step + 1 - WARM_UP_STEPS} of ${config.steps}: ${spent.toFixed(3)} s`);
  }
  // Before the limits are measured again, which takes 256 MiB.
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const limits = largerLimits(before, measureLimits(machine, limitSeconds));
  const measured = { seconds, faults, peakMemoryBytes };
  const timed = trainFigures(config, { ...measured, prediction, machine, limits });
  const isProfiled = options.operations === true || options.shapes === true;
  const figures = isProfiled
    ? { ...timed, operations: await profileStep(options, { config, state, programs, limits }) }
    : timed;
  printTrain(options, config, figures);
  return figures;
}

async function timeStep(executor: LocalTrainingExecutor, programs: StepPrograms): Promise<number> {
  const started = machineClock.now();
  await executor.run(programs.compute);
  await executor.run(programs.apply);
  return machineClock.now() - started;
}

/** One step on an executor of its own, so that the timed steps ran without a clock inside. */
async function profileStep(
  options: TrainBenchOptions,
  args: {
    config: TrainConfig;
    state: TrainingState;
    programs: StepPrograms;
    limits: Limits | null;
  },
): Promise<OperationFigures[]> {
  const { config, state, programs, limits } = args;
  const { kernels } = state.options;
  const by = options.shapes === true ? 'key' : 'family';
  const profile = new OperationProfile(kernels, machineClock, by);
  const executor = trainingExecutor({
    state: { ...state, options: { ...state.options, kernels: profile.kernels } },
    clock: machineClock,
    lossForm: { balanceForm: config.balance.form, mtpHidden: 'postNorm' },
    checkpointDirectory: '',
  });
  // The first step takes memory from the system.
  await timeStep(executor, programs);
  await profile.during(() => timeStep(executor, programs));
  return operationFigures(profile, limits);
}

function printTrain(options: TrainBenchOptions, config: TrainConfig, figures: TrainFigures): void {
  const { tokensPerSecond, stepSeconds, predictedStepSeconds, allStepSeconds: all } = figures;
  const { sequences, length } = config.batch;
  const name = options.config ?? DEFAULT_MODEL;
  const rows: Cell[][] = [
    ['model', `${name}, ${formatCount(countParameters(config.model).total)} parameters`],
    ['step', `${sequences} × ${length} tokens, ${figures.machine}`],
    ['tokens per second', formatCount(Math.round(tokensPerSecond))],
    [
      'seconds per step',
      `${stepSeconds.toFixed(4)} (predicted ${predictedStepSeconds.toFixed(4)})`,
    ],
    ['spread', `${Math.min(...all).toFixed(4)} to ${Math.max(...all).toFixed(4)}`],
    ['limits in this run', describeLimits(figures.roofline)],
    ['share of FMA peak', figures.shareOfPeak === null ? '–' : formatPercent(figures.shareOfPeak)],
    ['peak memory', formatBytes(figures.peakMemoryBytes)],
    ['page faults per step', figures.pageFaultsPerStep],
  ];
  const operations = figures.operations && `\n\n${operationTable(figures.operations)}`;
  printResult(options, {
    table: `${formatTable(rows)}${operations ?? ''}`,
    json: { ...figures },
  });
}

function trainFigures(
  config: TrainConfig,
  args: {
    seconds: readonly number[];
    faults: readonly number[];
    peakMemoryBytes: number;
    prediction: StepPrediction;
    machine: Machine;
    limits: Limits | null;
  },
): TrainFigures {
  const { seconds, faults, peakMemoryBytes, prediction, machine, limits } = args;
  const { length, sequences } = config.batch;
  const stepSeconds = median(seconds);
  const tokensPerSecond = (length * sequences) / stepSeconds;
  const counted = { context: length, causal: true, mtp: true, training: true };
  const flops = flopsPerToken(config.model, counted);
  return {
    tokensPerSecond,
    stepSeconds,
    predictedStepSeconds: prediction.seconds,
    fmaPeakGflops: limits?.fmaPeakGflops ?? null,
    shareOfPeak: limits && (tokensPerSecond * flops) / (limits.fmaPeakGflops * 1e9),
    peakMemoryBytes,
    pageFaultsPerStep: median(faults),
    validationBitsPerByte: null,
    allStepSeconds: seconds,
    flopsPerToken: flops,
    machine: machine.description,
    roofline: limits,
  };
}

export async function benchKernels(
  options: TrainBenchOptions,
): Promise<Readonly<Record<string, unknown>>> {
  const { config, machine, programs } = await prepare(options);
  const { profile, seconds, families } = await priceStep(config, machine, programs);
  const { fmaPeak, readBandwidth } = profile.roofline;
  const sorted = families.toSorted((a, b) => b.seconds - a.seconds);
  const figures = sorted.map(({ family, calls, seconds: spent, flops, bytes }) => {
    const limit = Math.max(flops / fmaPeak, bytes / readBandwidth);
    return {
      operation: family,
      calls,
      seconds: spent,
      shareOfStep: spent / seconds,
      gflops: flops / spent / 1e9,
      gigabytesPerSecond: bytes / spent / 1e9,
      shareOfRoofline: machine.addon === null ? null : limit / spent,
    };
  });
  const rows = figures.map((each) => [
    each.operation,
    each.calls,
    (each.seconds * 1e3).toFixed(2),
    formatPercent(each.shareOfStep),
    each.gflops.toFixed(1),
    each.gigabytesPerSecond.toFixed(1),
    each.shareOfRoofline === null ? '–' : formatPercent(each.shareOfRoofline, 0),
  ]);
  const header = ['operation', 'calls', 'ms', 'of step', 'GFLOP/s', 'GB/s', 'of roofline'];
  const peak = `${(fmaPeak / 1e9).toFixed(0)} GFLOP/s`;
  const limits = `${machine.description}: ${peak}, read ${(readBandwidth / 1e9).toFixed(1)} GB/s`;
  const json = { stepSeconds: seconds, roofline: profile.roofline, operations: figures };
  printResult(options, {
    table: `${formatTable(rows, header)}\n${machine.addon === null ? machine.description : limits}`,
    json,
  });
  return json;
}

async function prepare(
  options: TrainBenchOptions,
): Promise<{ config: TrainConfig; machine: Machine; programs: StepPrograms }> {
  const { config: model } = await readModelTarget(options.config ?? DEFAULT_MODEL);
  const machine = openMachine({ kernels: options.kernels, note });
  const isTiny = options.tiny === true;
  const length = options.sequenceLength ?? (isTiny ? 32 : DEFAULT_LENGTH);
  const sequences = options.batch ?? (isTiny ? 2 : 8);
  checkLength(model, length, '--sequence-length');
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'bench',
    steps: options.steps ?? (isTiny ? 2 : 5),
    model,
    batch: { ...TRAIN_DEFAULTS.batch, sequences, microBatch: sequences, length },
  };
  const batch = zipfBatch(model, { numSequences: sequences, length });
  return { config, machine, programs: stepPrograms(config, [batch]) };
}
