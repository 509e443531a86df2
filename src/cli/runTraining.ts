/**
 * One run from config to summary: what is shown before step 1, and the trainer with its observers.
 * `train`, `start` and the library all end here; they differ in who watches.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { formatBytes, formatCount, formatSeconds } from '../base/units.ts';
import { activeParameters, countParameters, flopsPerToken } from '../config/modelCounts.ts';
import type { DerivedRow } from '../config/recipes/recipe.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import type { MicroBatch } from '../program/microBatch.ts';
import { openCheckpointStore } from '../runtime/checkpointStore.ts';
import { machineClock } from '../runtime/clock.ts';
import { createFileSink, dropUnfinishedLine, recoverFolders } from '../runtime/files.ts';
import { makeFolder } from '../runtime/makeFolder.ts';
import type { TextGenerator } from '../serving/textGenerator.ts';
import type { TrainingObserver, TrainingSummary } from '../training/events.ts';
import { jsonLine, observeAll, tensorBoardObserver } from '../training/metrics.ts';
import { BEGINNING, microBatchSizes, schedulesOf, stepPrograms } from '../training/step.ts';
import { TensorBoardWriter } from '../training/tensorBoard.ts';
import { Trainer } from '../training/trainer.ts';
import { parseTrainerState } from '../training/trainerState.ts';
import { createGenerator } from './openGenerator.ts';
import { type Cell, formatTable } from './output.ts';
import {
  checkpointFiles,
  type PreparedData,
  type PreparedRank,
  prepareData,
  prepareRank,
} from './prepareTraining.ts';
import { priceStep, type StepPrediction } from './priceStep.ts';
import { type Machine, openMachine } from './wiring.ts';

export interface RunRequest {
  readonly config: TrainConfig;
  readonly derived: readonly DerivedRow[];
  /** Go on from the folder's newest checkpoint. */
  readonly resume: boolean;
}

/** Who is told what, and who may end the run: the terminal (`terminalWatch`), or a program. */
export interface RunWatch {
  readonly note: (text: string) => void;
  /** What was derived and predicted, as a table, before step 1. */
  readonly showFacts: (table: string) => void;
  readonly observer: TrainingObserver;
  /**
   * @param stop ends the run after the step under way, with a checkpoint
   * @returns takes it back
   */
  readonly stopOn: (stop: () => void) => () => void;
}

export interface FinishedRun {
  readonly directory: string;
  readonly summary: TrainingSummary;
  readonly prediction: StepPrediction;
  readonly prepared: PreparedData;
  readonly machine: Machine;
  readonly rank: PreparedRank;
  readonly peakMemoryBytes: number;
}

const CHECKPOINTS = 'checkpoints';
const TRAINER_STATE = 'trainer_state.json';

export async function runTraining(request: RunRequest, watch: RunWatch): Promise<FinishedRun> {
  const { config } = request;
  const { note } = watch;
  const directory = config.directory ?? join('runs', config.name);
  const checkpointDirectory = join(directory, CHECKPOINTS);
  const resumeFrom = await openRunFolder(directory, request.resume, note);
  const { kernels, threads } = config.machine;
  const machine = openMachine({ kernels: wantedKernels(kernels), threads, note });
  const prepared = await prepareData(config, note);
  const rank = prepareRank(config, machine, checkpointDirectory);
  note('measuring this machine by the operations of one step');
  const prediction = await priceStep(config, machine, firstStep(config, prepared));
  watch.showFacts(factsTable(request, { machine, prediction }));
  makeFolder(checkpointDirectory);
  writeFileSync(join(directory, 'train.json'), `${JSON.stringify(config, null, 2)}\n`);

  const metricsPath = join(directory, 'metrics.jsonl');
  const cut = await dropUnfinishedLine(metricsPath);
  if (cut > 0) note(`cut half a line, ${formatBytes(cut)}, off ${metricsPath}`);
  const metrics = await createFileSink(metricsPath, 'append');
  const encoder = new TextEncoder();
  const observers: TrainingObserver[] = [
    watch.observer,
    async (event) => metrics.write(encoder.encode(jsonLine(event, config.metrics))),
  ];
  const board = config.metrics.tensorBoard ? await openBoard(directory) : null;
  if (board !== null) observers.push(tensorBoardObserver(board.writer, config.metrics));
  const generator = createGenerator({
    kernels: machine.kernels,
    model: rank.state.model,
    tokenizer: prepared.tokenizer,
    tokenizerConfig: prepared.tokenizerConfig,
    maxPositions: Math.min(1024, config.model.maxPositionEmbeddings),
  });
  const trainer = new Trainer({
    config,
    executor: rank.executor,
    data: prepared.data,
    validation: prepared.validation,
    store: openCheckpointStore(checkpointDirectory),
    clock: machineClock,
    observer: observeAll(observers),
    files: checkpointFiles(config, prepared),
    generate: (prompt) => sampleText(generator, config, prompt),
    ...(resumeFrom === null ? {} : { resumeFrom }),
    machine: {
      ...(machine.addon === null ? {} : { fmaPeakFlops: prediction.profile.roofline.fmaPeak }),
      predictedStepSeconds: prediction.seconds,
      predictedSpans: prediction.spans,
      memoryBytes: () => process.memoryUsage.rss(),
    },
  });
  const release = watch.stopOn(() => trainer.requestStop());
  try {
    const summary = await trainer.run();
    const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
    return { directory, summary, prediction, prepared, machine, rank, peakMemoryBytes };
  } finally {
    release();
    await metrics.close();
    await board?.close();
  }
}

