/** Group 1, second article: a slide deck on costs, configs and layout (SEED1). */
import { parseLayout, type ScheduleName } from '../../config/parallelPlan.ts';
import { deepseekV2 } from '../../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { daysOn, dollarsOf } from '../../config/runCost.ts';
import { chips, daySix, llama405b, v3Report } from './facts.ts';
import { type Figure, numbers, type Quantity } from './figure.ts';
import { networkLimit } from './newsPiece.ts';
import { walkedBubble } from './pipelineWalk.ts';
import { slidesMfu } from './slidesMfu.ts';

const group = 1;
const source = 'SEED1';

const { preTrainingGpuHours, contextExtensionGpuHours, postTrainingGpuHours } = v3Report;
const gpuHours = preTrainingGpuHours + contextExtensionGpuHours + postTrainingGpuHours;
const parts = [
  ['pre-training', preTrainingGpuHours],
  ['context', contextExtensionGpuHours],
  ['post-training', postTrainingGpuHours],
  ['all', gpuHours],
] as const;

function columns(
  said: readonly string[],
  of: (hours: number) => Omit<Quantity, 'said'>,
): Quantity[] {
  return parts.slice(0, said.length).map(([name, hours], i) => ({
    name,
    said: said[i] ?? '',
    ...of(hours),
  }));
}

const layout = parseLayout(v3Report.layout, v3Report.numGpus);

const moeLayers = deepseekV3.numHiddenLayers - deepseekV3.firstKDenseReplace;
const expertParameters = 3 * deepseekV3.hiddenSize * deepseekV3.moeIntermediateSize;
const expertsPerGpu = deepseekV3.nRoutedExperts / layout.ep;
const expertParametersPerGpu = (expertsPerGpu * expertParameters * moeLayers) / layout.pp;

const moneyAndTime: readonly Figure[] = [
  {
    id: 'seed1.gpu-hours',
    group,
    source,
    claim: 'cost table, GPU-hours',
    formula: 'V3 T1, and its sum',
    basis: numbers(
      ...columns(['2664', '119', '5', '2788'], (hours) => ({
        unit: 'K GPU-h',
        ours: hours / 1000,
      })),
    ),
  },
  {
    id: 'seed1.dollars',
    group,
    source,
    claim: 'cost table, dollars',
    formula: 'GPU-hours · $2',
    basis: numbers(
      ...columns(['5.328', '0.238', '0.010', '5.576'], (hours) => ({
        unit: 'M$',
        ours: dollarsOf(hours, v3Report) / 1e6,
      })),
    ),
  },
  {
    id: 'seed1.shares',
    group,
    source,
    claim: 'cost table, shares',
    formula: 'GPU-hours / 2788K',
    basis: numbers(
      ...columns(['95.5', '4.3', '0.2'], (hours) => ({
        unit: '%',
        ours: (100 * hours) / gpuHours,
        reading:
          hours === preTrainingGpuHours
            ? { kind: 'within', share: 0.001, because: 'rounded so that the three make 100' }
            : { kind: 'rounded' },
      })),
    ),
  },
  {
    id: 'seed1.days',
    group,
    source,
    claim: 'days of training',
    formula: '2788K GPU-h / 2048 / 24',
    basis: numbers({
      said: '58',
      unit: 'days',
      ours: daysOn({ gpuHours, numGpus: v3Report.numGpus }),
      reading: { kind: 'within', share: 0.025, because: 'a length of time said roughly' },
    }),
    note: 'roughly: 2.2 % off; exact with 2,000 GPUs (58.1); pre-training alone is 54.2',
  },
  {
    id: 'seed1.llama-days',
    group,
    source,
    claim: 'Llama-3.1-405B’s days on 16K H100',
    formula: '30.84M GPU-h / 16,384 / 24',
    basis: numbers({
      said: '54',
      unit: 'days',
      ours: daysOn(llama405b),
      slip: { name: 'the reliability snapshot taken for the run', value: llama405b.snapshotDays },
    }),
  },
  {
    id: 'seed1.llama-hours',
    group,
    source,
    claim: 'Llama-3.1-405B’s training',
    formula: 'model card: 30.84M',
    basis: numbers({ said: '30.8', unit: 'M GPU-h', ours: llama405b.gpuHours / 1e6 }),
  },
];

