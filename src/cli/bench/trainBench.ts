/**
 * `moebius bench train` and `moebius bench kernels`: steps of a model on made-up tokens beside the
 * same step's prediction, and where a predicted step's time goes, each against the roofline.
 */
import { formatBytes, formatCount, formatPercent } from '../../base/units.ts';
import { countParameters, flopsPerToken } from '../../config/modelCounts.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../../config/trainConfig.ts';
import type { StepPrograms } from '../../policy/pipeline/singleRank.ts';
import { machineClock } from '../../runtime/clock.ts';
import { stepPrograms } from '../../training/step.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { prepareRank } from '../prepareTraining.ts';
import { priceStep, type StepPrediction } from '../priceStep.ts';
import { type Machine, openMachine } from '../wiring.ts';
import { zipfBatch } from '../zipfBatch.ts';
import { type BenchOptions, benchModel, checkLength, median } from './benchOptions.ts';

export interface TrainBenchOptions extends BenchOptions {
  readonly sequenceLength: number;
  /** Measured steps. */
  readonly steps?: number;
}

const WARM_UP_STEPS = 1;

export async function benchTrain(options: TrainBenchOptions): Promise<void> {
  const { config, machine, programs } = await prepare(options);
  const prediction = await priceStep(config, machine, programs);
  const { executor } = prepareRank(config, machine, '');
  const seconds: number[] = [];
  for (let step = 0; step < WARM_UP_STEPS + config.steps; step++) {
    const started = machineClock.now();
    await executor.run(programs.compute);
    await executor.run(programs.apply);
    if (step < WARM_UP_STEPS) continue;
    seconds.push(machineClock.now() - started);
    note(`step ${step + 1 - WARM_UP_STEPS} of ${config.steps}: ${seconds.at(-1)?.toFixed(3)} s`);
  }
  const figures = trainFigures(config, { seconds, prediction, machine });
  const { tokensPerSecond, stepSeconds, predictedStepSeconds, shareOfPeak } = figures;
  const rows: Cell[][] = [
    [
      'model',
      `${options.config ?? 'v3-mini'}, ${formatCount(countParameters(config.model).total)} parameters`,
    ],
    ['step', `${config.batch.sequences} × ${config.batch.length} tokens, ${machine.description}`],
    ['tokens per second', formatCount(Math.round(tokensPerSecond))],
    [
      'seconds per step',
      `${stepSeconds.toFixed(4)} (predicted ${predictedStepSeconds.toFixed(4)})`,
    ],
    ['spread', `${Math.min(...seconds).toFixed(4)} to ${Math.max(...seconds).toFixed(4)}`],
    ['FMA peak', `${(figures.fmaPeakGflops ?? 0).toFixed(0)} GFLOP/s`],
    ['share of peak', formatPercent(shareOfPeak ?? 0)],
    ['peak memory', formatBytes(figures.peakMemoryBytes)],
  ];
  printResult(options, { table: formatTable(rows), json: { ...figures } });
}

interface TrainFigures {
  readonly tokensPerSecond: number;
  readonly stepSeconds: number;
  readonly predictedStepSeconds: number;
  readonly fmaPeakGflops: number | null;
  readonly shareOfPeak: number | null;
  readonly peakMemoryBytes: number;
  /** Made-up tokens have no text behind them. */
  readonly validationBitsPerByte: null;
  readonly allStepSeconds: readonly number[];
}

function trainFigures(
  config: TrainConfig,
  args: { seconds: readonly number[]; prediction: StepPrediction; machine: Machine },
): TrainFigures {
  const { seconds, prediction, machine } = args;
  const { length, sequences } = config.batch;
  const stepSeconds = median(seconds);
  const tokensPerSecond = (length * sequences) / stepSeconds;
  const counted = { context: length, causal: true, mtp: true, training: true };
  const peak = prediction.profile.roofline.fmaPeak;
  const hasPeak = machine.addon !== null;
  return {
    tokensPerSecond,
    stepSeconds,
    predictedStepSeconds: prediction.seconds,
    fmaPeakGflops: hasPeak ? peak / 1e9 : null,
    shareOfPeak: hasPeak ? (tokensPerSecond * flopsPerToken(config.model, counted)) / peak : null,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    validationBitsPerByte: null,
    allStepSeconds: seconds,
  };
}

export async function benchKernels(options: TrainBenchOptions): Promise<void> {
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
  printResult(options, {
    table: `${formatTable(rows, header)}\n${machine.addon === null ? machine.description : limits}`,
    json: { stepSeconds: seconds, roofline: profile.roofline, operations: figures },
  });
}

async function prepare(
  options: TrainBenchOptions,
): Promise<{ config: TrainConfig; machine: Machine; programs: StepPrograms }> {
  const model = await benchModel(options.config ?? 'v3-mini');
  const machine = openMachine({ kernels: options.kernels, note });
  const isTiny = options.tiny === true;
  const length = isTiny ? 32 : options.sequenceLength;
  const sequences = isTiny ? 2 : (options.batch ?? 8);
  checkLength(model, options.sequenceLength, '--sequence-length');
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'bench',
    steps: isTiny ? 2 : (options.steps ?? 5),
    model,
    batch: { ...TRAIN_DEFAULTS.batch, sequences, microBatch: sequences, length },
  };
  const batch = zipfBatch(model, { numSequences: sequences, length });
  return { config, machine, programs: stepPrograms(config, [batch]) };
}
