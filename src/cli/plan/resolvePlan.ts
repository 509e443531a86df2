/**
 * From words on a command line to a plan: the model by name or file, the cluster by name or file,
 * and the step, of which the model's own published run gives what nobody said.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { findCluster, withNumGpus } from '../../config/clusters/clusters.ts';
import { parseClusterSpec } from '../../config/clusters/parseClusterSpec.ts';
import { validateCluster } from '../../config/clusters/validateCluster.ts';
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  checkLayout,
  type ParallelPlan,
  type Precision,
  type RecomputePolicy,
  recomputePolicies,
  type ScheduleName,
  scheduleNames,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { parsePlannedModel } from '../../config/parsePlannedModel.ts';
import { findPlannedModel } from '../../config/presets/dense.ts';
import { type TrainingRun, trainingRunOf } from '../../config/presets/trainingRuns.ts';
import { mostImbalance } from '../../planner/expertImbalance.ts';
import { readJson } from '../../runtime/openModel.ts';
import { parseSettings } from '../parseSettings.ts';
import { measureThisMachine } from './measureThisMachine.ts';

export interface PlanOptions {
  readonly model: string;
  readonly cluster: string;
  /** One size, or several that compete. */
  readonly gpus?: readonly number[];
  readonly layout?: string;
  readonly schedule?: string;
  readonly chunks?: number;
  readonly globalBatch?: number;
  readonly microBatch?: number;
  readonly sequenceLength?: number;
  readonly precision?: string;
  readonly recompute?: string;
  /** Commander's `--no-mtp`. */
  readonly mtp: boolean;
  readonly tokens?: number;
  readonly imbalance?: number;
  readonly whatIf?: readonly string[];
}

export interface ResolvedPlan {
  readonly modelName: string;
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  readonly run: TrainingRun;
  readonly totalTokens: number | null;
  /** As published for such routers where it is absent. */
  readonly imbalance?: number;
}

export async function resolveSubject(options: PlanOptions): Promise<ResolvedPlan> {
  const { modelName, model } = await readPlannedModel(options.model);
  const described = await readCluster(options.cluster);
  const [numGpus] = options.gpus ?? [];
  const cluster = numGpus === undefined ? described : resized(described, numGpus);
  const run = trainingRunOf(modelName);
  return {
    ...{ modelName, model, cluster, run },
    totalTokens: options.tokens ?? run.totalTokens,
    ...(options.imbalance === undefined ? {} : { imbalance: options.imbalance }),
  };
}

const SIZED = / with \d+ GPUs$/;

/** Under a name of its own: `h100x1024` with 64 GPUs is another cluster. */
export function resized(cluster: ClusterSpec, numGpus: number): ClusterSpec {
  if (numGpus === cluster.numGpus) return cluster;
  const name = `${cluster.name.replace(SIZED, '')} with ${numGpus} GPUs`;
  const sized = { ...withNumGpus(cluster, numGpus), name };
  validateCluster(sized, '--gpus');
  return sized;
}

type NamedModel = Pick<ResolvedPlan, 'modelName' | 'model'>;

/** A preset, by the name that published runs know, a config.json, or a checkpoint's folder. */
async function readPlannedModel(target: string): Promise<NamedModel> {
  if (existsSync(target)) {
    const file = statSync(target).isDirectory() ? join(target, 'config.json') : target;
    return { modelName: target, model: parsePlannedModel(await readJson(file), file) };
  }
  if (!/[/\\]|\.json$/.test(target)) {
    return { modelName: target.trim().toLowerCase(), model: findPlannedModel(target) };
  }
  throw missing(target, 'a preset’s name, a config.json or a checkpoint’s folder');
}

async function readCluster(target: string): Promise<ClusterSpec> {
  if (target === 'this-machine') return measureThisMachine();
  if (existsSync(target)) {
    return parseClusterSpec(parseSettings(await readFile(target, 'utf8'), target), target);
  }
  if (!/[/\\]|\.(ya?ml|json)$/.test(target)) return findCluster(target);
  throw missing(target, 'a preset’s name, or a YAML or JSON file');
}

function missing(path: string, what: string): MoebiusError {
  return new MoebiusError('file.missing', `there is no ${path}`, {
    values: { path },
    hint: `Give ${what}.`,
  });
}

/** What of a step does not depend on the layout; a run's own numbers where nobody says. */
export interface ChosenSizes {
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly precision: Precision;
  readonly mtp: boolean;
  /** Undefined: open. */
  readonly schedule: ScheduleName | undefined;
  readonly recompute: RecomputePolicy | undefined;
}

