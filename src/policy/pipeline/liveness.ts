/**
 * How many passes a rank holds at once: what the activation column of the DeepSeek-V3 report's
 * table 2 counts (1F1B: P on rank 0, DualPipe: P + 1), and what memory is planned by.
 */
import { backwardOf, forwardOf, type PipelineAction } from '../../program/pipelineAction.ts';

export interface PeakPasses {
  /** Passes whose forward has begun and whose backward (input half, if split) has not ended. */
  readonly alive: number;
  /** The same, and those that wait for their weight gradient. */
  readonly held: number;
  /** Passes that wait for their weight gradient, at most. */
  readonly deferred: number;
}

/** The largest of each over a rank's list; an overlapped pair holds both of its passes. */
export function peakPasses(actions: readonly PipelineAction[]): PeakPasses {
  let alive = 0;
  let deferred = 0;
  const peak = { alive: 0, held: 0, deferred: 0 };
  for (const action of actions) {
    if (forwardOf(action) !== null) alive++;
    peak.alive = Math.max(peak.alive, alive);
    peak.held = Math.max(peak.held, alive + deferred);
    if (backwardOf(action) !== null) alive--;
    if (action.kind === 'backwardInput') deferred++;
    if (action.kind === 'backwardWeight') deferred--;
    peak.deferred = Math.max(peak.deferred, deferred);
  }
  return peak;
}
