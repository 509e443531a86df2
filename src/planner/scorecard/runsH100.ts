/** Published runs on H100: dense and with experts, BF16 and FP8. */
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import {
  llama31_70b,
  llama31_405b,
  mixtral_8x7b,
  mixtral_8x22b,
  qwen3_235b_a22b,
} from '../../config/presets/dense.ts';
import { megatron, megatronAllToAll, nemo, underPasses } from './engines.ts';
import { gpt175b, nemotron4_15b, nemotron4_340b } from './models.ts';
import type { PublishedRow } from './publishedRun.ts';

const NEMO = 'NVIDIA dgxc-benchmarking, 24.11 README of';
const BRIDGE = 'NVIDIA-NeMo/Megatron-Bridge, docs/performance-summary-archive.md';

const perTensor = 'FP8 with one scale per tensor: fewer casts than V3’s fine-grained recipe';
const tpOverlap = 'tensor-parallel communication overlapped with the products it feeds';
const twoMatrices = 'an MLP of two matrices, described as a gated one of equal weights';

/** Weak scaling: 16 micro-batches at every size. */
const nemotron340b = {
  model: ['nemotron-4-340b', nemotron4_340b],
  engine: nemo,
  chunks: 12,
  microBatch: 1,
  sequence: 4096,
  flopCount: 'gpt',
  source: `${NEMO} nemotron4-340b`,
  notes: [twoMatrices, tpOverlap],
  assumed: ['recomputation: none', 'ZeRO stage 1 (distributed optimizer)'],
} as const satisfies Partial<PublishedRow>;

const nemotron15b = {
  model: ['nemotron-4-15b', nemotron4_15b],
  engine: nemo,
  microBatch: 4,
  sequence: 4096,
  flopCount: 'gpt',
  source: `${NEMO} nemotron4-15b`,
  notes: [twoMatrices, tpOverlap],
  assumed: ['recomputation: none', 'ZeRO stage 1 (distributed optimizer)'],
} as const satisfies Partial<PublishedRow>;

const gpt3 = {
  model: ['gpt3-175b', gpt175b],
  engine: nemo,
  chunks: 12,
  microBatch: 1,
  sequence: 2048,
  flopCount: 'gpt',
  source: `${NEMO} gpt3-175b`,
  notes: [twoMatrices, tpOverlap],
  assumed: ['recomputation: none', 'ZeRO stage 1 (distributed optimizer)'],
} as const satisfies Partial<PublishedRow>;

/**
 * Llama 3 report (arXiv 2407.21783), table 4. It gives TFLOP/s and not how they are counted: six
 * per parameter and causal attention differ by 4 %, and the whole attention matrix by 4 % more.
 */
const llama405b = {
  model: ['llama-3.1-405b', llama31_405b],
  engine: underPasses,
  microBatch: 1,
  sequence: 8192,
  precision: 'bf16',
  chunks: 8,
  flopCount: 'causal',
  uncertainty: 0.045,
  source: 'Llama 3 report (arXiv 2407.21783), table 4',
  notes: [
    'weights stay gathered between forward and backward, and gradients are added up over ' +
      'micro-batches before they are scattered (3.3.2): what travels is that of ZeRO stage 1',
    'first and last pipeline rank have one layer less',
    'the 1:7 between pods of 3,072 GPUs is not described',
  ],
  assumed: ['one layer per virtual stage', 'micro-batches of one sequence', 'recomputation: none'],
} as const satisfies Partial<PublishedRow>;

const bf16 = { precision: 'bf16' } as const;
const fp8 = { precision: 'fp8' } as const;