export function chosenSizes(subject: ResolvedPlan, options: PlanOptions): ChosenSizes {
  const { run, model, cluster } = subject;
  const { schedule, recompute } = options;
  return {
    globalBatch: options.globalBatch ?? run.globalBatch,
    sequenceLength: options.sequenceLength ?? run.sequenceLength,
    precision: precisionOf(options.precision ?? ownPrecision(run, cluster)),
    mtp: options.mtp && !isGqa(model) && model.numNextnPredictLayers > 0,
    schedule: schedule === undefined ? undefined : scheduleOf(schedule),
    recompute: recompute === undefined ? undefined : recomputeOf(recompute),
  };
}

/** The step around a layout; numbers that are not given are the published run's. */
export function planOf(
  subject: ResolvedPlan,
  options: PlanOptions,
  layout: ParallelPlan,
): TrainingPlan {
  const { model, cluster } = subject;
  const chosen = chosenSizes(subject, options);
  const { precision, mtp } = chosen;
  const schedule = chosen.schedule ?? ownSchedule(layout, model);
  const sizes = {
    globalBatch: chosen.globalBatch,
    microBatchSize: options.microBatch ?? 1,
    sequenceLength: chosen.sequenceLength,
  };
  requireImbalance(options.imbalance, model, layout);
  const perMicroBatch = layout.dp * sizes.microBatchSize;
  if (sizes.globalBatch % perMicroBatch !== 0) {
    const fitting = Math.max(1, Math.floor(sizes.globalBatch / perMicroBatch)) * perMicroBatch;
    throw new MoebiusError(
      'plan.batch',
      `a batch of ${sizes.globalBatch} sequences does not divide by dp × micro-batch = ` +
        `${layout.dp} × ${sizes.microBatchSize}`,
      {
        values: { ...sizes, dp: layout.dp },
        hint: `Set --global-batch ${fitting}, or choose a layout whose dp divides the batch.`,
      },
    );
  }
  return {
    layout: checkLayout(layout, cluster.numGpus),
    schedule,
    chunksPerRank: chunksOf(schedule, options.chunks),
    ...sizes,
    precision,
    recompute: chosen.recompute ?? (precision === 'fp8' ? 'v3' : 'auto'),
    mtp,
  };
}

function requireImbalance(
  imbalance: number | undefined,
  model: PlannedModel,
  layout: ParallelPlan,
): void {
  const { ep } = layout;
  const most = mostImbalance(model, layout);
  if (imbalance === undefined || ep === 1 || imbalance <= most) return;
  throw new MoebiusError('plan.imbalance', `an imbalance of ${imbalance} over ${ep} ranks`, {
    values: { imbalance, ep, most },
    hint: `Give at most ${most}: then the rank’s experts have every token that can come to them.`,
  });
}

function ownPrecision({ precision }: TrainingRun, { gpu }: ClusterSpec): Precision {
  return precision === 'fp8' && gpu.peakFlops.fp8 === null ? 'bf16' : precision;
}

/** Where experts have to be reached, overlap pays; a pipeline of odd length cannot have it. */
function ownSchedule({ pp }: ParallelPlan, model: PlannedModel): ScheduleName {
  if (pp > 1 && pp % 2 === 0 && model.nRoutedExperts > 0) return 'dualpipe';
  return '1f1b';
}

function chunksOf(schedule: ScheduleName, given: number | undefined): number {
  const own = schedule === 'dualpipe' || schedule === 'dualpipev' ? 2 : 1;
  if (schedule === 'interleaved-1f1b') return given ?? 2;
  if (given === undefined || given === own) return own;
  throw new MoebiusError('plan.chunks', `${schedule} has ${own} per rank, not ${given}`, {
    values: { schedule, chunks: given },
    hint: 'Leave --chunks out, or set --schedule interleaved-1f1b.',
  });
}

function precisionOf(text: string): Precision {
  return oneOf('precision', text, ['fp8', 'bf16'] as const);
}

function scheduleOf(text: string): ScheduleName {
  return oneOf('schedule', text, scheduleNames);
}

function recomputeOf(text: string): RecomputePolicy {
  const named = Object.keys(recomputePolicies) as Exclude<RecomputePolicy, 'auto'>[];
  return oneOf<RecomputePolicy>('recompute', text, [...named, 'auto']);
}

function oneOf<Word extends string>(what: string, text: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  const near = nearestName(text, words);
  throw new MoebiusError(`plan.${what}`, `there is no ${what} "${text}"`, {
    values: { [what]: text },
    hint: near === undefined ? `Use one of: ${words.join(', ')}.` : `Did you mean "${near}"?`,
  });
}
