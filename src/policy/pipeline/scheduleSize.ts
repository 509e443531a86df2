/** The size that every schedule is asked for, and how a schedule refuses one. */
import { MoebiusError } from '../../base/errors.ts';

export interface ScheduleSize {
  /** Ranks of one pipeline. */
  readonly numRanks: number;
  /** Micro-batches that pass through one pipeline in one step. */
  readonly numMicroBatches: number;
}

/** @throws pipeline.schedule unless every count is a whole number of at least 1 */
export function requireWhole(schedule: string, counts: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(counts)) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    refuseSchedule(`${schedule} is asked for ${name} = ${value}`, counts, {
      hint: `Give ${name} a whole number of at least 1.`,
    });
  }
}

export function refuseSchedule(
  message: string,
  values: Readonly<Record<string, unknown>>,
  { hint }: { readonly hint: string },
): never {
  throw new MoebiusError('pipeline.schedule', message, { values, hint });
}
