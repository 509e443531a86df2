/**
 * Co-design the other way round: which shape of a model trains fastest on the cluster there is.
 * Every shape gets its own best plan. What a shape learns from a token is not predicted here: the
 * rows compare what a token costs, and the budget keeps sizes comparable.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from '../../config/modelCounts.ts';
import { tokensPerDay } from '../../config/runCost.ts';
import { searchPlans } from '../search/searchPlans.ts';
import type { SearchedPlan, SearchRequest } from '../search/searchRequest.ts';
import { modelShapes, type RefusedShape, type ShapeQuestion } from './modelShapes.ts';

export interface ShapeSearch extends Omit<ShapeQuestion, 'sequenceLength'> {
  /** Of plans; its model is replaced. What is not fixed is searched in a smaller space. */
  readonly search: Omit<SearchRequest, 'model'>;
}

export interface ShapeRow {
  readonly label: string;
  readonly model: ModelConfig;
  readonly totalParameters: number;
  readonly activeParameters: number;
  /** Training, causal, without MTP. */
  readonly flopsPerToken: number;
  readonly kvBytesPerToken: number;
  readonly tokensPerDay: number;
  readonly dollarsPerTrillionTokens: number;
  readonly best: SearchedPlan;
  readonly isToday: boolean;
}

export interface ShapeResult {
  /** Most tokens a day first. */
  readonly rows: readonly ShapeRow[];
  readonly refused: readonly RefusedShape[];
  readonly note: string;
}

const NOTE =
  'Quality is not predicted: what a shape learns from a token has to be measured. Rows compare ' +
  'what a token costs.';

/** Enough to find each shape's plan within a percent; a request that says more overrides it. */
const SMALL_SPACE = {
  schedules: ['1f1b', 'dualpipev'],
  microBatchSizes: [1],
  recomputes: ['none', 'v3', 'full'],
  ranges: { tp: { min: 1, max: 2 } },
  numSimulated: 5,
} as const;

/** @throws shapes.* for a question that is none; a shape without a plan is a refused row */
export function searchShapes(question: ShapeSearch): ShapeResult {
  const { search, model } = question;
  const { sequenceLength } = search;
  const { shapes, refused } = modelShapes({ ...question, sequenceLength });
  const rows: ShapeRow[] = [];
  const without: RefusedShape[] = [];
  for (const { label, model: shape } of shapes) {
    const found = bestPlan({ ...SMALL_SPACE, ...search, model: shape });
    if (typeof found === 'string') without.push({ label, why: found });
    else rows.push(shapeRow({ label, shape, best: found, search, isToday: shape === model }));
  }
  rows.sort((a, b) => b.tokensPerDay - a.tokensPerDay);
  return { rows, refused: [...refused, ...without], note: NOTE };
}

/** Or why there is none: of many shapes some fit nowhere. */
function bestPlan(request: SearchRequest): SearchedPlan | string {
  try {
    return searchPlans(request).best;
  } catch (error) {
    if (error instanceof MoebiusError && error.code.startsWith('search.')) return error.message;
    throw error;
  }
}

function shapeRow(args: {
  readonly label: string;
  readonly shape: ModelConfig;
  readonly best: SearchedPlan;
  readonly search: ShapeSearch['search'];
  readonly isToday: boolean;
}): ShapeRow {
  const { label, shape, best, search, isToday } = args;
  const { globalBatch, sequenceLength: context, totalTokens } = search;
  const tokensPerStep = globalBatch * context;
  const { stepSeconds } = best;
  return {
    label,
    model: shape,
    totalParameters: countParameters(shape).total,
    activeParameters: activeParameters(shape).withHead,
    flopsPerToken: flopsPerToken(shape, { context, causal: true, mtp: false, training: true }),
    kvBytesPerToken: kvBytesPerToken(shape),
    tokensPerDay: tokensPerDay({ tokensPerStep, stepSeconds }),
    dollarsPerTrillionTokens: (best.dollars / (totalTokens ?? tokensPerStep)) * 1e12,
    best,
    isToday,
  };
}
