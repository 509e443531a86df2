/** The command that gives the same plan again: what was typed, and what was chosen by default. */
import { formatLayout } from '../../config/parallelPlan.ts';
import { quoteForShell } from '../exports/engineArguments.ts';
import type { PlanReport } from '../planReport.ts';
import { isSearch, type SearchOptions } from './searchSubject.ts';

interface AskedPlan extends SearchOptions {
  readonly calibration?: string;
  readonly idea?: readonly string[];
  readonly ideas?: boolean;
  readonly expertLoads?: readonly number[];
}

/** @param typed everything that was said and bears on the plan's numbers */
export function againCommand(
  typed: AskedPlan,
  { plan, numGpus }: Pick<PlanReport, 'plan' | 'numGpus'>,
): string {
  const { layout, schedule, microBatchSize, recompute, chunksPerRank } = plan;
  // A search may have chosen what the defaults would not.
  const isFound = isSearch(typed);
  const values: readonly (readonly [string, string | number | undefined])[] = [
    ['--model', typed.model],
    ['--cluster', typed.cluster],
    ['--gpus', typed.gpus === undefined ? undefined : numGpus],
    ['--layout', formatLayout(layout)],
    ['--schedule', schedule],
    ['--chunks', schedule === 'interleaved-1f1b' ? chunksPerRank : undefined],
    ['--global-batch', typed.globalBatch],
    ['--micro-batch', isFound ? microBatchSize : typed.microBatch],
    ['--sequence-length', typed.sequenceLength],
    ['--precision', typed.precision],
    ['--recompute', isFound ? recompute : typed.recompute],
    ['--tokens', typed.tokens],
    ['--imbalance', typed.imbalance],
    ...(typed.whatIf ?? []).map((setting) => ['--what-if', setting] as const),
    ...(typed.idea ?? []).map((name) => ['--idea', name] as const),
    ['--expert-loads', typed.expertLoads?.join(',')],
    ['--calibration', typed.calibration],
  ];
  const words = values.flatMap(([name, value]) =>
    value === undefined ? [] : [name, quoteForShell(String(value))],
  );
  const switches = [
    ...(typed.ideas === true ? ['--ideas'] : []),
    ...(typed.mtp ? [] : ['--no-mtp']),
  ];
  return ['npx moebius plan train', ...words, ...switches].join(' ');
}
