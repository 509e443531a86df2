/** The nested objects of a `config.json`: RoPE with YaRN, in both styles, and FP8 quantisation. */
import { z } from 'zod';
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { ModelConfig, YarnScaling } from './modelConfig.ts';

/** `type` is the older name of `rope_type`; newer files keep the base beside the rest. */
const ROPE = z.object({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: z.number().nullish(),
  factor: z.number().nullish(),
  original_max_position_embeddings: z.int().nullish(),
  beta_fast: z.number().nullish(),
  beta_slow: z.number().nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  /** Known to Transformers, not computed here: an override of YaRN's attention factor. */
  attention_factor: z.null().optional(),
  truncate: z.literal(true).nullish(),
  partial_rotary_factor: z.literal(1).nullish(),
});

const FP8 = z.object({
  quant_method: z.literal('fp8'),
  fmt: z.literal('e4m3').nullish(),
  activation_scheme: z.literal('dynamic').nullish(),
  weight_block_size: z.tuple([z.int().positive(), z.int().positive()]),
  scale_fmt: z.enum(['ue8m0', 'float', 'float32']).nullish(),
  /** Which tensors are FP8 is read from the files themselves. */
  modules_to_not_convert: z.array(z.string()).nullish(),
  ignored_layers: z.array(z.string()).nullish(),
});

interface RopeKeys {
  readonly rope_theta?: number | null | undefined;
  readonly rope_scaling?: unknown;
  readonly rope_parameters?: unknown;
}

type Rope = Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'>;

/** Old style: `rope_theta` and `rope_scaling`. New style: `rope_parameters`. Both must agree. */
export function parseRope(file: RopeKeys, source: string): Rope {
  const old = parseRopeObject(file.rope_scaling, 'rope_scaling', source);
  const recent = parseRopeObject(file.rope_parameters, 'rope_parameters', source);
  const bases = [file.rope_theta, old.theta, recent.theta].filter((theta) => theta != null);
  const ropeTheta = bases[0];
  if (ropeTheta === undefined) {
    throw new MoebiusError('config.missingKey', `${source}: missing rope_theta`, {
      values: { keys: ['rope_theta'] },
      hint: 'Give the base of the rotary frequencies; no default is safe.',
    });
  }
  const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
  const bothGiven = isGiven(file.rope_scaling) && isGiven(file.rope_parameters);
  const scalingsAgree =
    !bothGiven || JSON.stringify(old.scaling) === JSON.stringify(recent.scaling);
  if (!scalingsAgree || bases.some((theta) => theta !== ropeTheta)) {
    throw new MoebiusError(
      'config.invalid',
      `${source}: rope_theta, rope_scaling and rope_parameters disagree`,
      {
        values: { ...file },
        hint: 'Keep rope_parameters alone, or rope_theta with rope_scaling.',
      },
    );
  }
  return { ropeTheta, ropeScaling: old.scaling ?? recent.scaling };
}

function parseRopeObject(
  raw: unknown,
  key: string,
  source: string,
): { theta: number | null | undefined; scaling: YarnScaling | null } {
  if (raw === undefined || raw === null) return { theta: undefined, scaling: null };
  const rope = parseObject(ROPE, raw, key, source);
  const type = rope.rope_type ?? rope.type ?? 'default';
  const isOneType = rope.rope_type == null || rope.type == null || rope.rope_type === rope.type;
  if (!isOneType || (type !== 'yarn' && type !== 'default')) {
    throw new MoebiusError(
      'config.unsupported',
      `${source}: ${key} of type ${JSON.stringify(type)} is not computed`,
      { values: { [key]: raw }, hint: 'Use yarn, default, or null.' },
    );
  }
  if (type === 'default') return { theta: rope.rope_theta, scaling: null };
  const { factor, original_max_position_embeddings: original } = rope;
  if (factor == null || original == null) {
    throw new MoebiusError(
      'config.missingKey',
      `${source}: ${key} of type yarn needs factor and original_max_position_embeddings`,
      { values: { [key]: raw }, hint: 'Take both from the published config.json.' },
    );
  }
  const scaling: YarnScaling = {
    type: 'yarn',
    factor,
    originalMaxPositionEmbeddings: original,
    betaFast: rope.beta_fast ?? 32,
    betaSlow: rope.beta_slow ?? 1,
    // These two defaults give the softmax scale that the published modelling code gives.
    mscale: rope.mscale ?? 1,
    mscaleAllDim: rope.mscale_all_dim ?? 0,
  };
  return { theta: rope.rope_theta, scaling };
}

type Fp8 = Pick<ModelConfig, 'fp8WeightBlock' | 'fp8ScaleFormat'>;

export function parseFp8(raw: unknown, source: string): Fp8 {
  if (raw === undefined || raw === null) return { fp8WeightBlock: null };
  const method = (raw as { quant_method?: unknown }).quant_method;
  if (method !== 'fp8') {
    throw new MoebiusError(
      'config.unsupported',
      `${source}: quantization_config.quant_method ${JSON.stringify(method)} cannot be read`,
      {
        values: { quant_method: method },
        hint: 'Use an FP8 checkpoint with 128×128 block scales, or BF16, F16 or F32 weights.',
      },
    );
  }
  const fp8 = parseObject(FP8, raw, 'quantization_config', source);
  return {
    fp8WeightBlock: fp8.weight_block_size,
    ...(fp8.scale_fmt === 'ue8m0' ? { fp8ScaleFormat: 'ue8m0' as const } : {}),
  };
}

/** One level of strict parsing: unknown keys are refused by name, the first bad value is shown. */
function parseObject<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  raw: unknown,
  key: string,
  source: string,
): z.infer<z.ZodObject<Shape>> {
  const known = Object.keys(schema.shape);
  if (typeof raw === 'object' && raw !== null) {
    const unknown = Object.keys(raw).find((name) => !known.includes(name));
    if (unknown !== undefined) {
      const near = nearestName(unknown, known);
      throw new MoebiusError('config.unknownKey', `${source}: unknown key ${key}.${unknown}`, {
        values: { key: `${key}.${unknown}`, nearest: near },
        hint: near === undefined ? `Remove ${key}.${unknown}.` : `Did you mean ${near}?`,
      });
    }
  }
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = [key, ...(issue?.path ?? [])].join('.');
  throw new MoebiusError('config.unsupported', `${source}: ${path}: ${issue?.message}`, {
    values: { [key]: raw },
    hint: `Correct ${path}.`,
  });
}
