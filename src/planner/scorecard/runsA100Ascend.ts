/** Published runs on A100 and on Ascend 910B: BF16 or FP16, which cost the same. */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import {
  deepseek_moe_16b,
  llama1_13b,
  llama2_70b,
  llama31_8b,
} from '../../config/presets/dense.ts';
import { megatron2022, mindSpeed, underPasses } from './engines.ts';
import {
  deepseekV2_60b,
  gpt1t,
  gpt22b,
  gpt175b,
  gpt530b,
  internlm7b,
  llama2_13b,
  llama2_34b,
  qwen15_72b,
} from './models.ts';
import type { PublishedRow } from './publishedRun.ts';

/** Megatron's runs with sequence parallelism (arXiv 2205.05198, tables 3 and 5). */
const megatron = {
  engine: megatron2022,
  sequence: 2048,
  precision: 'bf16',
  flopCount: 'gpt',
  source:
    'Korthikanti et al. 2022 (arXiv 2205.05198), tables 3 and 5; layouts also in ' +
    'calculon-ai/calculon, validation/seqsel/tab5',
} as const satisfies Partial<PublishedRow>;

const shape = 'an MLP of two matrices with GELU, described as a gated one of equal weights';
const unfused = 'attention as separate products and a softmax, in FP16: before flash attention';

/** Only the inside of attention is made again, as flash attention always does. */
const selective = {
  ...megatron,
  notes: [shape, unfused, 'selective recomputation: the inside of attention'],
  uncertainty: 0.01,
} as const;

const full = {
  ...megatron,
  recompute: 'full',
  notes: [shape, unfused, 'tensor parallelism without sequence parallelism: all-reduce'],
} as const;

const m22b = {
  model: ['megatron-22b', gpt22b],
  cluster: 'a100x8',
  layout: 'tp8',
  globalBatch: 4,
  microBatch: 4,
} as const satisfies Partial<PublishedRow>;

const m175b = {
  model: ['gpt3-175b', gpt175b],
  cluster: 'a100x64',
  layout: 'tp8,pp8',
  chunks: 3,
  globalBatch: 64,
  microBatch: 1,
} as const satisfies Partial<PublishedRow>;

const m530b = {
  model: ['megatron-530b', gpt530b],
  cluster: 'a100x280',
  layout: 'tp8,pp35',
  chunks: 3,
  globalBatch: 280,
  microBatch: 1,
} as const satisfies Partial<PublishedRow>;

const m1t = {
  model: ['megatron-1t', gpt1t],
  cluster: 'a100x512',
  layout: 'tp8,pp64',
  globalBatch: 512,
  microBatch: 1,
} as const satisfies Partial<PublishedRow>;

/** 128 A100 with 400 Gb/s per node: four NICs of 100 Gb/s. */
function vela(): ClusterSpec {
  const base = findCluster('a100x128');
  return {
    ...base,
    name: 'a100x128, 400 Gb/s per node',
    scaleOut: {
      ...base.scaleOut,
      kind: 'fat-tree',
      nicsPerNode: 4,
      nicBytesPerSecond: 12.5e9,
      routing: 'ecmp',
      leafLatencySeconds: 3.6e-6,
      hopLatencySeconds: 1e-6,
    },
  };
}

const fsdp = {
  engine: underPasses,
  cluster: vela(),
  layout: 'zero3',
  sequence: 4096,
  precision: 'bf16',
  recompute: 'full',
  flopCount: 'causal',
  source: 'foundation-model-stack/fms-fsdp, README.md (128 A100)',
  notes: ['PyTorch FSDP over all 128 GPUs; every block is made again'],
  assumed: ['400 Gb/s per node on RoCE, as another version of the table says'],
} as const satisfies Partial<PublishedRow>;

/** PCIe cards with one NIC for eight: Fire-Flyer 2. A node's GPUs are of one pipeline stage. */
const fireFlyer = {
  engine: underPasses,
  microBatch: 1,
  precision: 'bf16',
  flopCount: 'causal',
  source: 'Fire-Flyer AI-HPC (arXiv 2408.14158), figure 9 and V-B',
  notes: ['gradients are summed on the hosts by HFReduce, overlapped with backward'],
  assumed: [
    'micro-batches of one sequence',
    '1F1B',
    'ZeRO stage 1',
    'recomputation: none',
    'no expert parallelism',
  ],
  uncertainty: 0.01,
} as const satisfies Partial<PublishedRow>;

const llama13b = {
  ...fireFlyer,
  model: ['llama-13b', llama1_13b],
  layout: 'pp4,zero1',
  globalBatch: 4096,
  sequence: 2048,
} as const satisfies Partial<PublishedRow>;

const moe16b = {
  ...fireFlyer,
  model: ['deepseek-moe-16b', deepseek_moe_16b],
  layout: 'pp10,zero1',
  globalBatch: 4608,
  sequence: 4096,
} as const satisfies Partial<PublishedRow>;

const ascend = {
  engine: mindSpeed,
  flopCount: 'causal',
  precision: 'bf16',
  notes: ['fused products and collectives (MC2) on; scripts may be younger than the table'],
  assumed: ['NPUs of 376 TFLOP/s: the table says Atlas 900 A2 PODc and not which 910B'],
  uncertainty: 0.02,
} as const satisfies Partial<PublishedRow>;

const MINDSPEED = 'Ascend/MindSpeed-LLM, README.md (Mcore rows) and examples/mcore';

