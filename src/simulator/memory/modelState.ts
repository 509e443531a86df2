/**
 * What a rank holds whether or not a micro-batch is under way: weights, master weights, gradients,
 * moments, and how ZeRO splits them (Rajbhandari et al. 2020). Stage 1 splits master weights and
 * moments over the replicas of a parameter, 2 gradients too, 3 the weights themselves.
 *
 * Replicas of a parameter: dp × the pipeline ranks that hold its stage (two under DualPipe, whose
 * copies add their gradients up like any other replica); of a routed expert dp × tp / ep × those.
 */
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import { layerKind } from './layerTensors.ts';
import { bytesPerWeight, type MemoryRecipe } from './memoryRecipe.ts';
import {
  embeddingGroup,
  endGroups,
  layerGroups,
  mtpModules,
  needsEmbedding,
  type ParameterGroup,
  type ParameterName,
  type StageLayers,
} from './parameterGroups.ts';

export interface HeldParameters {
  readonly name: ParameterName;
  /** Values on this rank after the split over tp or ep, before ZeRO's. */
  readonly count: number;
  readonly kind: ParameterGroup['kind'];
  /** Ranks that hold the very same values. */
  readonly replicas: number;
}

export interface ModelState {
  readonly parameters: readonly HeldParameters[];
  readonly weights: number;
  readonly masterWeights: number;
  readonly gradients: number;
  readonly moments: number;
  /** Weights of the largest layer, whole: what ZeRO-3 gathers while it runs, twice over. */
  readonly gathered: number;
  /** In host memory: the moving average, and what is offloaded. */
  readonly host: { readonly average: number; readonly offloaded: number };
}

export interface ModelStateInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly recipe: MemoryRecipe;
  /** Of every rank of the pipeline. */
  readonly stages: readonly (readonly StageLayers[])[];
}

export function modelState(input: ModelStateInput, rank: number): ModelState {
  const { plan, recipe } = input;
  const { zeroStage } = plan.layout;
  const parameters = heldParameters(input, rank);
  const state = { weights: 0, masterWeights: 0, gradients: 0, moments: 0 };
  let average = 0;
  for (const { count, kind, replicas } of parameters) {
    const share = (stage: number): number => (zeroStage >= stage ? count / replicas : count);
    state.weights += share(3) * weightBytes(recipe, kind);
    state.masterWeights += share(1) * (recipe.masterWeights === 'f32' ? 4 : 0);
    state.gradients += share(2) * bytesPerWeight(recipe.gradients);
    state.moments += share(1) * 2 * bytesPerWeight(recipe.moments);
    if (recipe.average !== null) average += share(1) * bytesPerWeight(recipe.average);
  }
  const isOffloaded = recipe.offload === 'optimizer';
  const offloaded = isOffloaded ? state.masterWeights + state.moments : 0;
  return {
    parameters,
    ...state,
    ...(isOffloaded ? { masterWeights: 0, moments: 0 } : {}),
    gathered: zeroStage === 3 ? 2 * largestLayer(input, rank) : 0,
    host: { average, offloaded },
  };
}

/** Bytes of one weight as it lies on the device for computing. */
export function weightBytes(recipe: MemoryRecipe, kind: ParameterGroup['kind']): number {
  if (kind === 'plain') return recipe.linearWeights === 'f32' ? 4 : 2;
  const transposed = recipe.transposedWeights === 'kept' ? 1 : 0;
  return bytesPerWeight(recipe.linearWeights) + transposed;
}

export function heldParameters(input: ModelStateInput, rank: number): HeldParameters[] {
  const { model, plan, stages } = input;
  const { dp, tp, ep } = plan.layout;
  const numMtp = mtpModules(model, plan);
  const held: HeldParameters[] = [];
  const add = (group: ParameterGroup, times: number, copies: number): void => {
    const parts = { tp, ep, none: 1 }[group.split];
    const replicas = (group.split === 'ep' ? (dp * tp) / ep : dp) * copies;
    const { name, kind, count } = group;
    if (count * times > 0) held.push({ name, kind, count: (count * times) / parts, replicas });
  };
  const own = stages[rank] ?? [];
  const copiesOf = (stage: StageLayers): number =>
    stages.filter((each) => each.some((other) => isSameStage(other, stage))).length;
  // Where the embedding serves the head too it is a copy of its own, whose gradients are added.
  const user = own.find((stage) => needsEmbedding(model, stage, numMtp));
  if (user) add(embeddingGroup(model), 1, copiesOf(user));
  for (const stage of own) {
    const copies = copiesOf(stage);
    const numLayers = layersByKind(model, stage);
    for (const kind of ['dense', 'moe'] as const) {
      if (numLayers[kind] === 0) continue;
      for (const group of layerGroups(model, kind)) add(group, numLayers[kind], copies);
    }
    if (!stage.hasHead) continue;
    for (const group of endGroups(model, numMtp)) add(group, 1, copies);
  }
  return held;
}

export function layersByKind(
  model: PlannedModel,
  stage: StageLayers,
): { dense: number; moe: number } {
  const count = { dense: 0, moe: 0 };
  for (let layer = stage.first; layer < stage.last; layer++) count[layerKind(model, layer)]++;
  return count;
}

/** The same stage, held by another rank too. */
export function isSameStage(a: StageLayers, b: StageLayers): boolean {
  return a.first === b.first && a.last === b.last && a.hasHead === b.hasHead;
}

function largestLayer({ model, plan, recipe, stages }: ModelStateInput, rank: number): number {
  const { tp, ep } = plan.layout;
  const kinds = new Set(
    (stages[rank] ?? []).flatMap((stage) =>
      Object.entries(layersByKind(model, stage)).flatMap(([kind, n]) => (n > 0 ? [kind] : [])),
    ),
  );
  let most = 0;
  for (const kind of ['dense', 'moe'] as const) {
    if (!kinds.has(kind)) continue;
    let bytes = 0;
    for (const { count, split, kind: of } of layerGroups(model, kind)) {
      bytes += (count / { tp, ep, none: 1 }[split]) * weightBytes(recipe, of);
    }
    most = Math.max(most, bytes);
  }
  return most;
}
