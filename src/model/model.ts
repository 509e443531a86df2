/**
 * A stage's weights put together: what every pass, training or serving, goes through.
 */
import { isMoeLayer, type ModelConfig } from '../config/modelConfig.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { gateRule } from '../policy/routing/gate.ts';
import type { Arena } from '../tensor/arena.ts';
import { type BlockWeights, blockWeights } from './block.ts';
import type { RoutingCounts, Shared } from './context.ts';
import type { EndWeights } from './loss.ts';
import { type MtpWeights, mtpWeights } from './mtp.ts';
import { EMBEDDING, FINAL_NORM, HEAD, type Stage } from './parameterLayout.ts';
import { type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';
import { createRopeTable, softmaxScale } from './rope.ts';

export interface Model {
  readonly stage: Stage;
  readonly shared: Shared;
  readonly parameters: ParameterSet;
  readonly blocks: readonly BlockWeights[];
  /** null on stages that neither begin the model nor hold MTP modules. */
  readonly embedding: Parameter | null;
  /** Final norm and head; null before the last stage. */
  readonly end: EndWeights | null;
  readonly mtp: readonly MtpWeights[];
}

/**
 * @param arena where the table of rotations goes; it lives as long as the parameters
 * @param maxPositions positions a sequence may take; `maxPositionEmbeddings` when left out
 */
export function createModel(args: {
  kernels: Kernels;
  arena: Arena;
  config: ModelConfig;
  parameters: ParameterSet;
  maxPositions?: number;
}): Model {
  const { kernels, arena, config, parameters } = args;
  const { stage } = parameters;
  const numPositions = args.maxPositions ?? config.maxPositionEmbeddings;
  const shared: Shared = {
    config,
    ropeTable: createRopeTable({ kernels, arena, config, numPositions }),
    softmaxScale: softmaxScale(config),
    rule: config.nRoutedExperts > 0 ? gateRule(config) : null,
  };
  const embedding = parameters.parameters.get(EMBEDDING) ?? null;
  const blocks = Array.from({ length: stage.last - stage.first }, (_, index) =>
    blockWeights(parameters, config, stage.first + index),
  );
  if (!stage.hasHead) return { stage, shared, parameters, blocks, embedding, end: null, mtp: [] };
  const head = parameterNamed(parameters, config.tieWordEmbeddings ? EMBEDDING : HEAD);
  const norm = parameterNamed(parameters, FINAL_NORM);
  const mtp = Array.from({ length: config.numNextnPredictLayers }, (_, index) =>
    mtpWeights(parameters, config, {
      depth: index + 1,
      embedding: parameterNamed(parameters, EMBEDDING),
      head,
    }),
  );
  const end = { norm, head, eps: config.rmsNormEps };
  return { stage, shared, parameters, blocks, embedding, end, mtp };
}

/** Layer indices of a stage's MoE layers, those of MTP modules included. */
export function moeLayers(config: ModelConfig, stage: Stage): number[] {
  const layers = Array.from({ length: stage.last - stage.first }, (_, i) => stage.first + i);
  if (stage.hasHead) {
    for (let depth = 0; depth < config.numNextnPredictLayers; depth++) {
      layers.push(config.numHiddenLayers + depth);
    }
  }
  return layers.filter((layer) => isMoeLayer(config, layer));
}

/** Zeroed counters of expert loads; `zeroCounts` starts the next step. */
export function createRoutingCounts(args: {
  kernels: Kernels;
  arena: Arena;
  config: ModelConfig;
  stage: Stage;
}): RoutingCounts {
  const { kernels, arena, config, stage } = args;
  const layers = moeLayers(config, stage);
  if (layers.length === 0) return { layers, all: null };
  const all = arena.allocate('i32', [layers.length, config.nRoutedExperts]);
  const counts = { layers, all };
  zeroCounts(kernels, counts);
  return counts;
}

export function zeroCounts(kernels: Kernels, counts: RoutingCounts): void {
  if (counts.all !== null) kernels.fill({ out: counts.all, value: 0 });
}
