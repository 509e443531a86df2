/**
 * Step times that others measured on the very plan that is asked for: shown beside ours, never used
 * for it.
 */
import { formatLayout, type TrainingPlan } from '../config/parallelPlan.ts';
import type { PublishedRows } from './planExtras.ts';

interface PublishedStep extends PublishedRows {
  readonly model: string;
  readonly cluster: string;
  readonly layout: string;
  readonly plan: Pick<
    TrainingPlan,
    'schedule' | 'globalBatch' | 'microBatchSize' | 'sequenceLength' | 'precision' | 'mtp'
  >;
}

const v3Plan: Pick<PublishedStep, 'layout' | 'plan'> = {
  layout: 'pp16,ep64,dp128,zero1',
  plan: {
    schedule: 'dualpipe',
    globalBatch: 15360,
    microBatchSize: 1,
    sequenceLength: 4096,
    precision: 'fp8',
    mtp: true,
  },
};

const published: readonly PublishedStep[] = [
  {
    model: 'deepseek-v3',
    cluster: 'h800x2048',
    ...v3Plan,
    from: 'ISCA 2025, table 4, MPFT',
    stepSeconds: 19.926,
    phases: { '1F': 1.13, bubble: 2.06, '1B': 1.99, '1W': 0.48, '1F1B': 13.95, optimizer: 0.29 },
  },
  {
    model: 'deepseek-v3',
    cluster: 'h800x2048-mrft',
    ...v3Plan,
    from: 'ISCA 2025, table 4, MRFT',
    stepSeconds: 19.946,
    phases: { '1F': 1.13, bubble: 2.03, '1B': 1.99, '1W': 0.48, '1F1B': 14.0, optimizer: 0.31 },
  },
];

export function publishedRowsOf(
  model: string,
  cluster: string,
  plan: TrainingPlan,
): PublishedRows | null {
  const found = published.find(
    (row) =>
      row.model === model &&
      row.cluster === cluster &&
      row.layout === formatLayout(plan.layout) &&
      Object.entries(row.plan).every(
        ([key, value]) => plan[key as keyof typeof row.plan] === value,
      ),
  );
  return found ?? null;
}
