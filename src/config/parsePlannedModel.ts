/**
 * From a published `config.json` to a model that the planner can price: V3's architecture through
 * `parseModelConfig`, and grouped-query models (Llama, Qwen, Mixtral) here. The same policy: every
 * key is read, or known to have no bearing on cost, or must have its one value, or is refused.
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
import type { GqaModelConfig, PlannedModel } from './gqaModelConfig.ts';
import { parseModelConfig } from './parseModelConfig.ts';
import { validateGqaModel } from './validateGqaModel.ts';

const count = z.int().positive();
const optionalCount = count.nullish();

/** Keys that are read. */
const FILE = z.object({
  model_type: z.string(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: optionalCount,
  head_dim: optionalCount,
  max_position_embeddings: count,
  tie_word_embeddings: z.boolean().nullish(),
  /** Mixtral's name and Qwen's for the number of experts. */
  num_local_experts: optionalCount,
  num_experts: optionalCount,
  num_experts_per_tok: optionalCount,
  moe_intermediate_size: optionalCount,
});

type File = z.infer<typeof FILE>;

/** Which keys an architecture's experts need; null: it has none. */
const MODEL_TYPES: Readonly<Record<string, readonly (keyof File)[] | null>> = {
  llama: null,
  qwen2: null,
  qwen3: null,
  qwen3_moe: ['num_experts', 'num_experts_per_tok', 'moe_intermediate_size'],
  mixtral: ['num_local_experts', 'num_experts_per_tok'],
};

/** Architectures with a norm on every query and key; their files do not say so. */
const QK_NORM_TYPES: readonly string[] = ['qwen3', 'qwen3_moe'];

const V3_TYPES: readonly string[] = ['deepseek_v3', 'deepseek_v2', 'kimi_k2'];

/** They change what a model computes, or how it is stored, but not what a step of it costs. */
const NO_BEARING: ReadonlySet<string> = new Set([
  'rms_norm_eps',
  'rope_theta',
  'rope_scaling',
  'rope_parameters',
  'initializer_range',
  'torch_dtype',
  'dtype',
  'bos_token_id',
  'eos_token_id',
  'norm_topk_prob',
  'router_jitter_noise',
  'max_window_layers',
  'quantization_config',
  // Vectors beside matrices: under a thousandth of a layer.
  'attention_bias',
  'mlp_bias',
]);

const isEmpty = (value: unknown): boolean =>
  value === null || (Array.isArray(value) && value.length === 0);

/** Keys that must have one value, because nothing else is priced here. */
const FIXED: Readonly<
  Record<string, { is: (value: unknown, raw: RawConfig) => boolean; hint: string }>
> = {
  hidden_act: { is: (value) => value === 'silu', hint: 'Only gated MLPs with silu are priced.' },
  attention_dropout: { is: (value) => value === 0, hint: 'Set it to 0.' },
  sliding_window: {
    is: (value, raw) => value === null || raw.use_sliding_window === false,
    hint: 'Set use_sliding_window to false: only full attention is priced.',
  },
  use_sliding_window: { is: (value) => value === false, hint: 'Set it to false.' },
  layer_types: {
    is: (value) => Array.isArray(value) && value.every((each) => each === 'full_attention'),
    hint: 'Only full attention is priced.',
  },
  decoder_sparse_step: {
    is: (value) => value === 1,
    hint: 'Only models with experts in every layer are priced.',
  },
  mlp_only_layers: { is: isEmpty, hint: 'Only models with experts in every layer are priced.' },
  partial_rotary_factor: { is: (value) => value === 1, hint: 'Set it to 1.' },
};

/**
 * @param json the parsed file
 * @param source its name, for messages
 * @throws config.modelType, config.unknownKey, config.missingKey, config.type, config.unsupported,
 *   config.invalid
 */
export function parsePlannedModel(json: unknown, source: string): PlannedModel {
  const raw = requireConfigObject(json, source, 'Point to the config.json of the model.');
  const name = raw.model_type;
  if (typeof name === 'string' && V3_TYPES.includes(name)) return parseModelConfig(json, source);
  const expertKeys =
    typeof name === 'string' && Object.hasOwn(MODEL_TYPES, name) ? MODEL_TYPES[name] : undefined;
  if (expertKeys === undefined) throw unknownType(raw, source);
  return parseGqa(raw, expertKeys ?? [], source);
}

function parseGqa(
  raw: RawConfig,
  expertKeys: readonly (keyof File)[],
  source: string,
): GqaModelConfig {
  const known = [...Object.keys(FILE.shape), ...Object.keys(FIXED), ...NO_BEARING];
  refuseUnknownKeys(raw, { source, known, effect: 'it may change what a step costs' });
  const file = readConfigKeys(FILE, raw, source);
  refuseUnsupported(raw, source);
  const missing = expertKeys.filter((key) => file[key] === undefined || file[key] === null);
  if (missing.length > 0) throw missingKeys(missing, source);
  const hasExperts = expertKeys.length > 0;
  const experts = hasExperts ? (file.num_local_experts ?? file.num_experts ?? 0) : 0;
  const model: GqaModelConfig = {
    modelType: 'gqa',
    vocabSize: file.vocab_size,
    hiddenSize: file.hidden_size,
    intermediateSize: file.intermediate_size,
    numHiddenLayers: file.num_hidden_layers,
    numAttentionHeads: file.num_attention_heads,
    numKeyValueHeads: file.num_key_value_heads ?? file.num_attention_heads,
    headDim: file.head_dim ?? file.hidden_size / file.num_attention_heads,
    nRoutedExperts: experts,
    nSharedExperts: 0,
    numExpertsPerTok: hasExperts ? (file.num_experts_per_tok ?? 0) : 0,
    moeIntermediateSize: hasExperts ? (file.moe_intermediate_size ?? file.intermediate_size) : 0,
    firstKDenseReplace: 0,
    tieWordEmbeddings: file.tie_word_embeddings ?? false,
    maxPositionEmbeddings: file.max_position_embeddings,
    ...(QK_NORM_TYPES.includes(raw.model_type as string) ? { qkNorm: true } : {}),
  };
  validateGqaModel(model, source);
  return model;
}

function unknownType(raw: RawConfig, source: string): MoebiusError {
  const known = [...V3_TYPES, ...Object.keys(MODEL_TYPES)];
  return new MoebiusError(
    'config.modelType',
    `${source}: model_type ${JSON.stringify(raw.model_type)} is no architecture priced here`,
    {
      values: { model_type: raw.model_type, known },
      hint: `Use ${known.join(', ')}.${nestedConfigHint(raw)}`,
    },
  );
}

function refuseUnsupported(raw: RawConfig, source: string): void {
  for (const [key, { is, hint }] of Object.entries(FIXED)) {
    const value = raw[key];
    if (value === undefined || is(value, raw)) continue;
    throw new MoebiusError(
      'config.unsupported',
      `${source}: ${key} is ${JSON.stringify(value)}, which is not priced here`,
      { values: { key, value }, hint },
    );
  }
}
