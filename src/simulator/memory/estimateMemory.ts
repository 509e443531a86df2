/**
 * Bytes on every rank of a pipeline, phase by phase, with what is alive in each. Ranks of one place
 * in the pipeline are alike; with uneven experts the fullest is meant (`imbalance`).
 *
 *     warm-up      the last forward of the filling: all chunks but the one of the first pair
 *     steady       every live chunk, and a layer's backward (an overlapped pair: forward too)
 *     optimizer    no activations
 *     evaluation   a forward that keeps nothing
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import {
  type ActivationInput,
  type LayerTable,
  layerTable,
  type StageActivations,
  stageActivations,
} from './activations.ts';
import {
  type CommunicationBytes,
  communicationBytes,
  type DeviceFacts,
  defaultDevice,
  defaultReserve,
  type ReserveAssumptions,
} from './communicationBuffers.ts';
import type { RowCounts } from './layerBytes.ts';
import { type LayerKind, layerKind } from './layerTensors.ts';
import { type LiveChunks, liveChunks } from './liveChunks.ts';
import { type MemoryRecipe, memoryRecipes } from './memoryRecipe.ts';
import { isSameStage, layersByKind, type ModelState, modelState } from './modelState.ts';
import type { StageLayers } from './parameterGroups.ts';

export interface MemoryInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  /** Stages of every rank of the pipeline, in order of the model: DualPipe's ranks have two. */
  readonly stages: readonly (readonly StageLayers[])[];
  /** By default the closed forms of the plan's schedule. */
  readonly liveChunks?: readonly LiveChunks[];
  /** Rows on the fullest rank's experts over the mean: 1 is balanced. */
  readonly imbalance?: number;
  /** What each layer makes again; by default the plan's policy, everywhere. */
  readonly recompute?: LayerRecompute;
  /** What `auto` keeps low, of one layer and one micro-batch; by default FLOPs. */
  readonly remadeCost?: (kind: LayerKind, items: RecomputeItems) => number;
  readonly recipe?: MemoryRecipe;
  readonly device?: DeviceFacts;
  readonly reserve?: ReserveAssumptions;
}

/** @param stage index among the rank's stages; MTP layers count on from the last main layer */
export type LayerRecompute = (place: {
  readonly rank: number;
  readonly stage: number;
  readonly layer: number;
}) => RecomputeItems;

/** In bytes. */
export interface MemoryParts {
  readonly weights: number;
  readonly masterWeights: number;
  readonly gradients: number;
  readonly moments: number;
  readonly activations: number;
  readonly communicationBuffers: number;
  /** Kernels' workspace, the framework's own, fragmentation. */
  readonly reserve: number;
}

export type MemoryPhaseName = 'warm-up' | 'steady' | 'optimizer' | 'evaluation';

export interface LiveItem {
  readonly what: string;
  readonly bytes: number;
}

export interface MemoryPhase {
  readonly name: MemoryPhaseName;
  readonly breakdown: MemoryParts;
  readonly total: number;
}

export interface RankMemory {
  readonly rank: number;
  readonly phases: readonly MemoryPhase[];
  /** The fullest phase. */
  readonly peak: MemoryPhase;
  /** The peak's bytes in the words in which a person looks for them; largest first. */
  readonly live: readonly LiveItem[];
  /** Host memory that this rank asks for. */
  readonly host: { readonly average: number; readonly offloaded: number };
  /** FLOPs that one micro-batch computes a second time, over all stages of the rank. */
  readonly remadeFlops: number;
}

export function estimateMemory(input: MemoryInput): RankMemory[] {
  const { plan, stages } = input;
  const chunks = input.liveChunks ?? liveChunks(plan);
  assert(stages.length === plan.layout.pp, `${stages.length} ranks of stages, pp is not`);
  assert(chunks.length === stages.length, `live chunks of ${chunks.length} ranks`);
  const context = prepare(input);
  return stages.map((_, rank) => ofRank(context, rank, at(chunks, rank)));
}

