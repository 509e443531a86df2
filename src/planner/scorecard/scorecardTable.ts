/** The scorecard in words and columns, for a terminal, for a page and for programs. */
import { formatPercent } from '../../base/units.ts';
import { formatLayout } from '../../config/parallelPlan.ts';
import { formatDifference, formatError } from '../quantities.ts';
import { misses } from './misses.ts';
import type { GroupScore, Score } from './score.ts';

export const SCORE_HEADER: readonly string[] = [
  'run',
  'predicted s',
  'bar',
  'measured s',
  'error',
  'inside',
];

export function scoreCells(score: Score): readonly string[] {
  const { run, predictedSeconds, measuredSeconds, isInside } = score;
  return [
    run.name,
    seconds(predictedSeconds),
    formatError(score.errorBar),
    seconds(measuredSeconds),
    formatDifference(predictedSeconds, measuredSeconds),
    isInside ? 'yes' : 'no',
  ];
}

function seconds(value: number): string {
  return value.toPrecision(value >= 1000 ? 4 : 3);
}

export const GROUP_HEADER: readonly string[] = [
  'group',
  'runs',
  'median error',
  'worst',
  'bias',
  'inside the bar',
];

export function groupCells({ group, count, ...of }: GroupScore): readonly string[] {
  return [
    group,
    String(count),
    formatPercent(of.median),
    formatPercent(of.worst),
    formatDifference(1 + of.bias, 1),
    formatPercent(of.shareInside, 0),
  ];
}

export interface ScoreRecord {
  readonly run: string;
  readonly layout: string;
  readonly predictedSeconds: number;
  readonly errorBar: number;
  readonly origin: string;
  readonly measuredSeconds: number;
  readonly error: number;
  readonly isInside: boolean;
  readonly source: string;
  readonly why: string | null;
}

export function scoreRecord({ run, ...score }: Score): ScoreRecord {
  return {
    run: run.name,
    layout: formatLayout(run.plan.layout),
    ...score,
    source: run.source,
    why: misses[run.name] ?? null,
  };
}
