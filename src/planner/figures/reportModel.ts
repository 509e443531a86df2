/** Group 2: what the V3 report, its config and its weights' README say the model is made of. */
import { countMoeLayers } from '../../config/flops.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from '../../config/modelCounts.ts';
import { deepseekV2 } from '../../config/presets/deepseekV2.ts';
import { deepseekV3, yarn40 } from '../../config/presets/deepseekV3.ts';
import { deepseek_67b } from '../../config/presets/dense.ts';
import { v2Report } from './facts.ts';
import { type Figure, numbers } from './figure.ts';

const group = 2;
const v3 = deepseekV3;
const counts = countParameters(v3);
const active = activeParameters(v3);
const numMoe = countMoeLayers(v3, { from: 0, to: v3.numHiddenLayers });
const training = { context: 4096, mtp: false, training: true };
const gigaflops = (causal: boolean): number => flopsPerToken(v3, { ...training, causal }) / 1e9;

/** Of one expert, and of what an MTP module has beside its experts that are not chosen. */
const expert = 3 * v3.hiddenSize * v3.moeIntermediateSize;
const idle = (v3.nRoutedExperts - v3.numExpertsPerTok) * expert;
const projection = 2 * v3.hiddenSize ** 2;
const activeMtp = counts.mtp - idle;

/** cos and sin are scaled by it (report 4.3). */
const yarnScale = 0.1 * Math.log(yarn40.factor) + 1;

const v2CacheBytes = (kvBytesPerToken(deepseekV2, 1) * v2Report.cacheBits) / 8;

const shape: readonly Figure[] = [
  {
    id: 'v3.arch',
    group,
    source: 'V3 s4.2',
    claim: 'layers, of them dense, hidden size, heads, widths of a head',
    formula: 'preset; 61 − 58 with experts',
    basis: numbers(
      { name: 'layers', said: '61', unit: '', ours: v3.numHiddenLayers },
      { name: 'dense', said: '3', unit: '', ours: v3.numHiddenLayers - numMoe },
      { name: 'hidden', said: '7168', unit: '', ours: v3.hiddenSize },
      { name: 'heads', said: '128', unit: '', ours: v3.numAttentionHeads },
      { name: 'nope', said: '128', unit: '', ours: v3.qkNopeHeadDim },
      { name: 'rope', said: '64', unit: '', ours: v3.qkRopeHeadDim },
      { name: 'value', said: '128', unit: '', ours: v3.vHeadDim },
    ),
  },
  {
    id: 'v3.widths',
    group,
    source: 'V3 s4.2',
    claim: 'latents of KV and query, dense and expert MLP',
    formula: 'preset',
    basis: numbers(
      { name: 'KV', said: '512', unit: '', ours: v3.kvLoraRank },
      { name: 'query', said: '1536', unit: '', ours: v3.qLoraRank ?? 0 },
      { name: 'dense', said: '18432', unit: '', ours: v3.intermediateSize },
      { name: 'expert', said: '2048', unit: '', ours: v3.moeIntermediateSize },
    ),
  },
  {
    id: 'v3.nodelimit',
    group,
    source: 'V3 s2.1.2',
    claim: 'nodes per token at most, of, and scores summed in each',
    formula: 'preset; K / M = 8 / 4',
    basis: numbers(
      { said: '4', unit: '', ours: v3.topkGroup },
      { name: 'of', said: '8', unit: '', ours: v3.nGroup },
      { name: 'scores', said: '2', unit: '', ours: v3.numExpertsPerTok / v3.topkGroup },
    ),
  },
  {
    id: 'v3.vocab',
    group,
    source: 'V3 s4.1',
    claim: 'vocabulary',
    formula: 'config.json: 129,280 rows',
    basis: numbers({
      said: '128',
      unit: 'K',
      ours: v3.vocabSize / 1000,
      reading: { kind: 'within', share: 0.015, because: 'the rows are padded' },
    }),
  },
  {
    id: 'v3.parameters',
    group,
    source: 'V3',
    claim: 'parameters, total and active',
    formula: 'sum over modules; active with the head',
    basis: numbers(
      { name: 'total', said: '671', unit: 'B', ours: counts.total / 1e9 },
      { name: 'active', said: '37', unit: 'B', ours: active.withHead / 1e9 },
    ),
  },
  {
    id: 'v3.yarn',
    group,
    source: 'V3 s4.3',
    claim: 'YaRN’s √t at s = 40, and t',
    formula: '0.1 ln s + 1',
    basis: numbers(
      { name: '√t', said: '1.36889', unit: '', ours: yarnScale },
      { name: 't', said: '1.87385', unit: '', ours: yarnScale ** 2 },
    ),
  },
];