/** Everything that the ranks of one plan have in common. */
interface Context extends ActivationInput {
  readonly stages: MemoryInput['stages'];
  readonly device: DeviceFacts;
  readonly reserve: ReserveAssumptions;
  /** A forward that keeps nothing still holds one layer's tensors. */
  readonly evaluation: number;
  readonly activations: (rank: number, stage: number) => StageActivations;
  readonly state: (rank: number) => ModelState;
}

/** @throws AssertionError for `auto`: that is resolved before */
function prepare(input: MemoryInput): Context {
  const { model, plan, stages } = input;
  const { recipe = memoryRecipes[plan.precision], recompute } = input;
  const own = { model, plan, recipe, rows: rowCounts(input) };
  const table = layerTable(own);
  assert(plan.recompute !== 'auto' || recompute, 'auto has to be resolved layer by layer');
  const everywhere = recomputePolicies[plan.recompute === 'auto' ? 'none' : plan.recompute];
  const kindOf = (stage: StageLayers): string => {
    const { dense, moe } = layersByKind(model, stage);
    return `${dense},${moe},${+stage.hasEmbedding},${+stage.hasHead}`;
  };
  const numCopies = (stage: StageLayers): number =>
    stages.filter((each) => each.some((other) => isSameStage(other, stage))).length;
  const activations = remembered(kindOf, (stage: StageLayers) =>
    stageActivations({ ...own, table }, stage, everywhere),
  );
  const state = remembered(
    (rank: number) =>
      at(stages, rank)
        .map((stage) => `${kindOf(stage)},${numCopies(stage)}`)
        .sort()
        .join(),
    (rank) => modelState({ ...own, stages }, rank),
  );
  return {
    ...own,
    stages,
    evaluation: keepingNothing(model, table),
    device: input.device ?? defaultDevice,
    reserve: input.reserve ?? defaultReserve,
    activations: (rank, index) => {
      const stage = at(at(stages, rank), index);
      if (recompute === undefined) return activations(stage);
      const items = (layer: number) => recompute({ rank, stage: index, layer });
      return stageActivations({ ...own, table }, stage, items);
    },
    state,
  };
}

/** Ranks of one place are alike, and so are most places. */
function remembered<In, Out>(keyOf: (value: In) => string, make: (value: In) => Out) {
  const known = new Map<string, Out>();
  return (value: In): Out => {
    const key = keyOf(value);
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = make(value);
    known.set(key, made);
    return made;
  };
}

/** @throws plan.imbalance below 1 */
export function rowCounts(input: Pick<MemoryInput, 'model' | 'plan' | 'imbalance'>): RowCounts {
  const { model, plan, imbalance = 1 } = input;
  if (!Number.isFinite(imbalance) || imbalance < 1) {
    throw new MoebiusError(
      'plan.imbalance',
      `the fullest rank's load is ${imbalance} of the mean`,
      {
        values: { imbalance },
        hint: 'Give the fullest over the mean: 1 when experts are balanced, else more.',
      },
    );
  }
  const tokens = (plan.microBatchSize * plan.sequenceLength) / plan.layout.tp;
  const routed = tokens * model.numExpertsPerTok * imbalance;
  return { tokens, routed, context: plan.sequenceLength };
}

