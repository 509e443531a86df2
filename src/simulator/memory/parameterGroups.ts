/**
 * The parameters of a slice of the model by what happens to them: whether they are factors of
 * products (and so FP8 in V3's recipe) and over which ranks they are split. Tensor parallelism
 * splits heads, widths and the vocabulary, expert parallelism whole experts; latent projections,
 * the gate and gains are on every rank.
 */
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import { type LayerKind, layerKind } from './layerTensors.ts';

export type ParameterName =
  | 'embedding'
  | 'head'
  | 'attention'
  | 'dense MLP'
  | 'shared experts'
  | 'routed experts'
  | 'gate'
  | 'norms'
  | 'MTP projection';

export interface ParameterGroup {
  readonly name: ParameterName;
  /** Values, before any split. */
  readonly count: number;
  /** `linear`: a factor of the large products; `plain`: BF16 in every recipe. */
  readonly kind: 'linear' | 'plain';
  readonly split: 'tp' | 'ep' | 'none';
}

/** Layers `first` … `last − 1` with the ends that lie there: one stage of a pipeline. */
export interface StageLayers {
  readonly first: number;
  readonly last: number;
  readonly hasEmbedding: boolean;
  /** Final norm, head, and the MTP modules where they are trained. */
  readonly hasHead: boolean;
}

/** Whether a stage needs the embedding: for the tokens, for MTP's, or as the head of a tied one. */
export function needsEmbedding(
  model: PlannedModel,
  stage: StageLayers,
  numMtpModules: number,
): boolean {
  return stage.hasEmbedding || (stage.hasHead && (numMtpModules > 0 || model.tieWordEmbeddings));
}

/** MTP modules that a plan trains. */
export function mtpModules(model: PlannedModel, plan: { readonly mtp: boolean }): number {
  return !plan.mtp || isGqa(model) ? 0 : model.numNextnPredictLayers;
}

export function embeddingGroup(model: PlannedModel): ParameterGroup {
  return group('embedding', model.vocabSize * model.hiddenSize, 'plain', 'tp');
}

/** Final norm, head, and what MTP adds to them; embeddings are apart, since ranks share them. */
export function endGroups(model: PlannedModel, numMtpModules: number): ParameterGroup[] {
  const D = model.hiddenSize;
  const groups = [group('norms', D, 'plain', 'none')];
  if (!model.tieWordEmbeddings) groups.push(group('head', model.vocabSize * D, 'plain', 'tp'));
  for (let depth = 0; depth < numMtpModules; depth++) {
    groups.push(group('MTP projection', 2 * D * D, 'linear', 'tp'));
    groups.push(group('norms', 3 * D, 'plain', 'none'));
    groups.push(...layerGroups(model, mtpKind(model, depth)));
  }
  return groups;
}

export function mtpKind(model: PlannedModel, depth: number): LayerKind {
  return layerKind(model, model.numHiddenLayers + depth);
}

export function layerGroups(model: PlannedModel, kind: LayerKind): ParameterGroup[] {
  const D = model.hiddenSize;
  const expert = 3 * D * model.moeIntermediateSize;
  const feedForward =
    kind === 'dense'
      ? [group('dense MLP', 3 * D * model.intermediateSize, 'linear', 'tp')]
      : [
          group('shared experts', model.nSharedExperts * expert, 'linear', 'tp'),
          group('routed experts', model.nRoutedExperts * expert, 'linear', 'ep'),
          group('gate', model.nRoutedExperts * D, 'plain', 'none'),
        ];
  return [...attentionGroups(model), ...feedForward];
}

function attentionGroups(model: PlannedModel): ParameterGroup[] {
  const { hiddenSize: D, numAttentionHeads: H } = model;
  if (isGqa(model)) {
    const { numKeyValueHeads, headDim } = model;
    const count = 2 * D * headDim * (H + numKeyValueHeads);
    return [group('attention', count, 'linear', 'tp'), group('norms', 2 * D, 'plain', 'none')];
  }
  const { qLoraRank: Q, kvLoraRank: C, qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = model;
  const heads = C * H * (N + V) + H * V * D + (Q ?? D) * H * (N + P);
  const latent = D * (C + P) + (Q === null ? 0 : D * Q);
  return [
    group('attention', heads, 'linear', 'tp'),
    group('attention', latent, 'linear', 'none'),
    group('norms', 2 * D + C + (Q ?? 0), 'plain', 'none'),
  ];
}

function group(
  name: ParameterName,
  count: number,
  kind: ParameterGroup['kind'],
  split: ParameterGroup['split'],
): ParameterGroup {
  return { name, count, kind, split };
}