/** The environment may only step down from native: a config asks for it by default. */
export function wantedKernels(kernels: TrainConfig['machine']['kernels']): string | undefined {
  return kernels === 'native' ? undefined : kernels;
}

/**
 * @returns the checkpoint to go on from, or null
 * @throws run.notFolder, run.nothing, and run.exists where there is one and nobody said to resume
 */
async function openRunFolder(
  directory: string,
  resume: boolean,
  note: RunWatch['note'],
): Promise<string | null> {
  if (existsSync(directory) && !statSync(directory).isDirectory()) {
    throw new MoebiusError('run.notFolder', `${directory} is a file, not a folder`, {
      values: { directory },
      hint: 'Name a folder with --out DIR; it need not be there yet.',
    });
  }
  const checkpoints = join(directory, CHECKPOINTS);
  const { removed, restored } = await recoverFolders(checkpoints);
  for (const name of removed) note(`removed the unfinished ${name}`);
  for (const name of restored) note(`put back ${name}, which was being replaced`);
  const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
  const folders = names
    .filter((name) => !name.startsWith('.'))
    .filter((name) => existsSync(join(checkpoints, name, TRAINER_STATE)));
  if (!resume) {
    if (folders.length === 0) return null;
    throw new MoebiusError('run.exists', `${directory} already holds a run`, {
      values: { directory, checkpoints: folders },
      hint: 'Add --resume to go on with it, or --out DIR for another folder.',
    });
  }
  const newest = folders
    .map((name) => ({ name, step: stepOf(join(checkpoints, name)) }))
    .sort((a, b) => b.step - a.step || byAttempt(b.name, a.name))[0];
  if (newest === undefined) {
    throw new MoebiusError('run.nothing', `${directory} holds no checkpoint to resume from`, {
      values: { directory },
      hint: 'Start without --resume.',
    });
  }
  return join(checkpoints, newest.name);
}

