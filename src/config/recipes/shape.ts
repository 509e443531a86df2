/**
 * DeepSeek-V3's proportions at any depth: what a recipe's one dial turns.
 *
 *     hidden 32·depth (at least 64) ── heads hidden/32, each 32 + 16 rope ── latents 1/2 and 1/4
 *     expert width hidden/2, 3 of 16 and 1 shared ── dense width (3 + 1) experts, as in V3
 */
import type { ModelConfig } from '../modelConfig.ts';
import { v3Mini } from '../presets/small.ts';
import type { DerivedRow } from './recipe.ts';

export interface ModelShape {
  readonly depth: number;
  readonly vocabSize: number;
  readonly length: number;
}

export interface ShapedModel {
  readonly model: ModelConfig;
  readonly derived: readonly DerivedRow[];
}

export function shapeModel({ depth, vocabSize, length }: ModelShape): ShapedModel {
  const hiddenSize = Math.max(64, 32 * depth);
  const numExpertsPerTok = 3;
  const moeIntermediateSize = hiddenSize / 2;
  const model: ModelConfig = {
    ...v3Mini,
    vocabSize,
    hiddenSize,
    numHiddenLayers: depth,
    intermediateSize: (numExpertsPerTok + v3Mini.nSharedExperts) * moeIntermediateSize,
    moeIntermediateSize,
    numExpertsPerTok,
    numAttentionHeads: hiddenSize / 32,
    qLoraRank: hiddenSize / 2,
    kvLoraRank: hiddenSize / 4,
    maxPositionEmbeddings: Math.max(1024, 4 * length),
    initializerRange: 0.02,
  };
  return { model, derived: explain(model) };
}

function explain(model: ModelConfig): DerivedRow[] {
  const { nRoutedExperts, nGroup, topkGroup, nSharedExperts, numExpertsPerTok } = model;
  return [
    { name: 'layers', value: model.numHiddenLayers, reason: 'the dial' },
    { name: 'hidden size', value: model.hiddenSize, reason: '32 per layer, at least 64' },
    { name: 'heads', value: model.numAttentionHeads, reason: 'one per 32 of the hidden size' },
    {
      name: 'latents',
      value: `${model.qLoraRank} query, ${model.kvLoraRank} key-value`,
      reason: '1/2 and 1/4 of the hidden size',
    },
    {
      name: 'experts',
      value: `${numExpertsPerTok} of ${nRoutedExperts}, ${nSharedExperts} shared`,
      reason: `${topkGroup} of ${nGroup} groups, V3's gate at a small size`,
    },
    { name: 'expert width', value: model.moeIntermediateSize, reason: 'half the hidden size' },
    {
      name: 'dense width',
      value: model.intermediateSize,
      reason: 'as wide as the experts a token meets, as in V3',
    },
    { name: 'MTP depth', value: model.numNextnPredictLayers, reason: 'as in V3' },
    { name: 'vocabulary', value: model.vocabSize, reason: 'byte-level BPE, trained on the data' },
  ];
}
