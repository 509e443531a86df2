/**
 * Published runs that were looked at and left out, each with its reason. None was left out for what
 * the planner makes of it: every reason is in the source or in what a plan can say.
 */

export interface ExcludedRun {
  readonly run: string;
  readonly published: string;
  readonly source: string;
  readonly why: string;
}

const BRIDGE = 'NVIDIA-NeMo/Megatron-Bridge, docs/performance-summary-archive.md';
const TITAN = 'pytorch/torchtitan, benchmarks/llama3_h100_202412_torchtitan.md';

export const excludedRuns: readonly ExcludedRun[] = [
  {
    run: 'Llama 3.1 405B on 16,384 H100 at 131,072 tokens',
    published: '380 TFLOP/s, 38 % MFU',
    source: 'Llama 3 report (arXiv 2407.21783), table 4',
    why: 'context parallelism of 16, which a plan cannot say',
  },
  {
    run: 'Llama 3.1 405B on 1,024 H100, on 128 B200 and on 256 GB300',
    published: '311, 661 and 931 tokens/s/GPU',
    source: BRIDGE,
    why: 'context parallelism of 2',
  },
  {
    run: 'Llama 3 70B on 64 GB200 with FSDP',
    published: '4,040 tokens/s/GPU',
    source: `${BRIDGE}, 26.02`,
    why: 'activations of 40 layers are moved to the host, which a plan cannot say',
  },
  {
    run: 'Llama 3 8B on 8 H100 with FSDP',
    published: '14,451 tokens/s/GPU',
    source: `${BRIDGE}, 25.11`,
    why: '5 of 32 layers are made again, which a plan cannot say',
  },
  {
    run: 'GPT-OSS 120B on any system',
    published: '5,993 tokens/s/GPU on 64 H100',
    source: BRIDGE,
    why: 'every second layer has a window of 128 tokens; only full attention is described',
  },
  {
    run: 'Rows of 25.09 with dropped tokens',
    published: '3,454 tokens/s/GPU for DeepSeek-V3 on 256 GB200',
    source: `${BRIDGE}, 25.09`,
    why: 'tokens above an expert’s capacity are dropped: less work than the model has',
  },
  {
    run: 'Runs in NVFP4, and runs on GB300 and B300',
    published: '1,076 tokens/s/GPU for Llama 3.1 405B on 256 GB200 in NVFP4',
    source: `${BRIDGE}, 26.02`,
    why: 'neither the format nor the chips are described',
  },
  {
    run: 'Qwen3 30B-A3B on 8 B200 and on 16 H100',
    published: '9,691 and 5,113 tokens/s/GPU',
    source: `${BRIDGE}, 26.02`,
    why:
      'bound by the host that starts kernels: the same silicon in a GB200 reaches 26,084 with ' +
      'CUDA graphs, and later notes of the maker give H100 “low 200s” of TFLOP/s for 118 here',
  },
  {
    run: 'Llama 3.1 8B, 70B and 405B in TorchTitan',
    published: '6,514, 876 and 128 tokens/s/GPU on 128, 256 and 512 H100',
    source: TITAN,
    why:
      'H100 with HBM2e at 500 W, whose peak the source does not know; some keep every second ' +
      'product’s output, which a plan cannot say',
  },
  {
    run: 'Llama 2 7B and 13B with HSDP on 128 A100',
    published: '3,760 and 1,700 tokens/s/GPU',
    source: 'foundation-model-stack/fms-fsdp, README.md',
    why: 'weights are split inside a node and copied between nodes, which no ZeRO stage here does',
  },
  {
    run: 'Mixtral 8x7B and 8x22B at 32,768 tokens on 64 Ascend 910B',
    published: '706 and 239 tokens/s/NPU',
    source: 'Ascend/MindSpeed-LLM, README.md',
    why: 'context parallelism of 4',
  },
  {
    run: 'Llama 3 70B on 64 Ascend 910B',
    published: '353 tokens/s/NPU',
    source: 'Ascend/MindSpeed-LLM, README.md',
    why: 'the stored script is for 32 NPUs with stages of 17, 20, 22 and 21 layers',
  },
  {
    run: 'Pangu Ultra 135B on 8,192 Ascend NPUs',
    published: '52 % MFU',
    source: 'arXiv 2504.07866',
    why: 'neither tokens/s nor the peak of the share is given, and no full layout was found',
  },
  {
    run: 'Pangu Ultra MoE 718B on 6,000 Ascend NPUs',
    published: '30.0 % MFU, 1.46 million tokens/s',
    source: 'arXiv 2505.04519',
    why: 'the layout and the batch of that run could not be verified',
  },
  {
    run: 'DeepSeek-V2 on H800',
    published: '172,800 GPU-hours per trillion tokens',
    source: 'arXiv 2405.04434, 3.2.3',
    why: 'the number of GPUs is not given, and with it the micro-batches of a pipeline',
  },
  {
    run: 'DeepSeek 67B on H800',
    published: '300,600 GPU-hours per trillion tokens',
    source: 'arXiv 2405.04434, 3.2.3',
    why: 'no layout is given',
  },
  {
    run: 'InternLM 7B on 16 to 1,024 A100',
    published: '3,842 to 2,271 tokens/s/GPU',
    source: 'InternLM/InternLM, doc/en/train_performance.md',
    why: 'each rank broadcasts its weights in turn, which is not how ZeRO stage 1 gathers here',
  },
  {
    run: 'MegaScale-MoE 352B on 1,440 Hopper GPUs',
    published: '1.41 million tokens/s',
    source: 'arXiv 2505.11432',
    why: 'the chip is not named, and expert traffic is compressed and overlapped in its own way',
  },
  {
    run: 'GPT models from 2B to 462B on 96 to 6,144 H100',
    published: '41 % to 48 % MFU',
    source: 'NVIDIA/Megatron-LM, README.md',
    why: 'layouts are in a picture, not in text',
  },
];