export const h100Rows: readonly PublishedRow[] = [
  {
    ...nemotron340b,
    ...bf16,
    name: 'nemotron-4-340b bf16 h100x128',
    cluster: 'h100x128',
    layout: 'tp8,pp8,zero1',
    globalBatch: 32,
    published: { stepSeconds: 4.61, mfu: 0.5538, peakTeraflops: 989 },
  },
  {
    ...nemotron340b,
    ...bf16,
    name: 'nemotron-4-340b bf16 h100x2048',
    cluster: 'h100x2048',
    layout: 'tp8,pp8,zero1',
    globalBatch: 512,
    published: { stepSeconds: 4.84, mfu: 0.5275, peakTeraflops: 989 },
  },
  {
    ...nemotron340b,
    ...fp8,
    name: 'nemotron-4-340b fp8 h100x128',
    cluster: 'h100x128',
    layout: 'tp8,pp8,zero1',
    globalBatch: 32,
    published: { stepSeconds: 3.16, mfu: 0.4038, peakTeraflops: 1979 },
    notes: [...nemotron340b.notes, perTensor],
  },
  {
    ...nemotron15b,
    ...bf16,
    name: 'nemotron-4-15b bf16 h100x16',
    cluster: 'h100x16',
    layout: 'tp4,zero1',
    globalBatch: 64,
    published: { stepSeconds: 2.83, mfu: 0.621, peakTeraflops: 989 },
  },
  {
    ...nemotron15b,
    ...bf16,
    name: 'nemotron-4-15b bf16 h100x2048',
    cluster: 'h100x2048',
    layout: 'tp4,zero1',
    globalBatch: 8192,
    published: { stepSeconds: 2.96, mfu: 0.5937, peakTeraflops: 989 },
  },
  {
    ...gpt3,
    ...bf16,
    name: 'gpt3-175b bf16 h100x128',
    cluster: 'h100x128',
    layout: 'tp4,pp8,zero1',
    globalBatch: 256,
    published: { stepSeconds: 8.91, mfu: 0.4993, peakTeraflops: 989 },
  },
  {
    ...gpt3,
    ...bf16,
    name: 'gpt3-175b bf16 h100x2048',
    cluster: 'h100x2048',
    layout: 'tp4,pp8,zero1',
    globalBatch: 4096,
    published: { stepSeconds: 9.02, mfu: 0.4932, peakTeraflops: 989 },
  },
  {
    ...gpt3,
    ...fp8,
    name: 'gpt3-175b fp8 h100x128',
    cluster: 'h100x128',
    layout: 'tp4,pp8,zero1',
    globalBatch: 256,
    published: { stepSeconds: 5.92, mfu: 0.3756, peakTeraflops: 1979 },
    notes: [...gpt3.notes, perTensor],
  },
  {
    ...llama405b,
    name: 'llama-3.1-405b bf16 h100x8192',
    cluster: 'h100-rocex8192',
    layout: 'tp8,pp16,zero1',
    globalBatch: 2048,
    published: { teraflopsPerGpu: 430, mfu: 0.43, peakTeraflops: 989 },
  },
  {
    ...llama405b,
    name: 'llama-3.1-405b bf16 h100x16384',
    cluster: 'h100x16384',
    layout: 'tp8,pp16,zero1',
    globalBatch: 2048,
    published: { teraflopsPerGpu: 400, mfu: 0.41, peakTeraflops: 989 },
  },
  {
    ...fp8,
    name: 'llama-3-70b fp8 h100x64',
    engine: nemo,
    model: ['llama-3.1-70b', llama31_70b],
    cluster: 'h100x64',
    layout: 'tp4,pp8,zero1',
    chunks: 5,
    globalBatch: 256,
    microBatch: 1,
    sequence: 8192,
    published: { tokensPerSecondPerGpu: 1621, teraflopsPerGpu: 728 },
    flopCount: 'causal',
    source: `${BRIDGE}, 26.02`,
    notes: [perTensor, tpOverlap],
    assumed: ['ZeRO stage 1 (distributed optimizer)'],
  },
  {
    ...bf16,
    name: 'mixtral-8x7b bf16 h100x64',
    engine: megatronAllToAll,
    isBalanced: true,
    model: ['mixtral-8x7b', mixtral_8x7b],
    cluster: 'h100x64',
    layout: 'pp4,ep8,zero1',
    chunks: 8,
    globalBatch: 256,
    microBatch: 1,
    sequence: 4096,
    published: { teraflopsPerGpu: 468 },
    flopCount: 'full',
    uncertainty: 0.03,
    source: 'NVIDIA/Megatron-LM, megatron/core/transformer/moe/README.md (v0.9 and v0.8 tables)',
    notes: ['TFLOP/s are of v0.9, the layout is the reference mapping of v0.8 on the same page'],
    assumed: ['recomputation: none', 'tokens spread evenly over experts'],
  },
  {
    ...bf16,
    name: 'mixtral-8x22b bf16 h100x128',
    engine: megatronAllToAll,
    isBalanced: true,
    model: ['mixtral-8x22b', mixtral_8x22b],
    cluster: 'h100x128',
    layout: 'tp2,pp8,ep8,zero1',
    chunks: 7,
    globalBatch: 256,
    microBatch: 1,
    sequence: 4096,
    published: { mfu: 0.493, peakTeraflops: 989, teraflopsPerGpu: 487.6 },
    flopCount: 'full',
    uncertainty: 0.03,
    source: 'MoE Parallel Folding (arXiv 2504.14960), table 1: 49.3 % MFU',
    notes: ['TFLOP/s are 49.3 % of 989', 'experts keep whole matrices while attention is split'],
    assumed: [
      'batch of 256 and seven virtual stages, as in Megatron-Core’s reference mapping',
      'recomputation: none',
      'tokens spread evenly over experts',
    ],
  },
  {
    ...fp8,
    name: 'deepseek-v3 fp8 h100x1024',
    engine: { ...megatron, expertTransfers: 'pipelined', fp8Scaling: 'tiles' },
    isBalanced: true,
    model: ['deepseek-v3', deepseekV3],
    cluster: 'h100x1024',
    layout: 'tp2,pp8,ep64,zero1',
    chunks: 4,
    globalBatch: 8192,
    microBatch: 1,
    sequence: 4096,
    recompute: 'norm',
    mtp: true,
    published: { teraflopsPerGpu: 330 },
    flopCount: 'causal',
    source: `${BRIDGE}, 25.09; scripts/performance/configs/deepseek`,
    notes: [
      'the row of 128 × 128 and 1 × 128 scales, as V3’s own; per-tensor scales reach 338',
      'DeepEP; all-to-all overlapped with the computing of another micro-batch',
      'MLA up-projections and the three dense MLPs are made again; norms are kept',
      'experts are balanced by force',
    ],
    assumed: ['with MTP: TFLOP/s over tokens/s of the per-tensor row is 260.6 GFLOP'],
  },
  {
    ...fp8,
    name: 'qwen3-235b-a22b fp8 h100x256',
    engine: { ...megatronAllToAll, expertTransfers: 'pipelined', fp8Scaling: 'tensor' },
    isBalanced: true,
    model: ['qwen3-235b-a22b', qwen3_235b_a22b],
    cluster: 'h100x256',
    layout: 'tp2,pp8,ep32,zero1',
    chunks: 4,
    globalBatch: 8192,
    microBatch: 1,
    sequence: 4096,
    published: { tokensPerSecondPerGpu: 1633, teraflopsPerGpu: 242 },
    flopCount: 'causal',
    source: `${BRIDGE}, 26.02; scripts/performance/configs/qwen`,
    notes: [
      perTensor,
      'Megatron’s alltoall dispatcher (moe_token_dispatcher_type)',
      'all-to-all overlapped with the computing of another micro-batch',
      'experts are balanced by force',
    ],
    assumed: ['recomputation: none'],
  },
];
