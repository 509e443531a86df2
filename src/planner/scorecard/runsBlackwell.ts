/**
 * Published runs on GB200 and B200, all of Megatron-Bridge's tables. Runs of 256 GPUs use 64 of
 * each rack's 72. FP8 there is MXFP8: scales of 32 elements, applied by the tensor core.
 */

import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import {
  llama31_8b,
  llama31_70b,
  llama31_405b,
  qwen3_30b_a3b,
  qwen3_235b_a22b,
} from '../../config/presets/dense.ts';
import { megatron, megatronAllToAll, nemoMx } from './engines.ts';
import type { PublishedRow } from './publishedRun.ts';

const TABLE = 'NVIDIA-NeMo/Megatron-Bridge, docs/performance-summary-archive.md';

const balanced = 'experts are balanced by force';
const graphs = 'attention and router run from CUDA graphs';
const exposed = 'all-to-all is not overlapped (moe_a2a_overlap is off)';

const mx = { ...megatron, fp8Scaling: 'mx' } as const;

const dense = {
  engine: nemoMx,
  flopCount: 'causal',
  sequence: 8192,
  precision: 'fp8',
  source: `${TABLE}, 26.02`,
  assumed: ['ZeRO stage 1 (distributed optimizer)', 'recomputation: none'],
} as const satisfies Partial<PublishedRow>;

const v3 = {
  engine: mx,
  model: ['deepseek-v3', deepseekV3],
  microBatch: 1,
  globalBatch: 4096,
  sequence: 4096,
  flopCount: 'causal',
  recompute: 'norm',
  isBalanced: true,
  source: `${TABLE}, 26.02; scripts/performance/configs/deepseek`,
  notes: ['MLA up-projections are made again; norms are kept', exposed, balanced],
  assumed: ['ZeRO stage 1 (distributed optimizer)'],
} as const satisfies Partial<PublishedRow>;

export const blackwellRows: readonly PublishedRow[] = [
  {
    ...dense,
    name: 'llama-3-8b fp8 gb200x8',
    model: ['llama-3.1-8b', llama31_8b],
    cluster: 'gb200-nvl64x8',
    layout: 'zero1',
    globalBatch: 128,
    microBatch: 2,
    published: { tokensPerSecondPerGpu: 29_789, teraflopsPerGpu: 1533 },
    source: `${TABLE}, 25.11`,
    notes: ['the whole step runs from one CUDA graph'],
  },
  {
    ...dense,
    name: 'llama-3-70b fp8 gb200x64',
    model: ['llama-3.1-70b', llama31_70b],
    cluster: 'gb200-nvl64x64',
    layout: 'tp2,pp4,zero1',
    chunks: 5,
    globalBatch: 256,
    microBatch: 1,
    published: { tokensPerSecondPerGpu: 3613, teraflopsPerGpu: 1623 },
  },
  {
    ...dense,
    name: 'llama-3.1-405b fp8 gb200x256',
    model: ['llama-3.1-405b', llama31_405b],
    cluster: 'gb200-nvl64x256',
    layout: 'tp4,pp16,zero1',
    chunks: 8,
    globalBatch: 1536,
    microBatch: 1,
    published: { tokensPerSecondPerGpu: 786, teraflopsPerGpu: 1983 },
    notes: ['126 layers, embedding and loss on 128 virtual stages'],
  },
  {
    ...v3,
    name: 'deepseek-v3 bf16 gb200x256',
    cluster: 'gb200-nvl64x256',
    layout: 'pp4,ep64,zero1',
    chunks: 4,
    precision: 'bf16',
    published: { tokensPerSecondPerGpu: 3139, teraflopsPerGpu: 782 },
    source: `${TABLE}, 25.11; scripts/performance/configs/deepseek`,
    notes: [...v3.notes, graphs],
  },
  {
    ...v3,
    name: 'deepseek-v3 fp8 gb200x256',
    cluster: 'gb200-nvl64x256',
    layout: 'pp4,ep64,zero1',
    chunks: 4,
    precision: 'fp8',
    mtp: true,
    published: { tokensPerSecondPerGpu: 3955, teraflopsPerGpu: 1028 },
    notes: [...v3.notes, graphs],
    assumed: [...v3.assumed, 'with MTP: TFLOP/s over tokens/s is 259.9 GFLOP'],
  },
  {
    ...v3,
    name: 'deepseek-v3 fp8 b200x256',
    cluster: 'b200x256',
    layout: 'pp16,ep8,zero1',
    precision: 'fp8',
    mtp: true,
    published: { tokensPerSecondPerGpu: 2689, teraflopsPerGpu: 699 },
    assumed: [...v3.assumed, 'with MTP: TFLOP/s over tokens/s is 260.0 GFLOP'],
  },
  {
    name: 'qwen3-235b-a22b bf16 gb200x256',
    engine: megatron,
    isBalanced: true,
    model: ['qwen3-235b-a22b', qwen3_235b_a22b],
    cluster: 'gb200-nvl64x256',
    layout: 'pp8,ep32,zero1',
    chunks: 3,
    globalBatch: 8192,
    microBatch: 1,
    sequence: 4096,
    precision: 'bf16',
    published: { tokensPerSecondPerGpu: 4916, teraflopsPerGpu: 728 },
    flopCount: 'causal',
    source: `${TABLE}, 25.11; scripts/performance/configs/qwen`,
    notes: ['94 layers, embedding and loss on 24 virtual stages', graphs, balanced],
    assumed: ['ZeRO stage 1 (distributed optimizer)', 'recomputation: none'],
  },
  {
    name: 'qwen3-235b-a22b fp8 b200x256',
    engine: { ...megatronAllToAll, fp8Scaling: 'mx' },
    isBalanced: true,
    model: ['qwen3-235b-a22b', qwen3_235b_a22b],
    cluster: 'b200x256',
    layout: 'pp8,ep8,zero1',
    globalBatch: 8192,
    microBatch: 1,
    sequence: 4096,
    precision: 'fp8',
    published: { tokensPerSecondPerGpu: 3805, teraflopsPerGpu: 563 },
    flopCount: 'causal',
    source: `${TABLE}, 26.02; scripts/performance/configs/qwen`,
    notes: [
      exposed,
      balanced,
      'Megatron’s alltoall dispatcher (moe_token_dispatcher_type); the other rows use HybridEP',
    ],
    assumed: ['ZeRO stage 1 (distributed optimizer)', 'recomputation: none'],
  },
  {
    name: 'qwen3-30b-a3b fp8 gb200x8',
    engine: mx,
    isBalanced: true,
    model: ['qwen3-30b-a3b', qwen3_30b_a3b],
    cluster: 'gb200-nvl64x8',
    layout: 'ep8,zero1',
    globalBatch: 512,
    microBatch: 4,
    sequence: 4096,
    precision: 'fp8',
    published: { tokensPerSecondPerGpu: 26_084, teraflopsPerGpu: 600 },
    flopCount: 'causal',
    source: `${TABLE}, 26.02; scripts/performance/configs/qwen`,
    notes: [graphs, balanced],
    assumed: ['ZeRO stage 1 (distributed optimizer)', 'recomputation: none'],
  },
  {
    ...dense,
    name: 'llama-3-8b fp8 b200x8',
    model: ['llama-3.1-8b', llama31_8b],
    cluster: 'b200x8',
    layout: 'zero1',
    globalBatch: 128,
    microBatch: 2,
    published: { tokensPerSecondPerGpu: 29_521, teraflopsPerGpu: 1519 },
    source: `${TABLE}, 25.11`,
    notes: ['the whole step runs from one CUDA graph'],
  },
];