function ofRank(context: Context, rank: number, chunks: LiveChunks): RankMemory {
  const { plan, stages, reserve } = context;
  const state = context.state(rank);
  const own = at(stages, rank).map((_, stage) => context.activations(rank, stage));
  const most = (of: (each: StageActivations) => number): number => Math.max(...own.map(of));
  const sum = (counts: readonly number[], of: (each: StageActivations) => number): number => {
    assert(counts.length === own.length, `${own.length} stages, live chunks of ${counts.length}`);
    return own.reduce((total, each, stage) => total + of(each) * at(counts, stage), 0);
  };
  const numParameters = state.parameters.reduce((total, { count }) => total + count, 0);
  const buffers = communicationBytes({ ...context, numStages: own.length, numParameters });
  const waiting = sum(chunks.kept, ({ kept }) => kept);
  const deferred = sum(chunks.deferred, (each) => each.deferred);
  // The first pair of DualPipe begins with a forward more than the filling had.
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const filled = isPaired ? waiting - Math.min(...own.map(({ kept }) => kept)) : waiting;
  const forwardWork = most((each) => Math.max(each.forwardWork, each.logits));
  const backwardWork = most((each) => Math.max(each.backwardWork, each.logits));
  const evaluation = Math.max(context.evaluation, forwardWork);
  const alive: Record<MemoryPhaseName, LiveItem[]> = {
    'warm-up': [
      { what: 'activations that wait for backward', bytes: filled },
      { what: 'work of the layer in forward', bytes: forwardWork },
    ],
    steady: [
      { what: 'activations that wait for backward', bytes: waiting },
      { what: 'weight halves that wait', bytes: deferred },
      { what: 'work of the layer in backward', bytes: backwardWork },
      { what: 'work of the layer in forward', bytes: isPaired ? forwardWork : 0 },
    ],
    optimizer: [],
    evaluation: [{ what: 'work of the layer in forward', bytes: evaluation }],
  };
  const parts = { state, buffers, reserve };
  const phases = phaseNames.map((name) => phaseOf({ name, alive: alive[name], ...parts }));
  const peak = phases.reduce((fullest, each) => (each.total > fullest.total ? each : fullest));
  const live = liveItems({ name: peak.name, alive: alive[peak.name], ...parts }, peak);
  const remadeFlops = own.reduce((total, each) => total + each.remadeFlops, 0);
  return { rank, phases, peak, live, host: state.host, remadeFlops };
}

function keepingNothing(model: PlannedModel, table: LayerTable): number {
  const kinds = new Set([layerKind(model, 0), layerKind(model, model.numHiddenLayers - 1)]);
  const layers = [...kinds].map((kind) => table(kind, recomputePolicies.none));
  return Math.max(...layers.map(({ kept, forwardWork }) => kept + forwardWork));
}

/** In the order in which `phases` lists them. */
export const phaseNames: readonly MemoryPhaseName[] = [
  'warm-up',
  'steady',
  'optimizer',
  'evaluation',
];

interface PhaseParts {
  readonly name: MemoryPhaseName;
  readonly alive: readonly LiveItem[];
  readonly state: ModelState;
  readonly buffers: CommunicationBytes;
  readonly reserve: ReserveAssumptions;
}

function phaseOf({ name, alive, state, buffers, reserve }: PhaseParts): MemoryPhase {
  const activations = alive.reduce((sum, { bytes }) => sum + bytes, 0);
  const { dispatchCombine, pipeline, buckets, sequenceParallel } = buffers;
  const fixed = reserve.contextBytes + reserve.collectivesBytes + reserve.workspaceBytes;
  const breakdown: MemoryParts = {
    weights: state.weights + state.gathered,
    masterWeights: state.masterWeights,
    gradients: state.gradients,
    moments: state.moments,
    activations,
    communicationBuffers: dispatchCombine + pipeline + buckets + sequenceParallel,
    reserve: fixed + reserve.fragmentation * activations,
  };
  return { name, breakdown, total: sumOf(breakdown) };
}

function liveItems({ alive, state, buffers }: PhaseParts, phase: MemoryPhase): LiveItem[] {
  const live = [
    { what: 'weights', bytes: state.weights },
    { what: 'gathered weights', bytes: state.gathered },
    { what: 'master weights', bytes: state.masterWeights },
    { what: 'gradients', bytes: state.gradients },
    { what: 'optimiser moments', bytes: state.moments },
    ...alive,
    { what: 'dispatch and combine buffers', bytes: buffers.dispatchCombine },
    { what: 'pipeline buffers', bytes: buffers.pipeline },
    { what: 'ZeRO buckets', bytes: buffers.buckets },
    { what: 'gathered sequences', bytes: buffers.sequenceParallel },
    { what: 'reserve', bytes: phase.breakdown.reserve },
  ].filter(({ bytes }) => bytes > 0);
  return live.sort((a, b) => b.bytes - a.bytes);
}

function sumOf(parts: MemoryParts): number {
  const { weights, masterWeights, gradients, moments, activations } = parts;
  const state = weights + masterWeights + gradients + moments;
  return state + activations + parts.communicationBuffers + parts.reserve;
}
