/** Where the time goes, operation by operation, each against the limit of the same run. */
import { formatPercent } from '../../base/units.ts';
import type { OperationProfile, OperationTotals } from '../../runtime/profileOperations.ts';
import { formatTable } from '../output.ts';
import type { Limits } from './machineLimits.ts';

export interface OperationFigures extends OperationTotals {
  /** Of the passes' seconds. */
  readonly shareOfTime: number;
  /** Least possible seconds (FLOPs at the peak or bytes at the read speed) over measured ones. */
  readonly shareOfLimit: number | null;
  readonly bound: 'multiply-adds' | 'memory' | null;
}

/** What lies between operations comes last: our own code, and the clocks around each call. */
export function operationFigures(
  profile: OperationProfile,
  limits: Limits | null,
): OperationFigures[] {
  const { seconds: all, totals } = profile;
  const between = all - totals.reduce((sum, { seconds }) => sum + seconds, 0);
  const rest = { operation: BETWEEN, calls: 0, seconds: between, flops: 0, bytes: 0 };
  return [...totals, rest].map((each) => {
    const shareOfTime = each.seconds / all;
    if (limits === null || each === rest) {
      return { ...each, shareOfTime, shareOfLimit: null, bound: null };
    }
    const compute = each.flops / (limits.fmaPeakGflops * 1e9);
    const memory = each.bytes / (limits.readGigabytesPerSecond * 1e9);
    return {
      ...each,
      shareOfTime,
      shareOfLimit: Math.max(compute, memory) / each.seconds,
      bound: compute > memory ? 'multiply-adds' : 'memory',
    };
  });
}

const BETWEEN = 'between operations';

export function operationTable(figures: readonly OperationFigures[]): string {
  const header = ['operation', 'calls', 'ms', 'of time', 'GFLOP/s', 'GB/s', 'of limit', 'bound'];
  const rows = figures.map((each) => [
    each.operation,
    each.calls,
    (each.seconds * 1e3).toFixed(2),
    formatPercent(each.shareOfTime),
    (each.flops / each.seconds / 1e9).toFixed(1),
    (each.bytes / each.seconds / 1e9).toFixed(1),
    each.shareOfLimit === null ? '–' : formatPercent(each.shareOfLimit, 0),
    each.bound ?? '–',
  ]);
  return formatTable(rows, header);
}
