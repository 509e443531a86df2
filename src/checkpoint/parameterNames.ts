/**
 * Every tensor of a published checkpoint, from the config alone: names verbatim, shapes
 * `[out, in]`, dtypes as stored. For DeepSeek-V3 these are the 91,991 tensors of the release.
 *
 *     model.layers.L.self_attn.…      q_a_proj, q_a_layernorm, q_b_proj (or q_proj), kv_a_…, o_proj
 *     model.layers.L.mlp.…            gate_proj, up_proj, down_proj; or gate, experts.E.…, shared_…
 *     NAME_scale_inv                  one float32 per block of an FP8 weight
 *     model.layers.N+k.…              MTP module k: enorm, hnorm, eh_proj, a block, shared_head
 */
import { isMoeLayer, type ModelConfig } from '../config/modelConfig.ts';
import { bytesPerElement, type DType } from '../tensor/dtype.ts';
import { blockGrid } from '../tensor/fp8.ts';

export type WeightDType = Exclude<DType, 'i32'>;

export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: WeightDType;
  /**
   * - `weight`: trained
   * - `scale`: of the FP8 weight `of`
   * - `routerBias`: adjusted, float32 always (its steps of 0.001 are lost in BF16)
   * - `copy`: equal to `of`, for software that loads MTP modules alone; may be missing
   */
  readonly kind: 'weight' | 'scale' | 'routerBias' | 'copy';
  readonly of?: string;
}

export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
export const SCALE_SUFFIX = '_scale_inv';

const STORED: Readonly<Record<ModelConfig['torchDtype'], WeightDType>> = {
  float32: 'f32',
  bfloat16: 'bf16',
  float16: 'f16',
};

export function* checkpointTensors(config: ModelConfig): Generator<TensorSpec> {
  const { vocabSize, hiddenSize, numHiddenLayers, numNextnPredictLayers } = config;
  yield plain(config, EMBEDDING, [vocabSize, hiddenSize]);
  for (let layer = 0; layer < numHiddenLayers; layer++) yield* blockTensors(config, layer);
  yield plain(config, 'model.norm.weight', [hiddenSize]);
  if (!config.tieWordEmbeddings) yield plain(config, HEAD, [vocabSize, hiddenSize]);
  for (let depth = 0; depth < numNextnPredictLayers; depth++) {
    yield* mtpTensors(config, numHiddenLayers + depth);
  }
}

/** What a checkpoint comes to; every count is exact. */
export interface CheckpointSize {
  readonly tensors: number;
  /** Scales and copies included. */
  readonly elements: number;
  readonly bytes: number;
}

export function checkpointSize(config: ModelConfig): CheckpointSize {
  let [tensors, elements, bytes] = [0, 0, 0];
  for (const { shape, dtype } of checkpointTensors(config)) {
    const count = shape.reduce((product, dim) => product * dim, 1);
    tensors += 1;
    elements += count;
    bytes += count * bytesPerElement(dtype);
  }
  return { tensors, elements, bytes };
}

export function layerPrefix(layer: number): string {
  return `model.layers.${layer}.`;
}

function* mtpTensors(config: ModelConfig, layer: number): Generator<TensorSpec> {
  const { vocabSize: V, hiddenSize: H } = config;
  const prefix = layerPrefix(layer);
  const copy = (name: string, of: string): TensorSpec => {
    return { ...plain(config, prefix + name, [V, H]), kind: 'copy', of };
  };
  yield copy('embed_tokens.weight', EMBEDDING);
  yield plain(config, `${prefix}enorm.weight`, [H]);
  yield plain(config, `${prefix}hnorm.weight`, [H]);
  // Columns: first the normed embedding, then the normed hidden state.
  yield plain(config, `${prefix}eh_proj.weight`, [H, 2 * H]);
  yield* blockTensors(config, layer);
  yield plain(config, `${prefix}shared_head.norm.weight`, [H]);
  yield copy('shared_head.head.weight', config.tieWordEmbeddings ? EMBEDDING : HEAD);
}

