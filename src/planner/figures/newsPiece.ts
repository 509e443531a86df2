/** Group 1, first article: a news piece on the ISCA paper (SEED0). */
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from '../../config/modelCounts.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { llama31_405b } from '../../config/presets/dense.ts';
import { stepSecondsAt, utilization } from '../../config/runCost.ts';
import {
  type DecodeLimit,
  decodeLimit,
  paperDecodeSetting,
} from '../../simulator/network/decodeLimit.ts';
import { iscaPaper, llama405b, v3Report } from './facts.ts';
import { type Closest, type Figure, numbers } from './figure.ts';

const training = { context: 4096, causal: true, mtp: false, training: true };
const kilobytes = kvBytesPerToken(deepseekV3) / 1000;
const llamaKilobytes = kvBytesPerToken(llama31_405b) / 1000;
const gpuHours =
  v3Report.preTrainingGpuHours + v3Report.contextExtensionGpuHours + v3Report.postTrainingGpuHours;

/** The paper's own bound on decoding over its network. */
export const networkLimit: DecodeLimit = decodeLimit({
  ...paperDecodeSetting,
  bytesPerSecond: iscaPaper.networkBytesPerSecond,
});

const tokensPerStep = v3Report.globalBatch * v3Report.sequenceLength;

/** Shares of the peak that the paper's rate comes to. */
export const measured: ReturnType<typeof utilization> = utilization({
  model: deepseekV3,
  sequenceLength: v3Report.sequenceLength,
  mtp: false,
  tokensPerStep,
  stepSeconds: stepSecondsAt({ tokensPerStep, tokensPerDay: iscaPaper.tokensPerDay.mpft }),
  numGpus: v3Report.numGpus,
  peakFlops: iscaPaper.peakFlops,
});

export const closestMfu: readonly Closest[] = [
  { name: 'MFU', value: measured.mfuNonCausal * 100, unit: '%', digits: 2 },
  { name: 'causal', value: measured.mfuCausal * 100, unit: '%', digits: 2 },
];

const closestLimit: Closest = {
  name: 'limit by the network',
  value: networkLimit.tokensPerSecond,
  unit: 'tok/s',
  digits: 1,
};

const group = 1;
const source = 'SEED0';

