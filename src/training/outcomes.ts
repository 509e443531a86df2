/** Reads what an executor answered. An answer that is missing is the executor's mistake. */
import { assert } from '../base/assert.ts';
import type { TrainingOutcome } from '../program/instruction.ts';

export type OutcomeOf<K extends TrainingOutcome['kind']> = Extract<TrainingOutcome, { kind: K }>;

/** The first outcome of a kind, which must be there. */
export function only<K extends TrainingOutcome['kind']>(
  outcomes: readonly TrainingOutcome[],
  kind: K,
): OutcomeOf<K> {
  const found = allOf(outcomes, kind)[0];
  assert(found !== undefined, `the executor gave no ${kind}`);
  return found;
}

export function allOf<K extends TrainingOutcome['kind']>(
  outcomes: readonly TrainingOutcome[],
  kind: K,
): readonly OutcomeOf<K>[] {
  return outcomes.filter((outcome): outcome is OutcomeOf<K> => outcome.kind === kind);
}
