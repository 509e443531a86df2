/** Group 4: DeepSeek's serving system, its profile data, and the kernels it has published. */
import { kvBytesPerToken } from '../../config/modelCounts.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { chips, daySix } from './facts.ts';
import { type Figure, numbers } from './figure.ts';
import { kernelTables } from './kernelTables.ts';

const group = 4;
const SECONDS_PER_DAY = 86_400;

const gpuDollars = daySix.averageNodes * daySix.gpusPerNode * 24 * daySix.dollarsPerGpuHour;
const freshTokens = daySix.inputTokens - daySix.cachedInputTokens;
const revenue =
  (daySix.prices.cached * daySix.cachedInputTokens +
    daySix.prices.input * freshTokens +
    daySix.prices.output * daySix.outputTokens) /
  1e6;
const prefillNodes = daySix.inputTokens / SECONDS_PER_DAY / daySix.prefillPerNode;
const decodeNodes = daySix.outputTokens / SECONDS_PER_DAY / daySix.decodePerNode;
const wholeBillions = 'tokens are given in whole billions';

const service: readonly Figure[] = [
  {
    id: 'd6.cost',
    group,
    source: 'D6',
    claim: 'cost per day of 226.75 nodes',
    formula: '226.75 · 8 · 24 · $2',
    basis: numbers({ said: '87,072', unit: '$', ours: gpuDollars }),
  },
  {
    id: 'd6.cache-hits',
    group,
    source: 'D6',
    claim: 'input tokens found in the disk cache',
    formula: '342B / 608B',
    basis: numbers({
      said: '56.3',
      unit: '%',
      ours: (100 * daySix.cachedInputTokens) / daySix.inputTokens,
    }),
  },
  {
    id: 'd6.revenue',
    group,
    source: 'D6',
    claim: 'theoretical revenue per day',
    formula: '$0.14 · 342K + $0.55 · 266K + $2.19 · 168K',
    basis: numbers({
      said: '562,027',
      unit: '$',
      ours: revenue,
      reading: { kind: 'within', share: 0.0002, because: wholeBillions },
    }),
  },
  {
    id: 'd6.margin',
    group,
    source: 'D6',
    claim: 'theoretical margin over cost',
    formula: '(revenue − cost) / cost',
    basis: numbers({
      said: '545',
      unit: '%',
      ours: (100 * (revenue - gpuDollars)) / gpuDollars,
      reading: { kind: 'within', share: 0.002, because: wholeBillions },
    }),
  },
  {
    id: 'd6.nodes',
    group,
    source: 'D6',
    claim: 'nodes, from throughput per node: 73.7K in, 14.8K out',
    formula: '608B / 86,400 / 73.7K + 168B / 86,400 / 14.8K',
    basis: numbers({
      said: '226.75',
      unit: 'nodes',
      ours: prefillNodes + decodeNodes,
      reading: { kind: 'within', share: 0.001, because: 'throughput is given in three digits' },
    }),
  },
  {
    id: 'd6.fresh-prefill',
    group,
    source: 'D6',
    claim: 'prefill per node without cache hits',
    formula: '(608B − 342B) / 86,400 / prefill nodes',
    basis: numbers({
      said: '32.2',
      unit: 'K tok/s',
      ours: freshTokens / SECONDS_PER_DAY / prefillNodes / 1000,
    }),
  },
  {
    id: 'd6.requests',
    group,
    source: 'D6',
    claim: 'requests in flight on a decoding GPU',
    formula: '14.8K / 8 / 21 tok/s',
    basis: numbers({
      said: '88',
      unit: '',
      ours: daySix.decodePerNode / daySix.gpusPerNode / daySix.userTokensPerSecond,
    }),
  },
  {
    id: 'd6.experts',
    group,
    source: 'D6',
    claim: 'routed experts of a GPU, prefill EP32 and decode EP144, 32 redundant',
    formula: '(256 + 32) / 32; / 144',
    basis: numbers(
      { name: 'prefill', said: '9', unit: '', ours: expertsOf(daySix.prefillGpus) },
      { name: 'decode', said: '2', unit: '', ours: expertsOf(daySix.decodeGpus) },
    ),
  },
];

function expertsOf(numGpus: number): number {
  return (deepseekV3.nRoutedExperts + daySix.redundantExperts) / numGpus;
}

/** One MoE layer of the profile: 4,096 tokens, milliseconds as read off the trace. */
const profile = { tokens: 4096, pair: 129.0, layers: 4, routed: 5.73, attention: [1.237, 3.78] };