export const newsPiece: readonly Figure[] = [
  {
    id: 'seed0.gpus',
    group,
    source,
    claim: 'GPUs of the training cluster',
    formula: 'V3 s3.1',
    basis: numbers({ said: '2048', unit: 'H800', ours: v3Report.numGpus }),
  },
  {
    id: 'seed0.gpu-hours',
    group,
    source,
    claim: 'training time',
    formula: '2664K + 119K + 5K (V3 T1)',
    basis: numbers({
      said: '278.8',
      unit: 'GPU-h',
      ours: gpuHours,
      slip: { name: 'factor 10⁴ lost', value: gpuHours / 1e4 },
    }),
  },
  {
    id: 'seed0.parameters',
    group,
    source,
    claim: 'parameters',
    formula: 'sum over modules, without MTP',
    basis: numbers({ said: '671', unit: 'B', ours: countParameters(deepseekV3).total / 1e9 }),
  },
  {
    id: 'seed0.active',
    group,
    source,
    claim: 'active parameters',
    formula: 'what a token passes through, with the head',
    basis: numbers({ said: '37', unit: 'B', ours: activeParameters(deepseekV3).withHead / 1e9 }),
    note: '37.55 B with embedding and head',
  },
  {
    id: 'seed0.cost-ratio',
    group,
    source,
    claim: 'cost against a rival’s (Llama-3.1-405B)',
    formula: '2.788M / 30.84M GPU-h',
    basis: numbers({ said: '0.1', unit: '×', ours: gpuHours / llama405b.gpuHours }),
  },
  {
    id: 'seed0.kv',
    group,
    source,
    claim: 'KV cache per token, by MLA',
    formula: 'GQA 2·g·d·L·2 B; MLA (c + p)·L·2 B',
    basis: numbers(
      {
        name: 'before',
        said: '490',
        unit: 'KB',
        ours: llamaKilobytes,
        slip: {
          name: 'the rounded 70 KB times the rounded ratio of 7',
          value: Math.round(kilobytes) * Math.round(llamaKilobytes / kilobytes),
        },
      },
      { name: 'after', said: '70', unit: 'KB', ours: kilobytes },
    ),
    note: '327.68 KB in Qwen2.5-72B; 490 is in no paper',
  },
  {
    id: 'seed0.kv-ratio',
    group,
    source,
    claim: 'memory of a 64K context, Llama’s over V3’s',
    formula: '65,536 · 516,096 B / 65,536 · 70,272 B',
    basis: numbers({ said: '7', unit: '×', ours: llamaKilobytes / kilobytes }),
    note: '33.82 GB and 4.605 GB',
  },
  {
    id: 'seed0.experts',
    group,
    source,
    claim: 'experts: routed, shared, active of the routed',
    formula: 'V3 s4.2',
    basis: numbers(
      { name: 'routed', said: '256', unit: '', ours: deepseekV3.nRoutedExperts },
      { name: 'shared', said: '1', unit: '', ours: deepseekV3.nSharedExperts },
      { name: 'active', said: '8', unit: '', ours: deepseekV3.numExpertsPerTok },
    ),
  },
  {
    id: 'seed0.compute-ratio',
    group,
    source,
    claim: 'training compute against a dense rival’s',
    formula: 'GFLOP per token, causal, at 4,096: V3 / Llama-3.1-405B',
    basis: numbers({
      said: '0.1',
      unit: '×',
      ours: flopsPerToken(deepseekV3, training) / flopsPerToken(llama31_405b, training),
    }),
  },
  {
    id: 'seed0.fp8-loss',
    group,
    source,
    claim: 'loss gap of FP8',
    formula: 'V3 s3.3: relative loss error below 0.25 %',
    basis: numbers({ said: '0.25', unit: '%', ours: v3Report.fp8LossErrorPercent }),
    note: 'on test models of 16B and 230B; “trillion parameters” is in no paper',
  },
  {
    id: 'seed0.mtp-speed',
    group,
    source,
    claim: 'speed-up by MTP',
    formula: '1 + p, p of 0.8 to 0.9 kept (ISCA s2.3.3)',
    basis: numbers({ said: '1.8', unit: '×', ours: 1 + iscaPaper.mtpAcceptance[0] }),
  },
  {
    id: 'seed0.mtp-acceptance',
    group,
    source,
    claim: 'drafted tokens kept, above',
    formula: '85–90 % (V3 s5.4.3), 80–90 % (ISCA s2.3.3)',
    basis: numbers({
      said: '80',
      unit: '%',
      ours: v3Report.mtpAcceptance[0] * 100,
      reading: { kind: 'atLeast' },
    }),
  },
  {
    id: 'seed0.mtp-tokens',
    group,
    source,
    claim: 'tokens that MTP predicts at once',
    formula: 'the next token and D = 1 more',
    basis: numbers(
      { name: 'from', said: '2', unit: '', ours: 1 + deepseekV3.numNextnPredictLayers },
      {
        name: 'to',
        said: '3',
        unit: '',
        ours: 1 + deepseekV3.numNextnPredictLayers,
        slip: {
          name: 'the draft counted twice',
          value: 1 + 2 * deepseekV3.numNextnPredictLayers,
        },
      },
    ),
  },
  {
    id: 'seed0.decode-speed',
    group,
    source,
    claim: 'decoding speed',
    formula: 'no source; ISCA s2.3.2 has a limit',
    basis: { kind: 'nowhere', said: '18 tok/s', sources: 'silent', closest: [closestLimit] },
  },
  {
    id: 'seed0.consumer-gpu',
    group,
    source,
    claim: 'what runs V3 near 20 tok/s',
    formula: 'ISCA s2.2.2',
    basis: {
      kind: 'statement',
      said: 'one RTX 4090',
      source: 'a server of about $10k with a consumer GPU (KTransformers), near 20 TPS',
      slip: 'the server around the GPU left out',
    },
  },
  {
    id: 'seed0.network-bandwidth',
    group,
    source,
    claim: 'network bandwidth',
    formula: 'no source; NVLink over InfiniBand, V3 s3.2.2',
    basis: {
      kind: 'nowhere',
      said: '× 3',
      sources: 'against',
      closest: [
        {
          name: 'NVLink : IB',
          value: v3Report.nvlinkBytesPerSecond / v3Report.networkBytesPerSecond,
          unit: '×',
          digits: 1,
        },
      ],
    },
  },
  {
    id: 'seed0.all-reduce',
    group,
    source,
    claim: 'all-reduce latency at 256 GPUs',
    formula: 'no source; ISCA T5 has 64 bytes end to end',
    basis: {
      kind: 'nowhere',
      said: '4.2 → 1.3 µs',
      sources: 'against',
      closest: [
        { name: 'IB', value: iscaPaper.latencyMicroseconds.infiniband, unit: 'µs', digits: 1 },
        { name: 'RoCE', value: iscaPaper.latencyMicroseconds.roce, unit: 'µs', digits: 1 },
        { name: 'NVLink', value: iscaPaper.latencyMicroseconds.nvlink, unit: 'µs', digits: 2 },
      ],
    },
  },
  {
    id: 'seed0.node-bandwidth',
    group,
    source,
    claim: 'cross-node bandwidth reached',
    formula: 'no source; DeepEP on MPFT passes 40 of 50 GB/s (ISCA s5.1)',
    basis: {
      kind: 'nowhere',
      said: '92 %',
      sources: 'against',
      closest: [
        {
          name: 'of the NIC, over',
          value: (iscaPaper.nicAchieved / iscaPaper.networkBytesPerSecond) * 100,
          unit: '%',
          digits: 0,
        },
      ],
    },
  },
  {
    id: 'seed0.utilisation',
    group,
    source,
    claim: 'cluster utilisation',
    formula: 'no source; 272.80 B tok/day · FLOPs per token / (2048 · 989 TF)',
    basis: {
      kind: 'nowhere',
      said: '92 %, “linear speed-up”',
      sources: 'against',
      closest: closestMfu,
    },
  },
  {
    id: 'seed0.stability',
    group,
    source,
    claim: 'stability',
    formula: 'no source',
    basis: { kind: 'nowhere', said: '× 3', sources: 'against', closest: [] },
    note: 'V3 s1 says only that no loss spike was beyond recovery and no step rolled back',
  },
  {
    id: 'seed0.stacked-memory',
    group,
    source,
    claim: 'gained by stacked DRAM',
    formula: 'no source; stacking is a recommendation (ISCA s6.6)',
    basis: {
      kind: 'nowhere',
      said: 'capacity × 4, a month → a week',
      sources: 'against',
      closest: [],
    },
  },
  {
    id: 'seed0.pages',
    group,
    source,
    claim: 'pages of the ISCA paper',
    formula: 'first version of 2505.09343',
    basis: {
      kind: 'statement',
      said: '14 pages',
      source: '14 pages; the second version has 15',
      slip: null,
    },
  },
];
