/**
 * From the published `config.json` to a `ModelConfig`: every key is read, or is on the list of keys
 * that are known and ignored, or must have the one value this software computes, or is refused by
 * name. A value that would quietly change the numbers never passes.
 *
 * Reads deepseek_v3, deepseek_v2 and kimi_k2 (V3's architecture under its maker's name), in the
 * style of the published files and of newer Transformers (`rope_parameters`, `dtype`).
 */
import { z } from 'zod';
import { MoebiusError } from '../base/errors.ts';
import {
  missingKeys,
  nestedConfigHint,
  type RawConfig,
  readConfigKeys,
  refuseUnknownKeys,
  requireConfigObject,
} from './configKeys.ts';
import type { ModelConfig } from './modelConfig.ts';
import { parseFp8, parseRope } from './parseNested.ts';
import { validateModelConfig } from './validateModelConfig.ts';

const count = z.int().nonnegative();
const optionalCount = count.nullish();
const flag = z.boolean();

/** Keys that are read. Relations between them are the business of `validateModelConfig`. */
const FILE = z.object({
  model_type: z.string(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  moe_intermediate_size: optionalCount,
  num_hidden_layers: count,
  num_nextn_predict_layers: optionalCount,
  first_k_dense_replace: optionalCount,
  moe_layer_freq: optionalCount,
  num_attention_heads: count,
  q_lora_rank: count.nullable(),
  kv_lora_rank: count,
  qk_nope_head_dim: count,
  qk_rope_head_dim: count,
  v_head_dim: count,
  n_routed_experts: optionalCount,
  n_shared_experts: optionalCount,
  num_experts_per_tok: optionalCount,
  n_group: optionalCount,
  topk_group: optionalCount,
  topk_method: z.enum(['noaux_tc', 'group_limited_greedy', 'greedy']).nullish(),
  scoring_func: z.enum(['sigmoid', 'softmax']).nullish(),
  norm_topk_prob: flag.nullish(),
  routed_scaling_factor: z.number().nullish(),
  rms_norm_eps: z.number(),
  rope_theta: z.number().nullish(),
  rope_scaling: z.unknown().optional(),
  rope_parameters: z.unknown().optional(),
  max_position_embeddings: count,
  tie_word_embeddings: flag.nullish(),
  bos_token_id: count.nullish(),
  eos_token_id: z.union([count, z.array(count)]).nullish(),
  initializer_range: z.number().nullish(),
  torch_dtype: z.string().nullish(),
  dtype: z.string().nullish(),
  quantization_config: z.unknown().optional(),
});

type File = z.infer<typeof FILE>;

const MODEL_TYPES: Readonly<Record<string, ModelConfig['modelType']>> = {
  deepseek_v3: 'deepseek_v3',
  deepseek_v2: 'deepseek_v2',
  kimi_k2: 'deepseek_v3',
};

/** Without these a mixture of experts has no defined numbers: files and libraries differ. */
const NEEDED_WITH_EXPERTS = [
  'moe_intermediate_size',
  'num_experts_per_tok',
  'first_k_dense_replace',
  'norm_topk_prob',
  'routed_scaling_factor',
] as const;

/** Keys that must have one value, or follow from others, because nothing else is computed here. */
const FIXED: Readonly<Record<string, (file: File) => unknown>> = {
  hidden_act: () => 'silu',
  attention_bias: () => false,
  mlp_bias: () => false,
  attention_dropout: () => 0,
  hidden_dropout: () => 0,
  rope_interleave: () => true,
  num_key_value_heads: (file) => file.num_attention_heads,
  qk_head_dim: (file) => file.qk_nope_head_dim + file.qk_rope_head_dim,
  is_encoder_decoder: () => false,
  add_cross_attention: () => false,
  sliding_window: () => null,
  partial_rotary_factor: () => 1,
};

/**
 * @param json the parsed file
 * @param source its name, for messages
 * @throws config.modelType, config.unknownKey, config.missingKey, config.type, config.unsupported,
 *   config.invalid
 */
export function parseModelConfig(json: unknown, source: string): ModelConfig {
  const hint = 'Point to the config.json of a DeepSeek-V3-architecture model.';
  const raw = requireConfigObject(json, source, hint);
  const modelType = parseModelType(raw, source);
  const known = [...Object.keys(FILE.shape), ...Object.keys(FIXED)];
  refuseUnknownKeys(raw, { source, known, effect: 'it may change what the model computes' });
  const file = readConfigKeys(FILE, raw, source);
  refuseUnsupported(raw, file, source);
  const numRoutedExperts = file.n_routed_experts ?? 0;
  if (numRoutedExperts > 0) refuseMissing(file, NEEDED_WITH_EXPERTS, source);
  const topkMethod = file.topk_method ?? (modelType === 'deepseek_v3' ? 'noaux_tc' : 'greedy');
  // Files without groups write null or 1; an absent key could mean either of two defaults.
  if (numRoutedExperts > 0 && topkMethod !== 'greedy') {
    refuseAbsent(raw, ['n_group', 'topk_group'], source);
  }
  const config: ModelConfig = {
    modelType,
    vocabSize: file.vocab_size,
    hiddenSize: file.hidden_size,
    intermediateSize: file.intermediate_size,
    moeIntermediateSize: file.moe_intermediate_size ?? 0,
    numHiddenLayers: file.num_hidden_layers,
    numNextnPredictLayers: file.num_nextn_predict_layers ?? 0,
    firstKDenseReplace: file.first_k_dense_replace ?? 0,
    moeLayerFreq: file.moe_layer_freq ?? 1,
    numAttentionHeads: file.num_attention_heads,
    qLoraRank: file.q_lora_rank,
    kvLoraRank: file.kv_lora_rank,
    qkNopeHeadDim: file.qk_nope_head_dim,
    qkRopeHeadDim: file.qk_rope_head_dim,
    vHeadDim: file.v_head_dim,
    nRoutedExperts: numRoutedExperts,
    nSharedExperts: file.n_shared_experts ?? 0,
    numExpertsPerTok: file.num_experts_per_tok ?? 0,
    nGroup: file.n_group ?? 1,
    topkGroup: file.topk_group ?? 1,
    topkMethod,
    scoringFunc: file.scoring_func ?? (modelType === 'deepseek_v3' ? 'sigmoid' : 'softmax'),
    normTopkProb: file.norm_topk_prob ?? false,
    routedScalingFactor: file.routed_scaling_factor ?? 1,
    rmsNormEps: file.rms_norm_eps,
    ...parseRope(file, source),
    maxPositionEmbeddings: file.max_position_embeddings,
    tieWordEmbeddings: file.tie_word_embeddings ?? false,
    bosTokenId: file.bos_token_id ?? null,
    eosTokenId: file.eos_token_id ?? null,
    initializerRange: file.initializer_range ?? 0.02,
    torchDtype: parseDtype(file, source),
    ...parseFp8(file.quantization_config, source),
  };
  validateModelConfig(config, source);
  return config;
}

function parseModelType(raw: RawConfig, source: string): ModelConfig['modelType'] {
  const name = raw.model_type;
  const known = Object.keys(MODEL_TYPES);
  if (typeof name === 'string' && Object.hasOwn(MODEL_TYPES, name)) {
    return MODEL_TYPES[name] ?? 'deepseek_v3';
  }
  throw new MoebiusError(
    'config.modelType',
    `${source}: model_type ${JSON.stringify(name)} is not an architecture this software computes`,
    {
      values: { model_type: name, known },
      hint: `Use ${known.join(', ')}; a V3 by another name is deepseek_v3.${nestedConfigHint(raw)}`,
    },
  );
}

function refuseUnsupported(raw: RawConfig, file: File, source: string): void {
  for (const [key, expected] of Object.entries(FIXED)) {
    const value = raw[key];
    const needed = expected(file);
    if (value === undefined || value === null || value === needed) continue;
    throw new MoebiusError(
      'config.unsupported',
      `${source}: ${key} is ${JSON.stringify(value)}; only ${JSON.stringify(needed)} is computed`,
      {
        values: { key, value, supported: needed },
        hint: `Use a model whose ${key} is ${JSON.stringify(needed)}.`,
      },
    );
  }
}

function parseDtype(file: File, source: string): ModelConfig['torchDtype'] {
  const { dtype, torch_dtype: torchDtype } = file;
  const name = (dtype ?? torchDtype ?? 'bfloat16').replace(/^torch\./, '');
  const isKnown = name === 'float32' || name === 'bfloat16' || name === 'float16';
  const agree = dtype == null || torchDtype == null || dtype === torchDtype;
  if (isKnown && agree) return name;
  throw new MoebiusError(
    'config.unsupported',
    `${source}: dtype ${JSON.stringify(dtype ?? torchDtype)} is not one weights are stored in here`,
    {
      values: { dtype, torch_dtype: torchDtype },
      hint: 'Set dtype (or torch_dtype, not both) to float32, bfloat16 or float16.',
    },
  );
}

function refuseMissing(file: File, keys: readonly (keyof File)[], source: string): void {
  const missing = keys.filter((key) => file[key] === undefined || file[key] === null);
  if (missing.length > 0) throw missingKeys(missing, source);
}

function refuseAbsent(raw: RawConfig, keys: readonly string[], source: string): void {
  const missing = keys.filter((key) => raw[key] === undefined);
  if (missing.length > 0) throw missingKeys(missing, source);
}
