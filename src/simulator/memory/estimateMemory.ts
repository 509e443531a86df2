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
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import {
  type CommunicationBytes,
  communicationBytes,
  type DeviceFacts,
  defaultDevice,
  defaultReserve,
  type ReserveAssumptions,
} from './communicationBuffers.ts';
import { endBytes } from './endBytes.ts';
import { type LayerBytes, layerBytes, type RowCounts } from './layerBytes.ts';
import { type LayerKind, layerKind } from './layerTensors.ts';
import { type LiveChunks, liveChunks } from './liveChunks.ts';
import { bytesOfRow, type MemoryRecipe, memoryRecipes } from './memoryRecipe.ts';
import { type ModelState, modelState } from './modelState.ts';
import { mtpModules, type StageLayers } from './parameterGroups.ts';

export interface MemoryInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  /** Stages of every rank of the pipeline: DualPipe's ranks have two. */
  readonly stages: readonly (readonly StageLayers[])[];
  /** By default the closed forms of the plan's schedule. */
  readonly liveChunks?: readonly LiveChunks[];
  /** Rows on the fullest rank's experts over the mean: 1 is balanced. */
  readonly imbalance?: number;
  /** What each layer makes again; by default the plan's policy, everywhere. */
  readonly recompute?: LayerRecompute;
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

/** The keys of the planner's `MemoryBreakdown`. */
export interface MemoryParts {
  readonly weights: number;
  readonly masterWeights: number;
  readonly gradients: number;
  readonly moments: number;
  readonly activations: number;
  readonly communicationBuffers: number;
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

interface Context {
  readonly input: MemoryInput;
  readonly recipe: MemoryRecipe;
  readonly rows: RowCounts;
  readonly device: DeviceFacts;
  readonly reserve: ReserveAssumptions;
  readonly recompute: LayerRecompute;
  readonly layer: (kind: LayerKind, items: RecomputeItems) => LayerBytes;
}

/** @throws AssertionError for `auto`: that is resolved before (`recomputeUnderCap`) */
function prepare(input: MemoryInput): Context {
  const { model, plan } = input;
  const recipe = input.recipe ?? memoryRecipes[plan.precision];
  const rows = rowCounts(input);
  const policy = plan.recompute;
  assert(policy !== 'auto' || input.recompute, 'auto is resolved by recomputeUnderCap');
  const everywhere = policy === 'auto' ? recomputePolicies.none : recomputePolicies[policy];
  const known = new Map<string, LayerBytes>();
  return {
    input,
    recipe,
    rows,
    device: input.device ?? defaultDevice,
    reserve: input.reserve ?? defaultReserve,
    recompute: input.recompute ?? (() => everywhere),
    layer: (kind, items) => {
      const key = `${kind}${+items.norm}${+items.mlaUpProjection}${+items.swiglu}${+items.block}`;
      let bytes = known.get(key);
      if (bytes === undefined) {
        bytes = layerBytes({ model, recipe, rows }, kind, items);
        known.set(key, bytes);
      }
      return bytes;
    },
  };
}

export function rowCounts(input: Pick<MemoryInput, 'model' | 'plan' | 'imbalance'>): RowCounts {
  const { model, plan, imbalance = 1 } = input;
  const tokens = (plan.microBatchSize * plan.sequenceLength) / plan.layout.tp;
  const routed = tokens * model.numExpertsPerTok * imbalance;
  return { tokens, routed, context: plan.sequenceLength };
}

interface Activations {
  readonly kept: readonly number[];
  readonly deferred: readonly number[];
  /** Of the layer that needs most, while it runs. */
  readonly forwardWork: number;
  readonly backwardWork: number;
  readonly logits: number;
  readonly remadeFlops: number;
}

/** Per stage of the rank, for one micro-batch. */
function activationsOf(context: Context, rank: number): Activations {
  const { input, recipe, rows, recompute, layer } = context;
  const { model, plan, stages } = input;
  const numMtp = mtpModules(model, plan);
  const kept: number[] = [];
  const deferred: number[] = [];
  let forwardWork = 0;
  let backwardWork = 0;
  let logits = 0;
  let remadeFlops = 0;
  for (const [stage, layers] of at(stages, rank).entries()) {
    let keptHere = 0;
    let deferredHere = 0;
    const add = (index: number): void => {
      const items = recompute({ rank, stage, layer: index });
      const bytes = layer(layerKind(model, index), items);
      keptHere += bytes.kept;
      deferredHere += bytes.deferred;
      forwardWork = Math.max(forwardWork, bytes.forwardWork);
      backwardWork = Math.max(backwardWork, bytes.backwardWork);
      remadeFlops += bytes.remadeFlops;
    };
    for (let index = layers.first; index < layers.last; index++) add(index);
    if (layers.hasHead) {
      const norm = recompute({ rank, stage, layer: model.numHiddenLayers }).norm;
      const { tp } = plan.layout;
      const end = endBytes({ model, recipe, tokens: rows.tokens, tp, numMtp, remade: { norm } });
      keptHere += end.kept;
      deferredHere += end.deferred;
      logits = end.logits;
      for (let depth = 0; depth < numMtp; depth++) add(model.numHiddenLayers + depth);
    }
    if (layers.hasEmbedding) {
      deferredHere += bytesOfRow(recipe.formats.gradient, model.hiddenSize) * rows.tokens;
    }
    kept.push(keptHere);
    deferred.push(deferredHere);
  }
  return { kept, deferred, forwardWork, backwardWork, logits, remadeFlops };
}

function ofRank(context: Context, rank: number, chunks: LiveChunks): RankMemory {
  const { input, recipe, rows, device, reserve } = context;
  const { model, plan, stages } = input;
  const state = modelState({ model, plan, recipe, stages }, rank);
  const own = activationsOf(context, rank);
  const numParameters = state.parameters.reduce((sum, { count }) => sum + count, 0);
  const buffers = communicationBytes({
    model,
    plan,
    recipe,
    rows,
    device,
    numStages: own.kept.length,
    numParameters,
  });
  const waiting = dot(own.kept, chunks.kept);
  const deferred = dot(own.deferred, chunks.deferred);
  // The first pair of DualPipe begins with a forward more than the filling had.
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const filled = isPaired ? waiting - Math.min(...own.kept) : waiting;
  const forwardWork = Math.max(own.forwardWork, own.logits);
  const backwardWork = Math.max(own.backwardWork, own.logits);
  const parts: Omit<PhaseParts, 'name' | 'alive'> = { state, buffers, reserve };
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
    evaluation: [
      { what: 'work of the layer in forward', bytes: forwardWork + evaluationState(context) },
    ],
  };
  const phases = phaseNames.map((name) => phaseOf({ name, alive: alive[name], ...parts }));
  const peak = phases.reduce((most, each) => (each.total > most.total ? each : most));
  const live = liveItems({ name: peak.name, alive: alive[peak.name], ...parts }, peak);
  return { rank, phases, peak, live, host: state.host, remadeFlops: own.remadeFlops };
}

const phaseNames: readonly MemoryPhaseName[] = ['warm-up', 'steady', 'optimizer', 'evaluation'];

/** A forward that keeps nothing still holds one layer's tensors and the stream. */
function evaluationState({ layer, input }: Context): number {
  const { model } = input;
  const last = layerKind(model, model.numHiddenLayers - 1);
  return layer(last, recomputePolicies.none).kept;
}

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
  return Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
}

function dot(a: readonly number[], b: readonly number[]): number {
  assert(a.length === b.length, `${a.length} stages, live chunks of ${b.length}`);
  return a.reduce((sum, value, index) => sum + value * at(b, index), 0);
}
