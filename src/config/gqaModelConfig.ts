/**
 * Models of other architectures that the planner can price beside V3's: grouped-query attention
 * with a dense MLP or a plain mixture of experts (Llama, Qwen, Mixtral). They are described, not
 * trained here.
 */
import type { ModelConfig } from './modelConfig.ts';

export interface GqaModelConfig {
  readonly modelType: 'gqa';
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of the dense MLP. */
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** 0 in a dense model; then the other expert counts are 0 too. */
  readonly nRoutedExperts: number;
  readonly nSharedExperts: number;
  readonly numExpertsPerTok: number;
  readonly moeIntermediateSize: number;
  /** Layers before the first with experts. */
  readonly firstKDenseReplace: number;
  readonly tieWordEmbeddings: boolean;
  readonly maxPositionEmbeddings: number;
  /** Every head's query and key has a norm of its own (Qwen3). */
  readonly qkNorm?: true;
}

/** What the planner accepts. */
export type PlannedModel = ModelConfig | GqaModelConfig;

export function isGqa(model: PlannedModel): model is GqaModelConfig {
  return model.modelType === 'gqa';
}
