/**
 * Group 5: models of V3's architecture, from their configs: parameters, cache and training FLOPs.
 *
 * Totals leave out MTP and, unless a claim has it, the indexer of sparse attention, whose models
 * are counted as if attention were dense.
 */
import type { ModelConfig } from '../../config/modelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from '../../config/modelCounts.ts';
import { deepseekV2, deepseekV2Lite } from '../../config/presets/deepseekV2.ts';
import { deepseekR1, deepseekV3, deepseekV31 } from '../../config/presets/deepseekV3.ts';
import { kimiK2, moonlight16bA3b } from '../../config/presets/moonshot.ts';
import { type Figure, numbers, type Quantity } from './figure.ts';

const kimiK25: ModelConfig = { ...kimiK2, maxPositionEmbeddings: 262_144, rmsNormEps: 1e-5 };

const joyaiFlash: ModelConfig = {
  ...deepseekV3,
  hiddenSize: 2048,
  intermediateSize: 7168,
  moeIntermediateSize: 768,
  numHiddenLayers: 40,
  firstKDenseReplace: 1,
  numAttentionHeads: 32,
  nGroup: 1,
  topkGroup: 1,
};

const glm5: ModelConfig = {
  ...deepseekV3,
  vocabSize: 154_880,
  hiddenSize: 6144,
  intermediateSize: 12_288,
  numHiddenLayers: 78,
  numAttentionHeads: 64,
  qLoraRank: 2048,
  qkNopeHeadDim: 192,
  vHeadDim: 256,
  nGroup: 1,
  topkGroup: 1,
};

/** Of the lightning indexer: its queries, its key, and a weight per head. */
export function indexerParameters(
  config: ModelConfig,
  { heads, headDim }: { readonly heads: number; readonly headDim: number },
): number {
  const { numHiddenLayers, hiddenSize, qLoraRank } = config;
  const queries = (qLoraRank ?? hiddenSize) * heads * headDim;
  return numHiddenLayers * (queries + hiddenSize * headDim + hiddenSize * heads);
}

interface Claim {
  readonly id: string;
  readonly name: string;
  readonly config: ModelConfig;
  /** As its makers round it. */
  readonly claimed: {
    readonly total: Omit<Quantity, 'ours' | 'name'>;
    readonly active: string;
  };
  /** Parameters that the claimed total has beside ours. */
  readonly more?: number;
  /** Billions: total, then active without embedding, with the head, with both. */
  readonly parameters: readonly [string, string, string, string];
  readonly cacheBytes: string;
  readonly gigaflops: string;
  readonly note?: string;
}

const billions = (said: string): Omit<Quantity, 'ours' | 'name'> => ({ said, unit: 'B' });
const v3Claim = {
  claimed: { total: billions('671'), active: '37' },
  parameters: ['671.026', '35.699', '36.626', '37.552'],
  cacheBytes: '70272',
  gigaflops: '249.811',
} as const;
const k2Claim = {
  claimed: { total: { said: '1', unit: 'T' }, active: '32' },
  parameters: ['1026.408', '30.513', '31.687', '32.861'],
  cacheBytes: '70272',
  gigaflops: '204.477',
} as const;

const joyTotals = countParameters(joyaiFlash);

const claims: readonly Claim[] = [
  { id: 'deepseek-v3', name: 'DeepSeek-V3', config: deepseekV3, ...v3Claim },
  { id: 'deepseek-r1', name: 'DeepSeek-R1', config: deepseekR1, ...v3Claim },
  { id: 'deepseek-v3.1', name: 'DeepSeek-V3.1', config: deepseekV31, ...v3Claim },
  {
    id: 'deepseek-v3.2',
    name: 'DeepSeek-V3.2',
    config: deepseekV3,
    ...v3Claim,
    note: 'attention counted as dense, the indexer (0.852 B) left out',
  },
  {
    id: 'deepseek-v2',
    name: 'DeepSeek-V2',
    config: deepseekV2,
    claimed: { total: billions('236'), active: '21' },
    parameters: ['235.741', '20.327', '20.852', '21.376'],
    cacheBytes: '69120',
    gigaflops: '155.014',
  },
  {
    id: 'deepseek-v2-lite',
    name: 'DeepSeek-V2-Lite',
    config: deepseekV2Lite,
    claimed: { total: billions('15.7'), active: '2.4' },
    parameters: ['15.706', '2.242', '2.451', '2.661'],
    cacheBytes: '31104',
    gigaflops: '16.386',
  },
  {
    id: 'moonlight-16b-a3b',
    name: 'Moonlight-16B-A3B',
    config: moonlight16bA3b,
    claimed: { total: billions('16'), active: '3' },
    parameters: ['15.960', '2.244', '2.579', '2.915'],
    cacheBytes: '31104',
    gigaflops: '17.153',
  },
  { id: 'kimi-k2', name: 'Kimi-K2', config: kimiK2, ...k2Claim },
  { id: 'kimi-k2.5', name: 'Kimi-K2.5 (text)', config: kimiK25, ...k2Claim },
  {
    id: 'joyai-llm-flash',
    name: 'JoyAI-LLM-Flash',
    config: joyaiFlash,
    claimed: {
      total: {
        ...billions('48'),
        slip: {
          name: 'embedding and head left out',
          value: (joyTotals.total - joyTotals.embedding - joyTotals.head) / 1e9,
        },
      },
      active: '3',
    },
    parameters: ['48.943', '2.775', '3.040', '3.304'],
    cacheBytes: '46080',
    gigaflops: '23.146',
  },
  {
    id: 'glm-5',
    name: 'GLM-5',
    config: glm5,
    claimed: { total: billions('744'), active: '40' },
    more: indexerParameters(glm5, { heads: 32, headDim: 128 }),
    parameters: ['743.180', '39.151', '40.102', '41.054'],
    cacheBytes: '89856',
    gigaflops: '271.305',
    note: 'the claimed total has the indexer (0.731 B); attention counted as dense',
  },
];

