/**
 * Which parameters a slice of the model has, and where each tensor of a checkpoint lies in them.
 *
 * Products want few, large matrices; checkpoints keep one tensor per projection and expert. So some
 * parameters are packed, and their checkpoint tensors (*pieces*) are row ranges:
 *
 *     mlp.gate_up_proj          [2I, H]      gate rows, then up rows
 *     mlp.experts.gate_up_proj  [E, 2F, H]   per expert gate rows, then up rows
 *     mlp.experts.down_proj     [E, H, F]    one expert after another
 *
 * Everything else is one piece. The n-th MTP module is layer `numHiddenLayers + n`, and like the
 * published checkpoint it carries copies of the embedding and the head, which it shares.
 */
import { isMoeLayer, type ModelConfig } from '../config/modelConfig.ts';
import { hasRouterBias } from '../policy/routing/gate.ts';

/** A slice of the model on one rank: layers `first` … `last − 1`, and the ends it holds. */
export interface Stage {
  readonly first: number;
  readonly last: number;
  readonly hasEmbedding: boolean;
  /** Final norm, head and MTP modules, which also need the embedding. */
  readonly hasHead: boolean;
  /** Routed experts `first` … `last − 1` of every layer, where ranks share them; else all. */
  readonly experts?: { readonly first: number; readonly last: number };
}

export function wholeModel(config: ModelConfig): Stage {
  return { first: 0, last: config.numHiddenLayers, hasEmbedding: true, hasHead: true };
}

/**
 * `own`: in every checkpoint. `copy`: a second name for a shared tensor, written but optional when
 * read. `alias`: not written, accepted when read (the head of a tied model).
 */
export type PieceRole = 'own' | 'copy' | 'alias';

export interface Piece {
  /** The tensor's name in checkpoints. */
  readonly name: string;
  readonly shape: readonly number[];
  /** First row in the parameter with all dims but the last flattened. */
  readonly firstRow: number;
  readonly role: PieceRole;
}

