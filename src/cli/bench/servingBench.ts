/**
 * `moebius bench decode|prefill`: the serving path on made-up weights of any dtype, against the
 * machine's read speed and FMA peak of the same run.
 *
 * Passes are timed one by one without any clock inside; the same passes once more, with a clock
 * around every operation, say which experts were chosen and where the time goes.
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { median } from '../../base/median.ts';
import { formatBytes, formatPercent } from '../../base/units.ts';
import { machineClock } from '../../runtime/clock.ts';
import { type OpenedModel, openModel, readModelConfig } from '../../runtime/openModel.ts';
import { OperationProfile } from '../../runtime/profileOperations.ts';
import { createRandomModel } from '../../runtime/randomModel.ts';
import { readModelTarget } from '../modelTarget.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { progressLine } from '../progressLine.ts';
import { weightDType } from '../weightDType.ts';
import { type Machine, openMachine } from '../wiring.ts';
import { type BenchOptions, checkLength } from './benchOptions.ts';
import { BenchSession } from './benchSession.ts';
import { describeLimits, type Limits, largerLimits, measureLimits } from './machineLimits.ts';
import { type OperationFigures, operationFigures, operationTable } from './operationTable.ts';
import {
  bytesOfPass,
  decodeFlopsPerToken,
  expectedExperts,
  prefillFlopsPerToken,
} from './servingCost.ts';

export interface ServingBenchOptions extends BenchOptions {
  readonly dtype?: string;
  /** Tokens of each prompt before decoding begins. */
  readonly context?: number;
  /** Decoded tokens of each sequence that are timed. */
  readonly tokens?: number;
  /** Tokens of a prompt in `prefill`. */
  readonly prompt?: number;
  /** Prompts in `prefill`, one after another. */
  readonly steps?: number;
  /** A checkpoint in place of made-up weights. */
  readonly model?: string;
}

/** What is run and how often, once the options are settled. */
interface Workload {
  readonly kind: 'decode' | 'prefill';
  readonly config: string;
  readonly numSequences: number;
  /** Tokens of a sequence's first pass. */
  readonly promptTokens: number;
  /** Timed passes, and those before them. */
  readonly numPasses: number;
  readonly numWarmUp: number;
  readonly maxPositions: number;
}

export interface ServingFigures {
  readonly tokensPerSecond: number;
  /** Weights and caches that a pass reads, over its tokens. */
  readonly bytesPerToken: number;
  readonly readBytesPerSecond: number;
  readonly shareOfBandwidth: number | null;
  readonly shareOfPeak: number | null;
  readonly tokensPerSecondMean: number;
  /** From the gap that a tenth of the passes stay below: what the program does undisturbed. */
  readonly tokensPerSecondP10: number;
  readonly medianSeconds: number;
  readonly allSeconds: readonly number[];
  readonly flopsPerToken: number;
  /** Distinct routed experts per layer and pass; counted in the profiled passes, else expected. */
  readonly expertsPerLayer: number;
  readonly expertsAre: 'counted' | 'expected';
  readonly workload: Workload;
  readonly dtypes: readonly string[];
  readonly weightBytes: number;
  readonly machine: string;
  readonly roofline: Limits | null;
  readonly peakMemoryBytes: number;
  /** Of the profiled passes: `seconds` are theirs, all together. */
  readonly operations: readonly OperationFigures[];
}

export async function benchServing(
  kind: Workload['kind'],
  options: ServingBenchOptions,
): Promise<ServingFigures> {
  const workload = workloadOf(kind, options);
  const machine = openMachine({ kernels: options.kernels, note });
  const opened = await openWeights(workload, options, machine);
  const seconds = options.tiny === true ? 0.03 : 0.5;
  const before = measureLimits(machine, seconds);
  const timed = await timePasses(workload, { opened, kernels: machine.kernels });
  const profile = new OperationProfile(
    machine.kernels,
    machineClock,
    options.shapes ? 'key' : 'family',
  );
  await timePasses(workload, { opened, kernels: profile.kernels, profile });
  const limits = largerLimits(before, measureLimits(machine, seconds));
  const figures = figuresOf(workload, { opened, machine, limits, timed, profile });
  print(figures, options);
  return figures;
}

