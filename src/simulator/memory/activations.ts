/**
 * Activations of one micro-batch in one stage of the pipeline, and the work space of its layers.
 */
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { RecomputeItems, TrainingPlan } from '../../config/parallelPlan.ts';
import { endBytes, joinBytes, logitBytes } from './endBytes.ts';
import { type LayerBytes, layerBytes, type RowCounts } from './layerBytes.ts';
import { type LayerKind, layerKind } from './layerTensors.ts';
import { bytesOfRow, type MemoryRecipe } from './memoryRecipe.ts';
import { layersByKind } from './modelState.ts';
import { mtpModules, type StageLayers } from './parameterGroups.ts';

export interface ActivationInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly recipe: MemoryRecipe;
  readonly rows: RowCounts;
}

export interface StageActivations {
  /** From forward until backward. */
  readonly kept: number;
  /** From the input half of backward until the weight half. */
  readonly deferred: number;
  /** Of the layer that needs most while it runs, in either pass. */
  readonly forwardWork: number;
  readonly backwardWork: number;
  /** While the head runs. */
  readonly logits: number;
  /** Computed a second time. */
  readonly remadeFlops: number;
}

/** What the layers of a stage make again: all the same, or by layer. */
export type StageRecompute = RecomputeItems | ((layer: number) => RecomputeItems);

/** Bytes of layers are made once for each kind and policy. */
export type LayerTable = (kind: LayerKind, items: RecomputeItems) => LayerBytes;

export function layerTable(input: ActivationInput): LayerTable {
  const known = new Map<string, LayerBytes>();
  return (kind, items) => {
    const key = `${kind}${+items.norm}${+items.mlaUpProjection}${+items.swiglu}${+items.block}`;
    let bytes = known.get(key);
    if (bytes === undefined) {
      bytes = layerBytes(input, kind, items);
      known.set(key, bytes);
    }
    return bytes;
  };
}

export function stageActivations(
  input: ActivationInput & { readonly table: LayerTable },
  stage: StageLayers,
  recompute: StageRecompute,
): StageActivations {
  const { model, plan, recipe, rows, table } = input;
  const sum = { kept: 0, deferred: 0, forwardWork: 0, backwardWork: 0, logits: 0, remadeFlops: 0 };
  const add = (bytes: LayerBytes, count: number): void => {
    sum.kept += count * bytes.kept;
    sum.deferred += count * bytes.deferred;
    sum.forwardWork = Math.max(sum.forwardWork, bytes.forwardWork);
    sum.backwardWork = Math.max(sum.backwardWork, bytes.backwardWork);
    sum.remadeFlops += count * bytes.remadeFlops;
  };
  const itemsOf = typeof recompute === 'function' ? recompute : () => recompute;
  if (typeof recompute === 'function') {
    for (let layer = stage.first; layer < stage.last; layer++) {
      add(table(layerKind(model, layer), recompute(layer)), 1);
    }
  } else {
    const count = layersByKind(model, stage);
    if (count.dense > 0) add(table('dense', recompute), count.dense);
    if (count.moe > 0) add(table('moe', recompute), count.moe);
  }
  const head = { model, recipe, tokens: rows.tokens };
  if (stage.hasHead) {
    const numMtp = mtpModules(model, plan);
    const end = endBytes(head);
    sum.kept += end.kept * (1 + numMtp);
    sum.deferred += end.deferred * (1 + numMtp);
    sum.logits = logitBytes(head, plan.layout.tp);
    for (let depth = 0; depth < numMtp; depth++) {
      const layer = model.numHiddenLayers + depth;
      const items = itemsOf(layer);
      const join = joinBytes(head, items);
      sum.kept += join.kept;
      sum.deferred += join.deferred;
      add(table(layerKind(model, layer), items), 1);
    }
  }
  if (stage.hasEmbedding) {
    sum.deferred += bytesOfRow(recipe.formats.gradient, model.hiddenSize) * rows.tokens;
  }
  return sum;
}
