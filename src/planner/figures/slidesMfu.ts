/** Group 1, second article, continued: MFU and FLOPs that the slides work out by hand (SEED1). */
import { type ModuleFlops, moduleFlops, ruleOfThumbFlops } from '../../config/flops.ts';
import { flopsPerToken } from '../../config/modelCounts.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { utilizationOfRun } from '../../config/runCost.ts';
import { chips, llama405b, v3Report } from './facts.ts';
import { type Figure, numbers, type Quantity } from './figure.ts';

const group = 1;
const source = 'SEED1';

/** As the slides round them. */
const slideRows = {
  deepseek: { parameters: 37e9, tokens: 14.8e12, gpuHours: 2.8e6 },
  llama: { parameters: llama405b.parameters, tokens: llama405b.tokens, gpuHours: 30.8e6 },
} as const;

function peakRow(row: (typeof slideRows)[keyof typeof slideRows]): {
  readonly peak: number;
  readonly flops: (flopsPerParameter: 6 | 8) => number;
  readonly share: (flopsPerParameter: 6 | 8) => number;
} {
  const peak = chips.h100.bf16Flops * 3600 * row.gpuHours;
  const flops = (flopsPerParameter: 6 | 8): number =>
    ruleOfThumbFlops({ flopsPerParameter, ...row });
  return {
    peak,
    flops,
    share: (rule) => 100 * utilizationOfRun({ flops: flops(rule), peakFlops: 989e12, ...row }),
  };
}

const deepseek = peakRow(slideRows.deepseek);
const llama = peakRow(slideRows.llama);

/** FLOPs of the whole pre-training over what its GPU-hours could have done, percent. */
function shareOfPreTraining(flopsOfToken: number): number {
  return (
    100 *
    utilizationOfRun({
      flops: flopsOfToken * v3Report.tokens,
      gpuHours: v3Report.preTrainingGpuHours,
      peakFlops: chips.h100.bf16FlopsUnrounded,
    })
  );
}

const shape = { sequenceLength: v3Report.sequenceLength, causal: true };
const modules: ModuleFlops = moduleFlops(deepseekV3, shape);
const training = { context: v3Report.sequenceLength, causal: true, mtp: false, training: true };
const moduleShare = shareOfPreTraining(flopsPerToken(deepseekV3, training));
const attentionFlops = 3 * (modules.scores + modules.values);
const withAttention = (flopsPerParameter: 6 | 8): number =>
  shareOfPreTraining(flopsPerParameter * slideRows.deepseek.parameters + attentionFlops);

export const slidesMfu: readonly Figure[] = [
  {
    id: 'seed1.peak-hours',
    group,
    source,
    claim: 'what the GPUs could have done: 989 TF in 2.8M GPU-h',
    formula: '989e12 · 3600 · 2.8e6',
    basis: numbers({ said: '9.96912', unit: 'e24 FLOP', ours: deepseek.peak / 1e24 }),
  },
  {
    id: 'seed1.deepseek-6nd',
    group,
    source,
    claim: 'V3 by 6ND',
    formula: '6 · 37e9 · 14.8e12, over the peak of 2.8M GPU-h',
    basis: numbers(
      { name: 'FLOPs', said: '3.2856', unit: 'e24', ours: deepseek.flops(6) / 1e24 },
      { name: 'MFU', said: '32.96', unit: '%', ours: deepseek.share(6) },
    ),
  },
  {
    id: 'seed1.deepseek-8nd',
    group,
    source,
    claim: 'V3 by 8ND',
    formula: '8 · 37e9 · 14.8e12, over the peak of 2.8M GPU-h',
    basis: numbers(
      { name: 'FLOPs', said: '4.3808', unit: 'e24', ours: deepseek.flops(8) / 1e24 },
      { name: 'MFU', said: '43.94', unit: '%', ours: deepseek.share(8) },
    ),
  },
  {
    id: 'seed1.llama-nd',
    group,
    source,
    claim: 'Llama-3.1-405B by 6ND and 8ND',
    formula: '6 and 8 · 405e9 · 15.6e12, over 989e12 · 3600 · 30.8e6',
    basis: numbers(
      { name: 'peak', said: '1.0966', unit: 'e26 FLOP', ours: llama.peak / 1e26 },
      { name: '6ND', said: '3.7908', unit: 'e25', ours: llama.flops(6) / 1e25 },
      { name: 'MFU', said: '34.57', unit: '%', ours: llama.share(6) },
      { name: '8ND', said: '5.0544', unit: 'e25', ours: llama.flops(8) / 1e25 },
      { name: 'MFU', said: '46.09', unit: '%', ours: llama.share(8) },
    ),
  },
  {
    id: 'seed1.module-mfu',
    group,
    source,
    claim: 'MFU module by module',
    formula: '249.81 GFLOP · 14.8e12 / (2.664M h · 989.5 TF)',
    basis: numbers({
      said: '37.2',
      unit: '%',
      ours: moduleShare,
      slip: { name: 'divided by 1.024 twice', value: moduleShare / 1.024 ** 2 },
    }),
  },
  {
    id: 'seed1.attention-mfu',
    group,
    source,
    claim: 'MFU by 6ND and 8ND with attention',
    formula: '(6 and 8 · 37e9 + 3 · attention) · 14.8e12 / (2.664M h · 989.5 TF)',
    basis: numbers(
      { name: '6ND', said: '34', unit: '%', ours: withAttention(6) },
      { name: '8ND', said: '43', unit: '%', ours: withAttention(8) },
    ),
    note: '34.6 and 46.2 % without attention',
  },
  {
    id: 'seed1.flop-formulas',
    group,
    source,
    claim: 'forward FLOPs by module, S = 4,096, its formulae, in G per token',
    formula: 'our modules, attention over all of S',
    basis: numbers(...slideModules()),
    note: 'the slides count SwiGLU’s product (1 per number) and 2·S·d of embedding; we do not',
  },
];

/** The slides' formulae, per token, evaluated as they stand; ours beside them. */
function slideModules(): Quantity[] {
  const [S, d, ql, kl] = [4096, 7168, 1536, 512];
  const [H, nope, rope, v] = [128, 128, 64, 128];
  const { scores, values, ...rest } = moduleFlops(deepseekV3, { ...shape, causal: false });
  const theirs = {
    query: 61 * (2 * d * ql + 2 * ql * H * (nope + rope)),
    'KV down': 61 * 2 * d * (kl + rope),
    'KV up': 61 * 2 * kl * H * (nope + v),
    scores: 61 * 2 * S * H * (nope + rope),
    AV: 61 * 2 * S * H * v,
    output: 61 * 2 * H * v * d,
    MoE: 58 * 9 * (6 * d * 2048 + 2048),
    MLP: 3 * (6 * d * 18_432 + 18_432),
    head: 2 * d * 129_280,
  };
  const ours = {
    query: rest.queryDown + rest.queryUp,
    'KV down': rest.kvDown,
    'KV up': rest.kvUp,
    scores,
    AV: values,
    output: rest.output,
    MoE: rest.routedExperts + rest.sharedExperts,
    MLP: rest.denseMlp,
    head: rest.head,
  };
  return Object.entries(theirs).map(([name, flops]) => ({
    name,
    said: (flops / 1e9).toFixed(2),
    unit: 'G',
    ours: ours[name as keyof typeof ours] / 1e9,
  }));
}