function workloadOf(kind: Workload['kind'], options: ServingBenchOptions): Workload {
  const isTiny = options.tiny === true;
  const numSequences = options.batch ?? 1;
  const config = options.model ?? options.config ?? 'v3-small';
  if (kind === 'prefill') {
    const promptTokens = options.prompt ?? (isTiny ? 8 : 512);
    const numPasses = options.steps ?? (isTiny ? 2 : 4);
    const maxPositions = promptTokens + 1;
    return { kind, config, numSequences, promptTokens, numPasses, numWarmUp: 1, maxPositions };
  }
  const promptTokens = options.context ?? (isTiny ? 8 : 64);
  const numPasses = options.tokens ?? (isTiny ? 3 : 64);
  // After some forty tokens the compilers of the language leave the cores alone.
  const numWarmUp = isTiny ? 1 : 40;
  const maxPositions = promptTokens + numWarmUp + numPasses;
  return { kind, config, numSequences, promptTokens, numPasses, numWarmUp, maxPositions };
}

/** @throws bench.dtype, bench.dtypeStored, bench.option, bench.length */
export async function openWeights(
  { kind, config, maxPositions }: Pick<Workload, 'kind' | 'config' | 'maxPositions'>,
  options: ServingBenchOptions,
  machine: Machine,
  mtpModules: 'kept' | 'leftOut' = 'leftOut',
): Promise<OpenedModel> {
  const { dtype, model } = options;
  const known = weightDType(dtype ?? 'f32', 'bench.dtype');
  if (model !== undefined && dtype !== undefined) {
    throw new MoebiusError('bench.dtypeStored', 'a checkpoint has the dtype it is stored in', {
      values: { model, dtype },
      hint: 'Leave out --dtype, or take --config in place of --model.',
    });
  }
  if (model !== undefined && options.config !== undefined) {
    throw new MoebiusError('bench.option', 'a checkpoint has a config of its own', {
      values: { '--model': model, '--config': options.config },
      hint: 'Leave out one of the two.',
    });
  }
  const read =
    model === undefined ? (await readModelTarget(config)).config : await readModelConfig(model);
  checkLength(read, maxPositions, kind === 'decode' ? '--context or --tokens' : '--prompt');
  const { kernels, mapFile } = machine;
  if (model !== undefined) {
    const mapped = mapFile === undefined ? {} : { mapFile };
    const onProgress = progressLine('loading');
    return openModel({
      path: model,
      kernels,
      maxPositions,
      addon: machine.addon,
      onProgress,
      ...mapped,
    });
  }
  const started = machineClock.now();
  const opened = createRandomModel({
    config: read,
    kernels,
    dtype: known,
    maxPositions,
    seed: 1,
    mtpModules,
  });
  const spent = (machineClock.now() - started).toFixed(1);
  note(`${formatBytes(opened.weightBytes)} of made-up weights in ${spent} s`);
  return opened;
}

interface TimedPasses {
  readonly seconds: readonly number[];
  /** Cached positions that a pass reads, on average. */
  readonly cachedPositions: number;
}

/** With a profile, what is timed here means nothing and the profile counts the same passes. */
async function timePasses(
  workload: Workload,
  args: {
    opened: OpenedModel;
    kernels: Machine['kernels'];
    profile?: OperationProfile;
  },
): Promise<TimedPasses> {
  const { kind, numSequences, promptTokens, numPasses, numWarmUp, maxPositions } = workload;
  const session = new BenchSession({ ...args, numSequences, maxPositions });
  const seconds: number[] = [];
  let cachedPositions = 0;
  if (kind === 'decode') {
    session.begin(promptTokens);
    await session.step();
  }
  for (let pass = 0; pass < numWarmUp + numPasses; pass++) {
    if (kind === 'prefill') session.begin(promptTokens);
    const cached = kind === 'prefill' ? 0 : session.cachedPositions;
    const isCounted = pass >= numWarmUp;
    const { profile } = args;
    const step = (): Promise<number> => session.step();
    const spent = profile && isCounted ? await profile.during(step) : await step();
    if (!isCounted) continue;
    seconds.push(spent);
    cachedPositions += cached / numPasses;
  }
  return { seconds, cachedPositions };
}