function* blockTensors(config: ModelConfig, layer: number): Generator<TensorSpec> {
  const prefix = layerPrefix(layer);
  const norm = (name: string): TensorSpec => plain(config, prefix + name, [config.hiddenSize]);
  yield norm('input_layernorm.weight');
  yield* attentionTensors(config, `${prefix}self_attn.`);
  yield norm('post_attention_layernorm.weight');
  if (isMoeLayer(config, layer)) yield* moeTensors(config, `${prefix}mlp.`);
  else yield* mlpTensors(config, `${prefix}mlp.`, config.intermediateSize);
}

function* attentionTensors(config: ModelConfig, prefix: string): Generator<TensorSpec> {
  const { hiddenSize: H, numAttentionHeads: heads, qLoraRank, kvLoraRank } = config;
  const { qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = config;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  if (qLoraRank === null) {
    yield* linear(config, `${prefix}q_proj.weight`, [query, H]);
  } else {
    yield* linear(config, `${prefix}q_a_proj.weight`, [qLoraRank, H]);
    yield plain(config, `${prefix}q_a_layernorm.weight`, [qLoraRank]);
    yield* linear(config, `${prefix}q_b_proj.weight`, [query, qLoraRank]);
  }
  yield* linear(config, `${prefix}kv_a_proj_with_mqa.weight`, [kvLoraRank + qkRopeHeadDim, H]);
  yield plain(config, `${prefix}kv_a_layernorm.weight`, [kvLoraRank]);
  const keysAndValues = heads * (qkNopeHeadDim + vHeadDim);
  yield* linear(config, `${prefix}kv_b_proj.weight`, [keysAndValues, kvLoraRank]);
  yield* linear(config, `${prefix}o_proj.weight`, [H, heads * vHeadDim]);
}

function* moeTensors(config: ModelConfig, prefix: string): Generator<TensorSpec> {
  const { nRoutedExperts, nSharedExperts, moeIntermediateSize, hiddenSize } = config;
  yield plain(config, `${prefix}gate.weight`, [nRoutedExperts, hiddenSize]);
  if (config.topkMethod === 'noaux_tc') {
    const name = `${prefix}gate.e_score_correction_bias`;
    yield { name, shape: [nRoutedExperts], dtype: 'f32', kind: 'routerBias' };
  }
  for (let expert = 0; expert < nRoutedExperts; expert++) {
    yield* mlpTensors(config, `${prefix}experts.${expert}.`, moeIntermediateSize);
  }
  if (nSharedExperts > 0) {
    yield* mlpTensors(config, `${prefix}shared_experts.`, nSharedExperts * moeIntermediateSize);
  }
}

function* mlpTensors(config: ModelConfig, prefix: string, width: number): Generator<TensorSpec> {
  const { hiddenSize } = config;
  yield* linear(config, `${prefix}gate_proj.weight`, [width, hiddenSize]);
  yield* linear(config, `${prefix}up_proj.weight`, [width, hiddenSize]);
  yield* linear(config, `${prefix}down_proj.weight`, [hiddenSize, width]);
}

/** Kept in the model's own dtype: embedding, head, norms, gates, eh_proj (report 3.3.1). */
function plain(config: ModelConfig, name: string, shape: readonly number[]): TensorSpec {
  return { name, shape, dtype: STORED[config.torchDtype], kind: 'weight' };
}

/** A linear layer: FP8 with scales where the config says so. */
function* linear(
  config: ModelConfig,
  name: string,
  shape: readonly [rows: number, columns: number],
): Generator<TensorSpec> {
  const block = config.fp8WeightBlock;
  if (block === null) {
    yield plain(config, name, shape);
    return;
  }
  const [rows, columns] = shape;
  const [blockRows, blockColumns] = block;
  yield { name, shape, dtype: 'f8e4m3', kind: 'weight' };
  const grid = blockGrid({ rows, columns, blockRows, blockColumns });
  yield { name: name + SCALE_SUFFIX, shape: grid, dtype: 'f32', kind: 'scale', of: name };
}