const { numAttentionHeads: heads, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = deepseekV3;
const keyWidth = qkNopeHeadDim + qkRopeHeadDim;
const pairs = profile.tokens ** 2 / 2;
const expert = 3 * deepseekV3.hiddenSize * deepseekV3.moeIntermediateSize;
/** Forward and the gradient of its input. */
const routedFlops = 2 * 2 * profile.tokens * deepseekV3.numExpertsPerTok * expert;
const forwardFlops = 2 * pairs * heads * (keyWidth + vHeadDim);
/** Scores made again, then dV, dP, dQ and dK. */
const backwardFlops = 2 * pairs * heads * (3 * keyWidth + 2 * vHeadDim);
const [forwardMs = 0, backwardMs = 0] = profile.attention;

const profiled: readonly Figure[] = [
  {
    id: 'pf.layer',
    group,
    source: 'PROFILE',
    claim: 'one layer of the overlapped pair of four',
    formula: '129.0 ms / 4',
    basis: numbers({ said: '32.3', unit: 'ms', ours: profile.pair / profile.layers }),
  },
  {
    id: 'pf.routed',
    group,
    source: 'PROFILE',
    claim: 'routed experts, forward and input gradient of a layer in 5.73 ms',
    formula: '2 · 2 · 4,096 · 8 · 3·H·F / 5.73 ms',
    basis: numbers({ said: '1007', unit: 'TF', ours: routedFlops / profile.routed / 1e9 }),
  },
  {
    id: 'pf.attention',
    group,
    source: 'PROFILE',
    claim: 'attention of a layer, forward in 1.237 ms, backward in 3.78 ms',
    formula: '2 · S²/2 · h · (320; 3 · 192 + 2 · 128) / ms',
    basis: numbers(
      {
        name: 'forward',
        said: '555',
        unit: 'TF',
        ours: forwardFlops / forwardMs / 1e9,
        reading: { kind: 'cut' },
      },
      { name: 'backward', said: '473', unit: 'TF', ours: backwardFlops / backwardMs / 1e9 },
    ),
  },
];

const smClock = 1600e6;
const kernelCeiling = 4096 * 132 * smClock;
const cacheRow = deepseekV3.kvLoraRank + 4 * 4 + 2 * deepseekV3.qkRopeHeadDim;
const perLayer = kvBytesPerToken({ ...deepseekV3, numHiddenLayers: 1, firstKDenseReplace: 0 });

const kernels: readonly Figure[] = [
  {
    id: 'mla.ceiling',
    group,
    source: 'FLASHMLA',
    claim: 'practical ceiling of the H800 at 1,600 MHz',
    formula: '4,096 FLOP · 132 SMs · 1.6 GHz',
    basis: numbers({ said: '865', unit: 'TF', ours: kernelCeiling / 1e12 }),
  },
  {
    id: 'mla.intensity',
    group,
    source: 'FLASHMLA',
    claim: 'heads · queries from which decoding is bound by computing',
    formula: 'ceiling / 3.35 TB/s / 2 FLOP per byte',
    basis: numbers({
      said: '128',
      unit: '',
      ours: kernelCeiling / chips.h800MemoryBytesPerSecond / 2,
      reading: { kind: 'within', share: 0.02, because: 'a power of two near the ridge' },
    }),
  },
  {
    id: 'mla.fp8-cache',
    group,
    source: 'FLASHMLA',
    claim: 'cache per token and layer, FP8 and BF16',
    formula: '512 + 4 scales · 4 B + 64 · 2 B; (512 + 64) · 2 B',
    basis: numbers(
      { name: 'FP8', said: '656', unit: 'B', ours: cacheRow },
      { name: 'BF16', said: '1152', unit: 'B', ours: perLayer },
    ),
  },
  {
    id: 'mla.request',
    group,
    source: 'FLASHMLA',
    claim: 'cache of a request of 128K tokens in 62 layers, BF16',
    formula: '1,152 B · 62 · 131,072',
    basis: numbers({ said: '8.72', unit: 'GiB', ours: (perLayer * 62 * 131_072) / 2 ** 30 }),
    note: '62 layers: the 61 and MTP’s',
  },
  {
    id: 'gemm.share',
    group,
    source: 'DEEPGEMM',
    claim: 'share of the FP8 peak at 1,550 TFLOPS',
    formula: '1550 / 1979',
    basis: numbers({ said: '78', unit: '%', ours: (100 * 1550e12) / chips.h100.fp8Flops }),
  },
];

export const systems: readonly Figure[] = [...service, ...profiled, ...kernels, ...kernelTables];