export interface ParameterSpec {
  /** The checkpoint's name, or one made in its style where the parameter is packed. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly pieces: readonly Piece[];
  readonly initial: 'normal' | 'one' | 'zero';
  /** Learned by gradient; the router's bias is not. */
  readonly isTrained: boolean;
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
export const FINAL_NORM = 'model.norm.weight';

export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`;
}

/** Parameters of a stage, in checkpoint order: embedding, layers, norm, head, MTP modules. */
export function parameterLayout(config: ModelConfig, stage: Stage): ParameterSpec[] {
  const { hiddenSize, vocabSize, numHiddenLayers, numNextnPredictLayers } = config;
  const mtpLayers = stage.hasHead
    ? Array.from({ length: numNextnPredictLayers }, (_, depth) => numHiddenLayers + depth)
    : [];
  const isTied = config.tieWordEmbeddings;
  const specs: ParameterSpec[] = [];
  if (stage.hasEmbedding || mtpLayers.length > 0 || (isTied && stage.hasHead)) {
    const copies = mtpLayers.map((layer) => `${layerPrefix(layer)}embed_tokens.weight`);
    if (isTied) copies.push(...mtpLayers.map(headCopy));
    specs.push(
      shared(EMBEDDING, [vocabSize, hiddenSize], copies, isTied && stage.hasHead ? [HEAD] : []),
    );
  }
  for (let layer = stage.first; layer < stage.last; layer++) {
    specs.push(...blockSpecs(config, stage, layer));
  }
  if (stage.hasHead) {
    specs.push(norm(FINAL_NORM, hiddenSize));
    if (!isTied) specs.push(shared(HEAD, [vocabSize, hiddenSize], mtpLayers.map(headCopy), []));
    for (const layer of mtpLayers) specs.push(...mtpSpecs(config, stage, layer));
  }
  return specs;
}

function headCopy(layer: number): string {
  return `${layerPrefix(layer)}shared_head.head.weight`;
}

function mtpSpecs(config: ModelConfig, stage: Stage, layer: number): ParameterSpec[] {
  const { hiddenSize } = config;
  const prefix = layerPrefix(layer);
  return [
    norm(`${prefix}enorm.weight`, hiddenSize),
    norm(`${prefix}hnorm.weight`, hiddenSize),
    matrix(`${prefix}eh_proj.weight`, hiddenSize, 2 * hiddenSize),
    ...blockSpecs(config, stage, layer),
    norm(`${prefix}shared_head.norm.weight`, hiddenSize),
  ];
}

function blockSpecs(config: ModelConfig, stage: Stage, layer: number): ParameterSpec[] {
  const { hiddenSize } = config;
  const prefix = layerPrefix(layer);
  return [
    norm(`${prefix}input_layernorm.weight`, hiddenSize),
    ...attentionSpecs(config, `${prefix}self_attn.`),
    norm(`${prefix}post_attention_layernorm.weight`, hiddenSize),
    ...(isMoeLayer(config, layer)
      ? moeSpecs(config, stage, `${prefix}mlp.`)
      : mlpSpecs(`${prefix}mlp.`, config.intermediateSize, hiddenSize)),
  ];
}

function attentionSpecs(config: ModelConfig, prefix: string): ParameterSpec[] {
  const { hiddenSize, qLoraRank, kvLoraRank, numAttentionHeads, vHeadDim } = config;
  const qSize = numAttentionHeads * (config.qkNopeHeadDim + config.qkRopeHeadDim);
  const kvSize = numAttentionHeads * (config.qkNopeHeadDim + vHeadDim);
  const query =
    qLoraRank === null
      ? [matrix(`${prefix}q_proj.weight`, qSize, hiddenSize)]
      : [
          matrix(`${prefix}q_a_proj.weight`, qLoraRank, hiddenSize),
          norm(`${prefix}q_a_layernorm.weight`, qLoraRank),
          matrix(`${prefix}q_b_proj.weight`, qSize, qLoraRank),
        ];
  return [
    ...query,
    matrix(`${prefix}kv_a_proj_with_mqa.weight`, kvLoraRank + config.qkRopeHeadDim, hiddenSize),
    norm(`${prefix}kv_a_layernorm.weight`, kvLoraRank),
    matrix(`${prefix}kv_b_proj.weight`, kvSize, kvLoraRank),
    matrix(`${prefix}o_proj.weight`, hiddenSize, numAttentionHeads * vHeadDim),
  ];
}

function mlpSpecs(prefix: string, width: number, hiddenSize: number): ParameterSpec[] {
  return [
    {
      name: `${prefix}gate_up_proj.weight`,
      shape: [2 * width, hiddenSize],
      pieces: [
        piece(`${prefix}gate_proj.weight`, [width, hiddenSize], 0),
        piece(`${prefix}up_proj.weight`, [width, hiddenSize], width),
      ],
      initial: 'normal',
      isTrained: true,
    },
    matrix(`${prefix}down_proj.weight`, hiddenSize, width),
  ];
}

function moeSpecs(config: ModelConfig, stage: Stage, prefix: string): ParameterSpec[] {
  const { hiddenSize, nRoutedExperts: numExperts, moeIntermediateSize: width } = config;
  const { first, last } = stage.experts ?? { first: 0, last: numExperts };
  const experts = Array.from({ length: last - first }, (_, e) => `${prefix}experts.${first + e}.`);
  const bias = `${prefix}gate.e_score_correction_bias`;
  return [
    matrix(`${prefix}gate.weight`, numExperts, hiddenSize),
    {
      name: bias,
      shape: [numExperts],
      // V2's gate has no bias: zeros that no checkpoint knows of.
      pieces: hasRouterBias(config) ? [piece(bias, [numExperts], 0)] : [],
      initial: 'zero',
      isTrained: false,
    },
    {
      name: `${prefix}experts.gate_up_proj.weight`,
      shape: [experts.length, 2 * width, hiddenSize],
      pieces: experts.flatMap((expert, e) => [
        piece(`${expert}gate_proj.weight`, [width, hiddenSize], 2 * width * e),
        piece(`${expert}up_proj.weight`, [width, hiddenSize], 2 * width * e + width),
      ]),
      initial: 'normal',
      isTrained: true,
    },
    {
      name: `${prefix}experts.down_proj.weight`,
      shape: [experts.length, hiddenSize, width],
      pieces: experts.map((expert, e) =>
        piece(`${expert}down_proj.weight`, [hiddenSize, width], hiddenSize * e),
      ),
      initial: 'normal',
      isTrained: true,
    },
    ...(config.nSharedExperts > 0
      ? mlpSpecs(`${prefix}shared_experts.`, config.nSharedExperts * width, hiddenSize)
      : []),
  ];
}

function piece(name: string, shape: readonly number[], firstRow: number): Piece {
  return { name, shape, firstRow, role: 'own' };
}

function matrix(name: string, rows: number, columns: number): ParameterSpec {
  return shared(name, [rows, columns], [], []);
}

function shared(
  name: string,
  shape: readonly number[],
  copies: readonly string[],
  aliases: readonly string[],
): ParameterSpec {
  const other = (role: PieceRole) => (second: string) => ({
    name: second,
    shape,
    firstRow: 0,
    role,
  });
  const pieces = [
    piece(name, shape, 0),
    ...copies.map(other('copy')),
    ...aliases.map(other('alias')),
  ];
  return { name, shape, pieces, initial: 'normal', isTrained: true };
}

function norm(name: string, size: number): ParameterSpec {
  return {
    name,
    shape: [size],
    pieces: [piece(name, [size], 0)],
    initial: 'one',
    isTrained: true,
  };
}