export const a100Rows: readonly PublishedRow[] = [
  {
    ...selective,
    ...m22b,
    name: 'megatron-22b fp16 a100x8, selective',
    published: { stepSeconds: 1.1, mfu: 0.415, peakTeraflops: 312 },
  },
  { ...full, ...m22b, name: 'megatron-22b fp16 a100x8, full', published: { stepSeconds: 1.42 } },
  {
    ...selective,
    ...m175b,
    name: 'gpt3-175b fp16 a100x64, selective',
    published: { stepSeconds: 13.75, mfu: 0.514, peakTeraflops: 312 },
  },
  { ...full, ...m175b, name: 'gpt3-175b fp16 a100x64, full', published: { stepSeconds: 18.13 } },
  {
    ...selective,
    ...m530b,
    name: 'megatron-530b fp16 a100x280, selective',
    published: { stepSeconds: 37.83, mfu: 0.56, peakTeraflops: 312 },
  },
  {
    ...full,
    ...m530b,
    name: 'megatron-530b fp16 a100x280, full',
    published: { stepSeconds: 49.05 },
  },
  {
    ...selective,
    ...m1t,
    name: 'megatron-1t fp16 a100x512, selective',
    published: { stepSeconds: 71.49, mfu: 0.563, peakTeraflops: 312 },
  },
  { ...full, ...m1t, name: 'megatron-1t fp16 a100x512, full', published: { stepSeconds: 94.42 } },
  {
    ...fsdp,
    name: 'llama-2-34b bf16 a100x128, fsdp',
    model: ['llama-2-34b', llama2_34b],
    globalBatch: 1024,
    microBatch: 8,
    published: { tokensPerSecondPerGpu: 772 },
  },
  {
    ...fsdp,
    name: 'llama-2-70b bf16 a100x128, fsdp',
    model: ['llama-2-70b', llama2_70b],
    globalBatch: 768,
    microBatch: 6,
    published: { tokensPerSecondPerGpu: 380 },
  },
  {
    name: 'internlm-7b bf16 a100x8',
    model: ['internlm-7b', internlm7b],
    cluster: 'a100x8',
    layout: 'zero1',
    globalBatch: 64,
    microBatch: 2,
    sequence: 2048,
    precision: 'bf16',
    published: { tokensPerSecondPerGpu: 4062 },
    flopCount: 'causal',
    source: 'InternLM/InternLM, doc/en/train_performance.md (tp=1, zero1=-1)',
  },
  {
    ...llama13b,
    name: 'llama-13b bf16 a100-pciex64',
    cluster: 'a100-pciex64',
    published: { stepSeconds: 64.118 },
  },
  {
    ...llama13b,
    name: 'llama-13b bf16 a100-pciex512',
    cluster: 'a100-pciex512',
    published: { stepSeconds: 9.717 },
  },
  {
    ...moe16b,
    name: 'deepseek-moe-16b bf16 a100-pciex40',
    cluster: 'a100-pciex40',
    published: { stepSeconds: 79.615 },
  },
  {
    ...moe16b,
    name: 'deepseek-moe-16b bf16 a100-pciex640',
    cluster: 'a100-pciex640',
    published: { stepSeconds: 6.535 },
  },
];

export const ascendRows: readonly PublishedRow[] = [
  {
    ...ascend,
    name: 'llama-2-70b bf16 910bx32',
    model: ['llama-2-70b', llama2_70b],
    cluster: 'ascend-910bx32',
    layout: 'tp8,pp4',
    chunks: 4,
    globalBatch: 1024,
    microBatch: 1,
    sequence: 4096,
    published: { tokensPerSecondPerGpu: 439 },
    source: `${MINDSPEED}/llama2/pretrain_llama2_70b_ptd.sh`,
  },
  {
    ...ascend,
    name: 'llama-2-13b bf16 910bx8',
    model: ['llama-2-13b', llama2_13b],
    cluster: 'ascend-910bx8',
    layout: 'tp8',
    globalBatch: 512,
    microBatch: 4,
    sequence: 4096,
    published: { tokensPerSecondPerGpu: 2016 },
    source: `${MINDSPEED}/llama2/pretrain_llama2_13b_ptd.sh`,
  },
  {
    ...ascend,
    name: 'llama-3-8b bf16 910bx8',
    model: ['llama-3.1-8b', llama31_8b],
    cluster: 'ascend-910bx8',
    layout: 'tp8',
    globalBatch: 64,
    microBatch: 2,
    sequence: 8192,
    published: { tokensPerSecondPerGpu: 2400 },
    source: `${MINDSPEED}/llama3/pretrain_llama3_8b_ptd.sh`,
  },
  {
    ...ascend,
    name: 'qwen1.5-72b bf16 910bx64',
    model: ['qwen1.5-72b', qwen15_72b],
    cluster: 'ascend-910bx64',
    layout: 'tp8,pp8',
    chunks: 5,
    globalBatch: 64,
    microBatch: 1,
    sequence: 8192,
    published: { tokensPerSecondPerGpu: 339 },
    source: `${MINDSPEED}/qwen15/pretrain_qwen15_72b_ptd.sh`,
  },
  {
    ...ascend,
    name: 'deepseek-v2-60b bf16 910bx32',
    engine: { ...mindSpeed, expertRows: 'gathered' },
    model: ['deepseek-v2-60b', deepseekV2_60b],
    cluster: 'ascend-910bx32',
    layout: 'pp4,ep8,zero1',
    chunks: 2,
    globalBatch: 256,
    microBatch: 1,
    sequence: 8192,
    recompute: 'full',
    published: { tokensPerSecondPerGpu: 1083 },
    source: `${MINDSPEED}/deepseek2/pretrain_deepseek2_60b_8k_ptd.sh`,
    notes: [
      ...ascend.notes,
      'DeepSeek-V2 with 16 of its 60 layers',
      'tokens reach experts by all-gather and reduce-scatter, not by all-to-all',
    ],
  },
];
