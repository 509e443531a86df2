/**
 * Random searches of moderate size, and whether the cheap model's favourites hold the plan that the
 * full simulation ranks first when it is given all of them.
 */
import { at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import type { PlannedModel } from '../../src/config/gqaModelConfig.ts';
import type { NamedRecompute } from '../../src/config/parallelPlan.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import { PriceBook } from '../../src/planner/priceBook.ts';
import { CheapModel } from '../../src/planner/search/cheapModel.ts';
import { evaluatePlan, plansOn } from '../../src/planner/search/evaluatePlan.ts';
import { labelOf } from '../../src/planner/search/searchPlans.ts';
import type { SearchRequest } from '../../src/planner/search/searchRequest.ts';
import { simulatePlan } from '../../src/planner/simulatePlan.ts';

export interface RankingCheck {
  /** Plans that fit; all of them were simulated. */
  readonly numPlans: number;
  /** The place, from 0, at which the cheap model has the plan that is simulated fastest. */
  readonly place: number;
  /** The fastest of the cheap model's ten over the fastest of all, minus one. */
  readonly loss: number;
  /** Root of the mean square of the cheap model's relative error. */
  readonly error: number;
  readonly what: string;
}

export type CaseSize = 'small' | 'moderate';

/** Models of 4 to 28 layers, dense or with 8 to 64 experts, on 8 to 64 GPUs of five kinds. */
export function randomRequest(seed: number, size: CaseSize = 'moderate'): SearchRequest {
  const random = new Random(seed, 'search');
  const pick = <T>(values: readonly T[]): T => at(values, random.integer(values.length));
  const kind = pick(['h800', 'h100', 'a100', 'h20', 'mi300x']);
  const numGpus = pick(size === 'small' ? [4, 8, 8, 16] : [8, 16, 16, 32, 32, 64]);
  const hasFp8 = kind !== 'a100' && kind !== 'mi300x';
  return {
    model: pick([latentModel, latentModel, groupedModel])(pick),
    cluster: findCluster(`${kind}x${numGpus}`),
    globalBatch: pick(size === 'small' ? [32, 48, 64] : [32, 64, 96, 128, 256]),
    sequenceLength: pick([1024, 2048, 4096]),
    precision: hasFp8 ? pick(['fp8', 'bf16'] as const) : 'bf16',
    mtp: pick([true, false]),
    totalTokens: null,
    microBatchSizes: pick(size === 'small' ? [[1], [2]] : [[1], [2], [1, 2]]),
    recomputes: pick<readonly NamedRecompute[]>(size === 'small' ? SINGLE : SEVERAL),
  };
}

const SINGLE: readonly (readonly NamedRecompute[])[] = [['none'], ['swiglu'], ['norm'], ['full']];
const SEVERAL: readonly (readonly NamedRecompute[])[] = [
  ['none'],
  ['swiglu'],
  ['none', 'v3'],
  ['norm', 'full'],
];

type Pick = <T>(values: readonly T[]) => T;

function latentModel(pick: Pick): PlannedModel {
  const numExperts = pick([0, 8, 16, 32, 64]);
  const numHiddenLayers = pick([4, 6, 9, 12, 16, 21, 28]);
  return {
    ...deepseekV3,
    numHiddenLayers,
    firstKDenseReplace: numExperts === 0 ? numHiddenLayers : pick([0, 1, 3]),
    hiddenSize: pick([1024, 2048, 4096]),
    intermediateSize: pick([4096, 8192, 12288]),
    moeIntermediateSize: pick([512, 1024, 2048]),
    numAttentionHeads: pick([16, 32, 64]),
    qLoraRank: pick([null, 768]),
    kvLoraRank: pick([256, 512]),
    vocabSize: pick([32000, 102400]),
    nRoutedExperts: numExperts,
    nSharedExperts: numExperts === 0 ? 0 : pick([0, 1, 2]),
    numExpertsPerTok: numExperts === 0 ? 0 : pick([2, 4, 8]),
    nGroup: 1,
    topkGroup: 1,
  };
}

function groupedModel(pick: Pick): PlannedModel {
  const headDim = 128;
  const numAttentionHeads = pick([16, 32]);
  return {
    modelType: 'gqa',
    vocabSize: pick([32000, 128256]),
    hiddenSize: headDim * numAttentionHeads,
    intermediateSize: pick([8192, 14336]),
    numHiddenLayers: pick([8, 12, 16, 24]),
    numAttentionHeads,
    numKeyValueHeads: pick([4, 8]),
    headDim,
    nRoutedExperts: 0,
    nSharedExperts: 0,
    numExpertsPerTok: 0,
    moeIntermediateSize: 0,
    firstKDenseReplace: 0,
    tieWordEmbeddings: false,
    maxPositionEmbeddings: 8192,
  };
}

/** Null where nothing fits. */
export function checkRanking(seed: number, size: CaseSize): RankingCheck | null {
  const request = randomRequest(seed, size);
  const { model, cluster } = request;
  const book = new PriceBook({ model, cluster });
  const cheap = new CheapModel(book);
  const fitting = plansOn(request, cluster)
    .map((plan) => evaluatePlan(cheap, plan))
    .filter(({ overBytes }) => overBytes <= 0)
    .sort((a, b) => a.cheapSeconds - b.cheapSeconds);
  if (fitting.length === 0) return null;
  const seconds = fitting.map(
    ({ plan }) => simulatePlan({ model, plan, cluster, book }).step.seconds,
  );
  const best = Math.min(...seconds);
  const squares = fitting.map(({ cheapSeconds }, i) => (cheapSeconds / at(seconds, i) - 1) ** 2);
  // Plans may tie: one bit of a sum decides nothing.
  const place = seconds.findIndex((each) => each <= best * (1 + 1e-9));
  return {
    numPlans: fitting.length,
    place,
    loss: Math.min(...seconds.slice(0, 10)) / best - 1,
    error: Math.sqrt(squares.reduce((sum, each) => sum + each, 0) / squares.length),
    what: `${model.modelType} on ${cluster.name}: ${labelOf(at(fitting, place).plan)}`,
  };
}
