/**
 * Single changes of a plan that may save memory, each one step of one kind, and whether a plan can
 * be run at all. Nothing is priced or estimated here.
 */
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  numMicroBatches,
  type ParallelPlan,
  type RecomputePolicy,
  type ScheduleName,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';

export type ChangeKind =
  | 'recompute'
  | 'zero'
  | 'pipeline'
  | 'experts'
  | 'tensor'
  | 'micro-batch'
  | 'gpus'
  | 'schedule'
  | 'offload';

export interface PlanChange {
  readonly kind: ChangeKind;
  readonly plan: TrainingPlan;
  /** Whether master weights and moments go to host memory. */
  readonly offload: 'nothing' | 'optimizer';
  /** In the imperative, without a full stop: "Raise pp from 8 to 16". */
  readonly text: string;
}

type Subject = Omit<PlanChange, 'kind' | 'text'>;

/** Every single change of the plan that can be run with this model. */
export function planChanges(model: PlannedModel, subject: Subject): PlanChange[] {
  const { plan, offload } = subject;
  const { layout } = plan;
  const changes: PlanChange[] = [];
  const add = (kind: ChangeKind, text: string, changed: Partial<TrainingPlan>): void => {
    const next = { ...plan, ...changed };
    if (isPossible(model, next)) changes.push({ kind, text, plan: next, offload });
  };
  const spread = (kind: ChangeKind, text: string, changed: Partial<ParallelPlan>): void =>
    add(kind, text, { layout: { ...layout, ...changed } });
  for (const recompute of laterPolicies(plan.recompute)) {
    add('recompute', `Set recompute from ${plan.recompute} to ${recompute}`, { recompute });
  }
  for (const zeroStage of [1, 2, 3] as const) {
    if (zeroStage <= layout.zeroStage) continue;
    spread('zero', `Raise zero from ${layout.zeroStage} to ${zeroStage}`, { zeroStage });
  }
  for (const factor of [2, 4, 8]) {
    const { pp, dp, ep, tp } = layout;
    const raise = (name: string, from: number): string =>
      `Raise ${name} from ${from} to ${from * factor}`;
    spread('pipeline', raise('pp', pp), { pp: pp * factor, dp: dp / factor });
    spread('tensor', raise('tp', tp), { tp: tp * factor, dp: dp / factor });
    if (model.nRoutedExperts > 0) spread('experts', raise('ep', ep), { ep: ep * factor });
    spread('gpus', `Take ${factor} times the GPUs, as dp ${dp * factor}`, { dp: dp * factor });
    const { microBatchSize } = plan;
    add(
      'micro-batch',
      `Lower the micro-batch from ${microBatchSize} to ${microBatchSize / factor}`,
      {
        microBatchSize: microBatchSize / factor,
      },
    );
  }
  for (const schedule of lighterSchedules(plan.schedule)) {
    const chunksPerRank = schedule === 'dualpipev' ? 2 : 1;
    const text = `Change the schedule from ${plan.schedule} to ${schedule}`;
    add('schedule', text, { schedule, chunksPerRank });
  }
  if (offload === 'nothing') {
    const text = 'Keep master weights and moments in host memory, where the engine can';
    changes.push({ kind: 'offload', text, plan, offload: 'optimizer' });
  }
  return changes;
}

function laterPolicies(current: RecomputePolicy): RecomputePolicy[] {
  const lighter: Readonly<Record<RecomputePolicy, RecomputePolicy[]>> = {
    none: ['swiglu', 'norm', 'v3', 'full', 'auto'],
    swiglu: ['norm', 'v3', 'full', 'auto'],
    norm: ['v3', 'full', 'auto'],
    v3: ['full', 'auto'],
    full: [],
    auto: [],
  };
  return lighter[current];
}

/** Fewer copies of the parameters, or fewer micro-batches alive. */
function lighterSchedules(current: ScheduleName): ScheduleName[] {
  const lighter: Readonly<Record<ScheduleName, ScheduleName[]>> = {
    gpipe: ['1f1b', 'zb1p'],
    '1f1b': [],
    'interleaved-1f1b': ['1f1b', 'zb1p'],
    zb1p: ['1f1b'],
    dualpipe: ['dualpipev', 'zb1p', '1f1b'],
    dualpipev: ['zb1p', '1f1b'],
  };
  return lighter[current];
}

/** Whether numbers divide, every stage has a layer, and the schedule has micro-batches enough. */
export function isPossible(model: PlannedModel, plan: TrainingPlan): boolean {
  const { dp, pp, ep, tp } = plan.layout;
  const whole = [dp, pp, ep, tp, plan.microBatchSize, numMicroBatches(plan)];
  if (!whole.every((value) => Number.isInteger(value) && value >= 1)) return false;
  if ((dp * tp) % ep !== 0 || (ep > 1 && model.nRoutedExperts % ep !== 0)) return false;
  if (model.numAttentionHeads % tp !== 0 || plan.sequenceLength % tp !== 0) return false;
  if (isGqa(model) && model.numKeyValueHeads % tp !== 0) return false;
  const numStages = plan.schedule === 'dualpipe' ? pp : pp * plan.chunksPerRank;
  // The two stages with the ends may be without layers.
  if (numStages - 2 > model.numHiddenLayers) return false;
  return scheduleRuns(plan);
}

/** DualPipe's limits are those of its reference: even numbers, twice as many as ranks. */
function scheduleRuns(plan: TrainingPlan): boolean {
  const { pp } = plan.layout;
  const count = numMicroBatches(plan);
  switch (plan.schedule) {
    case 'dualpipe':
      return pp % 2 === 0 && count % 2 === 0 && count >= 2 * pp;
    case 'dualpipev':
      return count >= 2 * pp;
    case 'interleaved-1f1b':
      return count % pp === 0;
    case 'gpipe':
    case '1f1b':
    case 'zb1p':
      return true;
    default:
      return plan.schedule satisfies never;
  }
}