const configs: readonly Figure[] = [
  {
    id: 'seed1.configs',
    group,
    source,
    claim: 'configs of V2 and V3',
    formula: 'config.json',
    basis: numbers(
      { name: 'V2 layers', said: '60', unit: '', ours: deepseekV2.numHiddenLayers },
      { name: 'V3 layers', said: '61', unit: '', ours: deepseekV3.numHiddenLayers },
      { name: 'V2 experts', said: '160', unit: '', ours: deepseekV2.nRoutedExperts },
      { name: 'V3 experts', said: '256', unit: '', ours: deepseekV3.nRoutedExperts },
      { name: 'KV rank', said: '512', unit: '', ours: deepseekV3.kvLoraRank },
      { name: 'query rank', said: '1536', unit: '', ours: deepseekV3.qLoraRank ?? 0 },
      { name: 'heads', said: '128', unit: '', ours: deepseekV3.numAttentionHeads },
    ),
  },
  {
    id: 'seed1.hidden-size',
    group,
    source,
    claim: 'hidden_size of V3',
    formula: 'config.json',
    basis: numbers({
      said: '7160',
      unit: '',
      ours: deepseekV3.hiddenSize,
      slip: { name: 'last digit lost', value: 10 * Math.floor(deepseekV3.hiddenSize / 10) },
    }),
  },
  {
    id: 'seed1.other-models',
    group,
    source,
    claim: 'GPT-4; Claude; Llama’s tokens',
    formula: 'no source; Llama 3 paper',
    basis: {
      kind: 'nowhere',
      said: '175B on 1T; 52B; 1.2T',
      sources: 'against',
      closest: [
        { name: 'Llama-3.1-405B', value: llama405b.tokens / 1e12, unit: 'T tokens', digits: 1 },
      ],
    },
  },
  {
    id: 'seed1.decode-speed',
    group,
    source,
    claim: 'decoding speed of V3',
    formula: 'no paper; D6 gives an average, ISCA s2.3.2 a limit',
    basis: {
      kind: 'nowhere',
      said: '60 tok/s',
      sources: 'silent',
      closest: [
        { name: 'average', value: daySix.userTokensPerSecond, unit: 'tok/s', digits: 0 },
        { name: 'limit', value: networkLimit.tokensPerSecond, unit: 'tok/s', digits: 1 },
      ],
    },
    note: 'unverified: said at the launch, in no paper',
  },
  {
    id: 'seed1.fp8-throughput',
    group,
    source,
    claim: 'throughput gained by FP8',
    formula: 'no source; the data sheet has twice the peak',
    basis: {
      kind: 'nowhere',
      said: '+30 %',
      sources: 'silent',
      closest: [
        {
          name: 'peak, FP8 : BF16',
          value: chips.h100.fp8Flops / chips.h100.bf16Flops,
          unit: '×',
          digits: 2,
        },
      ],
    },
  },
];

const systems: readonly Figure[] = [
  {
    id: 'seed1.layout',
    group,
    source,
    claim: 'parallel layout',
    formula: 'DP = 2048 / (PP · TP); experts per GPU = 256 / EP',
    basis: numbers(
      { name: 'TP', said: '1', unit: '', ours: layout.tp },
      { name: 'PP', said: '16', unit: '', ours: layout.pp },
      { name: 'EP', said: '64', unit: '', ours: layout.ep },
      { name: 'DP', said: '128', unit: '', ours: layout.dp },
      { name: 'ZeRO', said: '1', unit: '', ours: layout.zeroStage },
      { name: 'experts per GPU', said: '4', unit: '', ours: expertsPerGpu },
    ),
  },
  {
    id: 'seed1.links',
    group,
    source,
    claim: 'bandwidth of NVLink and InfiniBand',
    formula: 'V3 s3.2.2',
    basis: numbers(
      { name: 'NVLink', said: '160', unit: 'GB/s', ours: v3Report.nvlinkBytesPerSecond / 1e9 },
      { name: 'IB', said: '50', unit: 'GB/s', ours: v3Report.networkBytesPerSecond / 1e9 },
    ),
  },
  {
    id: 'seed1.sms',
    group,
    source,
    claim: 'SMs for communication, of all',
    formula: 'V3 s3.2.2',
    basis: numbers(
      { said: '20', unit: '', ours: v3Report.communicationSms },
      { name: 'of', said: '132', unit: '', ours: v3Report.numSms },
    ),
  },
  {
    id: 'seed1.expert-memory',
    group,
    source,
    claim: 'four routed experts on each GPU',
    formula: '4 · 3·H·F · 58 layers / 16 stages, FP8',
    basis: numbers(
      {
        name: 'parameters',
        said: '26.8',
        unit: 'B',
        ours: expertParametersPerGpu / 1e9,
        // A reading that gives the number; what the slides really did is not known.
        slip: { name: '4 of 256 experts taken as 4 % of 671 B', value: 0.04 * 671 },
      },
      {
        name: 'memory',
        said: '1.675',
        unit: 'GB',
        ours: expertParametersPerGpu / 1e9,
        slip: { name: 'that number over 16 stages', value: 26.8 / layout.pp },
      },
    ),
    note: '1.277 GB with both copies of DualPipe',
  },
  {
    id: 'seed1.bubbles',
    group,
    source,
    claim: 'bubbles at PP 16, in F (B = 2 F, W = F, F&B = 3 F)',
    formula: '(P−1)(F+B); (P−1)(F+B−2W); (P/2−1)(F&B+B−3W); ours walks the schedules',
    basis: numbers(
      { name: '1F1B', said: '45', unit: 'F', ours: bubbleOf('1f1b') },
      { name: 'ZB1P', said: '15', unit: 'F', ours: bubbleOf('zb1p') },
      { name: 'DualPipe', said: '14', unit: 'F', ours: bubbleOf('dualpipe') },
    ),
  },
  {
    id: 'seed1.serving-units',
    group,
    source,
    claim: 'GPUs of a prefill and of a decode unit',
    formula: '4 nodes · 8; 256 experts + 64 (V3 s3.4)',
    basis: numbers(
      { name: 'prefill', said: '32', unit: '', ours: 4 * v3Report.gpusPerNode },
      {
        name: 'decode',
        said: '320',
        unit: '',
        ours: deepseekV3.nRoutedExperts + v3Report.redundantAndSharedGpusDecode,
      },
    ),
    note: 'the later overview has decode units of 144',
  },
  {
    id: 'seed1.decode-overlap',
    group,
    source,
    claim: 'decoding overlaps two micro-batches',
    formula: 'V3 s3.4.2; D6',
    basis: {
      kind: 'statement',
      said: 'in use',
      source: 'in use by D6; “being explored” in the report',
      slip: null,
    },
    note: 'early: not yet so when the report was written',
  },
];

function bubbleOf(name: ScheduleName): number {
  const choice = { name, numRanks: 16, numMicroBatches: 120 };
  return walkedBubble(choice, { F: 1, B: 2, W: 1, FB: 3 });
}

export const slides: readonly Figure[] = [...moneyAndTime, ...configs, ...systems, ...slidesMfu];
