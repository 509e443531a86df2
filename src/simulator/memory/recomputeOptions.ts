/**
 * What each rank may choose to make again, in bytes and FLOPs: groups of alike layers with their
 * options, and the room that is left for them under a cap. A policy chooses; `layerChoices` turns
 * its numbers of layers back into layers.
 */
import { at } from '../../base/assert.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { layerTable } from './activations.ts';
import { defaultReserve } from './communicationBuffers.ts';
import { joinBytes, logitBytes } from './endBytes.ts';
import {
  estimateMemory,
  type LayerRecompute,
  type MemoryInput,
  phaseNames,
  rowCounts,
} from './estimateMemory.ts';
import { everyRecompute, type LayerBytes } from './layerBytes.ts';
import { type LayerKind, layerKind } from './layerTensors.ts';
import { liveChunks } from './liveChunks.ts';
import { memoryRecipes } from './memoryRecipe.ts';
import { mtpModules, type StageLayers } from './parameterGroups.ts';

export interface LayerOption {
  readonly items: RecomputeItems;
  /** Kept by one layer for all live micro-batches. */
  readonly bytes: number;
  /** Of one layer and one micro-batch, or what the caller has in their place. */
  readonly flops: number;
  /** While the layer runs. */
  readonly work: number;
}

export interface LayerGroup {
  readonly stage: number;
  readonly layers: readonly number[];
  readonly numLayers: number;
  readonly options: readonly LayerOption[];
}

export interface RankOptions {
  /** Bytes for what layers keep and their work space. */
  readonly room: number;
  readonly groups: readonly LayerGroup[];
}

export function recomputeOptions(input: MemoryInput, capBytes: number): RankOptions[] {
  const { model, plan, stages } = input;
  const { recipe = memoryRecipes[plan.precision], reserve = defaultReserve } = input;
  const rows = rowCounts(input);
  const table = layerTable({ model, plan, recipe, rows });
  const chunks = input.liveChunks ?? liveChunks(plan);
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const head = { model, recipe, tokens: rows.tokens };
  const memories = estimateMemory({ ...input, recompute: () => recomputePolicies.none });
  return memories.map(({ phases }, rank) => {
    const own = at(stages, rank);
    const logits = own.some(({ hasHead }) => hasHead) ? logitBytes(head, plan.layout.tp) : 0;
    const workOf = ({ forwardWork, backwardWork }: LayerBytes): number =>
      Math.max(backwardWork, logits) + (isPaired ? Math.max(forwardWork, logits) : 0);
    const groups = own.flatMap((stage, index) => {
      const live = at(at(chunks, rank).kept, index);
      return alikeLayers(model, plan, stage).map(({ layers, kind, isMtp }): LayerGroup => {
        const options = everyRecompute.map((items): LayerOption => {
          const bytes = table(kind, items);
          const join = isMtp ? joinBytes(head, items).kept : 0;
          const flops = input.remadeCost?.(kind, items) ?? bytes.remadeFlops;
          return { items, bytes: live * (bytes.kept + join), flops, work: workOf(bytes) };
        });
        return { stage: index, layers, numLayers: layers.length, options };
      });
    });
    const { total } = at(phases, phaseNames.indexOf('steady'));
    const kept = groups.reduce(
      (sum, { numLayers, options }) => sum + numLayers * at(options, 0).bytes,
      0,
    );
    const work = Math.max(0, ...groups.map(({ options }) => at(options, 0).work));
    // Fragmentation is a share of activations, so room for them is less than what is left.
    const share = 1 + reserve.fragmentation;
    return { room: (capBytes - total) / share + kept + work, groups };
  });
}

interface Alike {
  readonly layers: readonly number[];
  readonly kind: LayerKind;
  readonly isMtp: boolean;
}

function alikeLayers(model: PlannedModel, plan: TrainingPlan, stage: StageLayers): Alike[] {
  const { numHiddenLayers } = model;
  const layers = range(stage.first, stage.last);
  const numMtp = stage.hasHead ? mtpModules(model, plan) : 0;
  const alike: Alike[] = (['dense', 'moe'] as const).map((kind) => ({
    layers: layers.filter((layer) => layerKind(model, layer) === kind),
    kind,
    isMtp: false,
  }));
  for (const layer of range(numHiddenLayers, numHiddenLayers + numMtp)) {
    alike.push({ layers: [layer], kind: layerKind(model, layer), isMtp: true });
  }
  return alike.filter((each) => each.layers.length > 0);
}

/** @param ranks with the layers of each group and option counted: first layers, first option */
export function layerChoices(
  ranks: readonly { readonly groups: readonly LayerGroup[]; readonly counts: Counts }[],
): LayerRecompute {
  const chosen = new Map<string, RecomputeItems>();
  for (const [rank, { groups, counts }] of ranks.entries()) {
    for (const [index, { stage, layers, options }] of groups.entries()) {
      let next = 0;
      for (const [which, count] of at(counts, index).entries()) {
        for (let taken = 0; taken < count; taken++) {
          const layer = at(layers, next++);
          chosen.set(`${rank},${stage},${layer}`, at(options, which).items);
        }
      }
    }
  }
  return ({ rank, stage, layer }) => {
    const items = chosen.get(`${rank},${stage},${layer}`);
    return items ?? recomputePolicies.none;
  };
}

type Counts = readonly (readonly number[])[];

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