function figuresOf(
  workload: Workload,
  args: {
    opened: OpenedModel;
    machine: Machine;
    limits: Limits | null;
    timed: TimedPasses;
    profile: OperationProfile;
  },
): ServingFigures {
  const { opened, machine, limits, timed, profile } = args;
  const { config, parameters } = opened;
  const { kind, numSequences, promptTokens, numPasses } = workload;
  const { seconds, cachedPositions } = timed;
  const isDecode = kind === 'decode';
  const numTokens = numSequences * (isDecode ? 1 : promptTokens);
  const counted = profile.expertsPerRouting;
  const expertsPerLayer = counted ?? expectedExperts(config, numTokens);
  const pass = { numTokens, cachedPositions, expertsPerLayer };
  const medianSeconds = median(seconds);
  const total = seconds.reduce((sum, each) => sum + each, 0);
  assert(medianSeconds > 0, 'a pass takes time');
  const tokensPerSecond = numTokens / medianSeconds;
  const bytesPerToken = bytesOfPass(config, parameters, pass) / numTokens;
  const readBytesPerSecond = bytesPerToken * tokensPerSecond;
  const flops = isDecode
    ? decodeFlopsPerToken(config, cachedPositions / numSequences)
    : prefillFlopsPerToken(config, promptTokens);
  const peak = limits && limits.fmaPeakGflops * 1e9;
  return {
    tokensPerSecond,
    bytesPerToken,
    readBytesPerSecond,
    shareOfBandwidth: limits && readBytesPerSecond / (limits.readGigabytesPerSecond * 1e9),
    shareOfPeak: peak && (flops * tokensPerSecond) / peak,
    tokensPerSecondMean: (numTokens * numPasses) / total,
    tokensPerSecondP10: numTokens / tenthPercentile(seconds),
    medianSeconds,
    allSeconds: seconds,
    flopsPerToken: flops,
    expertsPerLayer,
    expertsAre: counted === null ? 'expected' : 'counted',
    workload,
    dtypes: [
      ...new Set([...parameters.parameters.values()].map(({ weight }) => weight.values.dtype)),
    ],
    weightBytes: opened.weightBytes,
    machine: machine.description,
    roofline: limits,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    operations: operationFigures(profile, limits),
  };
}

/** The value that a tenth of them lies below. */
function tenthPercentile(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return at(sorted, Math.floor(sorted.length / 10));
}

function print(figures: ServingFigures, options: ServingBenchOptions): void {
  const { workload, roofline } = figures;
  const share = (value: number | null): string => (value === null ? '–' : formatPercent(value));
  const read = `${(figures.readBytesPerSecond / 1e9).toFixed(1)} GB/s`;
  const count = `${workload.numSequences} × ${workload.promptTokens}`;
  const passes =
    workload.kind === 'decode'
      ? `prompts ${count}, then ${workload.numPasses} tokens`
      : `prompts ${count}, ${workload.numPasses} times`;
  const { tokensPerSecond, tokensPerSecondMean, tokensPerSecondP10 } = figures;
  const rows: Cell[][] = [
    ['model', `${workload.config}, ${formatBytes(figures.weightBytes)} in ${figures.dtypes}`],
    ['work', `${workload.kind}, ${passes}; ${figures.machine}`],
    ['tokens per second', tokensPerSecond.toFixed(1)],
    [
      'mean, at the 10th percentile gap',
      `${tokensPerSecondMean.toFixed(1)}, ${tokensPerSecondP10.toFixed(1)}`,
    ],
    ['milliseconds per pass', (figures.medianSeconds * 1e3).toFixed(3)],
    [
      'read per token',
      `${formatBytes(figures.bytesPerToken)} ` +
        `(${figures.expertsPerLayer.toFixed(1)} experts a layer, ${figures.expertsAre})`,
    ],
    ['read speed', `${read}, ${share(figures.shareOfBandwidth)} of the limit`],
    ['share of FMA peak', share(figures.shareOfPeak)],
    ['limits in this run', describeLimits(roofline)],
    ['peak memory', formatBytes(figures.peakMemoryBytes)],
  ];
  const table = `${formatTable(rows)}\n\n${operationTable(figures.operations)}`;
  printResult(options, { table, json: { ...figures } });
}