const derived: readonly Figure[] = [
  {
    id: 'd.attention',
    group,
    source: 'config.json',
    claim: 'MLA parameters per layer',
    formula: 'H·q + q·h(n+p) + H(c+p) + c·h(n+v) + h·v·H',
    basis: numbers({
      said: '187,105,280',
      unit: '',
      ours: counts.attention / v3.numHiddenLayers,
    }),
  },
  {
    id: 'd.total',
    group,
    source: 'config.json',
    claim: 'parameters of the main model, and its gates’ biases',
    formula: 'sum over modules; 58 · 256',
    basis: numbers(
      { name: 'total', said: '671,026,404,352', unit: '', ours: counts.total },
      { name: 'biases', said: '14,848', unit: '', ours: counts.routerBias },
    ),
  },
  {
    id: 'd.active',
    group,
    source: 'config.json',
    claim: 'active: without embedding, with the head, with both',
    formula: 'sum over modules, 8 + 1 experts per layer',
    basis: numbers(
      { name: 'neither', said: '35.699', unit: 'B', ours: active.withoutEmbedding / 1e9 },
      { name: 'head', said: '36.626', unit: 'B', ours: active.withHead / 1e9 },
      { name: 'both', said: '37.552', unit: 'B', ours: active.withEmbeddingAndHead / 1e9 },
    ),
  },
  {
    id: 'd.mtp',
    group,
    source: 'config.json',
    claim: 'MTP: parameters of its own, without its projection, active',
    formula: 'a block, 2 H·H, norms; 8 of 256 experts',
    basis: numbers(
      { name: 'own', said: '11.610', unit: 'B', ours: counts.mtp / 1e9 },
      { name: 'less 2d→d', said: '11.507', unit: 'B', ours: (counts.mtp - projection) / 1e9 },
      { name: 'active', said: '0.688', unit: 'B', ours: activeMtp / 1e9 },
    ),
  },
  {
    id: 'd.checkpoint',
    group,
    source: 'HF page',
    claim: 'parameters of the published checkpoint',
    formula: 'main + MTP + its copies of embedding and head',
    basis: numbers({
      said: '684.5',
      unit: 'B',
      ours: (counts.total + counts.mtp + counts.embedding + counts.head) / 1e9,
    }),
  },
  {
    id: 'd.readme-mtp',
    group,
    source: 'DEMO README',
    claim: 'parameters of the MTP module',
    formula: 'block + projection + norms, embedding and head shared',
    basis: numbers({
      said: '14',
      unit: 'B',
      ours: counts.mtp / 1e9,
      slip: {
        name: 'the shared embedding and head counted, by rounded totals (685 − 671)',
        value: 685 - 671,
      },
    }),
  },
  {
    id: 'd.readme-active',
    group,
    source: 'DEMO README',
    claim: 'active parameters, with 0.9 B of embedding and 0.9 B of head',
    formula: 'sum over modules',
    basis: numbers({ said: '36.7', unit: 'B', ours: active.withEmbeddingAndHead / 1e9 }),
    note: '36.63 B with the head alone',
  },
  {
    id: 'd.readme-active-mtp',
    group,
    source: 'DEMO README',
    claim: 'active parameters of MTP, with embedding and head',
    formula: 'active block + projection + embedding + head',
    basis: numbers({
      said: '2.4',
      unit: 'B',
      ours: (activeMtp + counts.embedding + counts.head) / 1e9,
      slip: {
        name: 'its projection 2d→d left out',
        value: (activeMtp - projection + counts.embedding + counts.head) / 1e9,
      },
    }),
  },
  {
    id: 'd.readme-newer',
    group,
    source: 'HF README',
    claim: 'active parameters with the head, and of MTP',
    formula: 'sum over modules',
    basis: numbers(
      { name: 'main', said: '36.6', unit: 'B', ours: active.withHead / 1e9 },
      {
        name: 'MTP',
        said: '1.5',
        unit: 'B',
        ours: (activeMtp + counts.head) / 1e9,
        slip: {
          name: 'its projection 2d→d left out',
          value: (activeMtp - projection + counts.head) / 1e9,
        },
      },
    ),
  },
  {
    id: 'd.flop',
    group,
    source: 'formula',
    claim: 'training FLOPs per token at 4,096, causal and not',
    formula: '6 · (active − embedding − gates − gains) + 6·S·h(n+p+v)·L (/ 2 causal)',
    basis: numbers(
      { name: 'causal', said: '249.81', unit: 'G', ours: gigaflops(true) },
      { name: 'non-causal', said: '280.51', unit: 'G', ours: gigaflops(false) },
    ),
  },
];

const secondVersion: readonly Figure[] = [
  {
    id: 'v2.kv',
    group,
    source: 'V2',
    claim: 'KV cache saved against DeepSeek-67B',
    formula: '1 − V2 (c + p)·L·6 bits / (2·g·d·L·16 bits)',
    basis: numbers({
      said: '93.3',
      unit: '%',
      ours: 100 * (1 - v2CacheBytes / kvBytesPerToken(deepseek_67b)),
    }),
    note: '82.2 % in BF16',
  },
  {
    id: 'v2.cost',
    group,
    source: 'V2',
    claim: 'GPU-hours per 1T tokens saved against DeepSeek-67B',
    formula: '1 − 172.8K / 300.6K',
    basis: numbers({
      said: '42.5',
      unit: '%',
      ours: 100 * (1 - v2Report.gpuHoursPerTrillion / v2Report.denseGpuHoursPerTrillion),
    }),
  },
  ...[['warm-up', 1000, 16, '2.1'] as const, ['sparse stage', 15_000, 480, '943.7'] as const].map(
    ([name, steps, sequences, said]): Figure => ({
      id: `v32.${name.replace(' ', '-')}`,
      group,
      source: 'V32',
      claim: `tokens of V3.2-Exp’s ${name}`,
      formula: `${steps} steps · ${sequences} · 128K`,
      basis: numbers({ said, unit: 'B', ours: (steps * sequences * 131_072) / 1e9 }),
    }),
  ),
];

export const reportModel: readonly Figure[] = [...shape, ...derived, ...secondVersion];
