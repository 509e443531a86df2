/** `moebius plan shapes`: neighbours of a model under a budget, each with its best plan. */
import { MoebiusError } from '../../base/errors.ts';
import { isGqa } from '../../config/gqaModelConfig.ts';
import { chosenSizes, type PlanOptions } from '../../planner/request/planRequest.ts';
import { shapesSection } from '../../planner/search/searchSections.ts';
import { parseShapeValues, type ShapeBudget } from '../../planner/shapes/modelShapes.ts';
import { searchShapes } from '../../planner/shapes/searchShapes.ts';
import { parsePartialLayout } from '../../policy/plan/layoutRanges.ts';
import { note, printResult } from '../output.ts';
import { formatSections } from '../plan/printPlan.ts';
import { resolveSubject } from '../plan/resolvePlan.ts';

export interface PlanShapesOptions extends PlanOptions {
  readonly vary?: readonly string[];
  readonly combine?: boolean;
  readonly budget: string;
  readonly tolerance: number;
  readonly json?: boolean;
}

const budgets: Readonly<Record<string, ShapeBudget['of']>> = {
  total: 'totalParameters',
  active: 'activeParameters',
  flops: 'flopsPerToken',
};

export async function planShapes(options: PlanShapesOptions): Promise<void> {
  const subject = await resolveSubject(options);
  const { model, cluster, totalTokens, imbalance } = subject;
  if (isGqa(model)) {
    throw new MoebiusError('shapes.model', `${subject.modelName} is not of V3's architecture`, {
      values: { model: subject.modelName },
      hint: 'Shapes vary experts and latents: name a DeepSeek, Moonlight or Kimi model.',
    });
  }
  const of = budgets[options.budget];
  if (of === undefined) {
    throw new MoebiusError('shapes.budget', `there is no budget of "${options.budget}"`, {
      values: { budget: options.budget },
      hint: 'Use total or active (parameters), or flops (to train a token).',
    });
  }
  const { schedule, recompute, ...sizes } = chosenSizes(subject, options);
  const { microBatch, gpus } = options;
  note('searching a plan for every shape …');
  const result = searchShapes({
    model,
    budget: { of, tolerance: options.tolerance },
    ...(options.vary === undefined ? {} : { values: parseShapeValues(options.vary) }),
    ...(options.combine === true ? { vary: 'all' } : {}),
    search: {
      ...{ cluster, totalTokens },
      ...parsePartialLayout(options.layout ?? ''),
      ...sizes,
      ...(imbalance === undefined ? {} : { imbalance }),
      ...(gpus === undefined ? {} : { gpuCounts: gpus }),
      ...(schedule === undefined ? {} : { schedules: [schedule] }),
      ...(recompute === undefined ? {} : { recomputes: [recompute] }),
      ...(microBatch === undefined ? {} : { microBatchSizes: [microBatch] }),
    },
  });
  printResult(options, {
    table: formatSections([shapesSection(result)]),
    json: { ...result },
  });
}
