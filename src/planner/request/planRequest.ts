/**
 * From what a person asks for, in words, to the step that is planned: of a subject (model, cluster,
 * published run) the run's own numbers stand where nobody says others. The command line and the
 * studio's page both come through here; only the command line reads files before.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { findCluster, withNumGpus } from '../../config/clusters/clusters.ts';
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
import { findPlannedModel } from '../../config/presets/dense.ts';
import { type TrainingRun, trainingRunOf } from '../../config/presets/trainingRuns.ts';
import { mostImbalance } from '../expertImbalance.ts';

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

export type NamedModel = Pick<ResolvedPlan, 'modelName' | 'model'>;

/**
 * A preset by the name that published runs know.
 *
 * @throws config.unknownPreset naming the nearest one
 */
export function namedModel(name: string): NamedModel {
  return { modelName: name.trim().toLowerCase(), model: findPlannedModel(name) };
}

/** Model and cluster by the names of presets alone: nothing is read. */
export function namedSubject(options: PlanOptions): ResolvedPlan {
  return subjectOf(options, namedModel(options.model), findCluster(options.cluster));
}

/** @param described the cluster before `--gpus` */
export function subjectOf(
  options: PlanOptions,
  { modelName, model }: NamedModel,
  described: ClusterSpec,
): ResolvedPlan {
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