function claimedFigure({ id, name, config, claimed, more = 0, note }: Claim): Figure {
  const { withoutEmbedding, withHead, withEmbeddingAndHead } = activeParameters(config);
  const total = countParameters(config).total + more;
  return {
    id: `m.${id}.claimed`,
    group: 5,
    source: 'model card',
    claim: `${name}: parameters, total and active`,
    formula: 'sum over modules; active between without embedding and with both',
    basis: numbers(
      { name: 'total', ...claimed.total, ours: total / (claimed.total.unit === 'T' ? 1e12 : 1e9) },
      {
        name: 'active',
        said: claimed.active,
        unit: 'B',
        ours: withHead / 1e9,
        reading: {
          kind: 'between',
          low: withoutEmbedding / 1e9,
          high: withEmbeddingAndHead / 1e9,
        },
      },
    ),
    ...(note === undefined ? {} : { note }),
  };
}

function derivedFigure({ id, name, config, parameters, cacheBytes, gigaflops }: Claim): Figure {
  const active = activeParameters(config);
  const training = { context: 4096, causal: true, mtp: false, training: true };
  const [total, without, head, both] = parameters;
  const size = (said: string, of: number): Quantity => ({ said, unit: 'B', ours: of / 1e9 });
  return {
    id: `m.${id}.derived`,
    group: 5,
    source: 'config.json',
    claim: `${name}: total, active (no embedding, head, both), cache, FLOPs`,
    formula: 'sums over modules; BF16 cache; 3 · modules at 4,096, causal',
    basis: numbers(
      { name: 'total', ...size(total, countParameters(config).total) },
      { name: 'active', ...size(without, active.withoutEmbedding) },
      { name: 'head', ...size(head, active.withHead) },
      { name: 'both', ...size(both, active.withEmbeddingAndHead) },
      { name: 'cache', said: cacheBytes, unit: 'B/tok', ours: kvBytesPerToken(config) },
      {
        name: 'FLOPs',
        said: gigaflops,
        unit: 'G/tok',
        ours: flopsPerToken(config, training) / 1e9,
      },
    ),
  };
}

const moonlight = countParameters(moonlight16bA3b);

const others: readonly Figure[] = [
  {
    id: 'm.moonlight-16b-a3b.without',
    group: 5,
    source: 'MOONLIGHT',
    claim: 'Moonlight-16B-A3B without embeddings: total and active',
    formula: 'sum over modules less embedding and head',
    basis: numbers(
      {
        name: 'total',
        said: '15.29',
        unit: 'B',
        ours: (moonlight.total - moonlight.embedding - moonlight.head) / 1e9,
      },
      {
        name: 'active',
        said: '2.24',
        unit: 'B',
        ours: activeParameters(moonlight16bA3b).withoutEmbedding / 1e9,
      },
    ),
  },
  {
    id: 'm.indexers',
    group: 5,
    source: 'config.json',
    claim: 'indexers of V3.2 and GLM-5',
    formula: 'L · (q·h·d + H·d + H·h)',
    basis: numbers(
      {
        name: 'V3.2',
        said: '0.85',
        unit: 'B',
        ours: indexerParameters(deepseekV3, { heads: 64, headDim: 128 }) / 1e9,
      },
      {
        name: 'GLM-5',
        said: '0.73',
        unit: 'B',
        ours: indexerParameters(glm5, { heads: 32, headDim: 128 }) / 1e9,
      },
    ),
  },
];

export const models: readonly Figure[] = [
  ...claims.map(claimedFigure),
  ...others,
  ...claims.map(derivedFigure),
];