/** `step-0000120-2` was written after `step-0000120`: the run had been rolled back. */
function byAttempt(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function stepOf(path: string): number {
  const file = join(path, TRAINER_STATE);
  try {
    return parseTrainerState(readFileSync(file, 'utf8')).progress.step;
  } catch (cause) {
    if (!(cause instanceof MoebiusError)) throw cause;
    throw new MoebiusError('resume.state', cause.message, {
      values: { file },
      hint: 'Remove that folder to resume from the checkpoint before it.',
      cause,
    });
  }
}

/** The programs of step 1, on a batch of its shape. */
function firstStep(config: TrainConfig, { data }: PreparedData): ReturnType<typeof stepPrograms> {
  const position = data.position;
  const sizes = microBatchSizes(config, schedulesOf(config), BEGINNING);
  const batches: MicroBatch[] = sizes.map((size) => data.next(size));
  data.seek(position);
  return stepPrograms(config, batches);
}

/** Everything that was derived or predicted, before step 1. */
function factsTable(
  { config, derived }: RunRequest,
  { machine, prediction }: { machine: Machine; prediction: StepPrediction },
): string {
  const { model, batch } = config;
  const counts = countParameters(model);
  const active = activeParameters(model);
  const flops = flopsPerToken(model, {
    context: batch.length,
    causal: true,
    mtp: true,
    training: true,
  });
  const { stateBytes, activationBytes, profile, seconds } = prediction;
  const rows: Cell[][] = [
    ...derived.map(({ name, value, reason }) => [name, shown(value), reason]),
    ['parameters', formatCount(counts.total), `and ${formatCount(counts.mtp)} of MTP`],
    ['  experts', formatCount(counts.routedExperts), 'routed'],
    ['  attention', formatCount(counts.attention), ''],
    ['  embedding, head', formatCount(counts.embedding + counts.head), ''],
    ['active', formatCount(active.withHead), 'per token, with head'],
    ['FLOPs per token', formatCount(flops), 'to train, MTP included'],
    ['memory', formatBytes(stateBytes), `and ${formatBytes(activationBytes)} of activations`],
    ['machine', machine.description, peakText(machine, profile.roofline.fmaPeak)],
    ['predicted step', formatSeconds(seconds), 'this program on measured operation costs'],
    ['predicted run', formatSeconds(seconds * config.steps), `${config.steps} steps`],
  ];
  return formatTable(rows);
}

function shown(value: string | number): string {
  return typeof value === 'number' && value >= 10_000 ? formatCount(value) : String(value);
}

function peakText(machine: Machine, peak: number): string {
  return machine.addon === null ? '' : `FMA peak ${(peak / 1e9).toFixed(0)} GFLOP/s`;
}

async function openBoard(
  directory: string,
): Promise<{ writer: TensorBoardWriter; close(): Promise<void> }> {
  const seconds = Math.floor(Date.now() / 1000);
  const path = join(directory, 'tensorboard', `events.out.tfevents.${seconds}.moebius`);
  const sink = await createFileSink(path, 'new');
  const writer = new TensorBoardWriter(sink, () => Date.now() / 1000);
  return { writer, close: () => sink.close() };
}

async function sampleText(
  generator: TextGenerator,
  config: TrainConfig,
  prompt: string,
): Promise<string> {
  const { tokens, temperature, topK, topP } = config.sample;
  const sampling = { temperature, topK, topP, minP: 0, seed: config.seed };
  const pieces = generator.generate({ prompt, maxTokens: tokens, sampling });
  let text = '';
  let next = await pieces.next();
  for (; next.done !== true; next = await pieces.next()) text += next.value.text;
  return text + next.value.rest;
}

/** The keys that scripts rely on, for `train`, `start` and `bench train`. */
export function runJson(run: FinishedRun): Record<string, unknown> {
  const { summary, prediction, directory, peakMemoryBytes, machine } = run;
  return {
    end: summary.end,
    step: summary.step,
    tokens: summary.tokens,
    tokensPerSecond: summary.tokensPerSecond,
    stepSeconds: summary.stepSeconds,
    predictedStepSeconds: prediction.seconds,
    fmaPeakGflops: machine.addon === null ? null : prediction.profile.roofline.fmaPeak / 1e9,
    shareOfPeak: summary.shareOfPeak,
    peakMemoryBytes,
    validationBitsPerByte: summary.validationBitsPerByte,
    best: summary.best,
    checkpoint: summary.checkpoint?.directory ?? null,
    directory,
    elapsedSeconds: summary.elapsedSeconds,
    numSkipped: summary.numSkipped,
    numRollbacks: summary.numRollbacks,
    incident: summary.incident,
  };
}

export function runRows(run: FinishedRun): Cell[][] {
  const { summary, prediction, peakMemoryBytes } = run;
  const { stepSeconds, tokensPerSecond, shareOfPeak, validationBitsPerByte } = summary;
  const orDash = (value: number | null, show: (value: number) => string): string =>
    value === null ? '–' : show(value);
  return [
    ['steps', `${summary.step} in ${formatSeconds(summary.elapsedSeconds)}`],
    [
      'seconds per step',
      `${orDash(stepSeconds, (s) => s.toFixed(3))} (predicted ${prediction.seconds.toFixed(3)})`,
    ],
    ['tokens per second', orDash(tokensPerSecond, (value) => formatCount(Math.round(value)))],
    ['share of FMA peak', orDash(shareOfPeak, (share) => `${(share * 100).toFixed(1)} %`)],
    ['peak memory', formatBytes(peakMemoryBytes)],
    ['validation', orDash(validationBitsPerByte, (bits) => `${bits.toFixed(4)} bits per byte`)],
    ['checkpoint', summary.checkpoint?.directory ?? '–'],
  ];
}
