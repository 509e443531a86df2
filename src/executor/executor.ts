/**
 * The seam. A policy never acts: it writes programs; an executor runs them, on kernels or on
 * described hardware, and nothing above can tell which.
 *
 * Both worlds return spans of the same shape. Numbers that only a real run can know (losses,
 * tokens) come as outcomes; a simulated executor returns none, or sampled tokens.
 */
import type {
  Program,
  ServingInstruction,
  ServingOutcome,
  TrainingInstruction,
  TrainingOutcome,
} from '../program/instruction.ts';
import type { Span } from '../program/span.ts';

export interface RunResult<O> {
  readonly spans: readonly Span[];
  /** In the order in which instructions gave them. */
  readonly outcomes: readonly O[];
}

export interface Executor<I, O> {
  /** Runs one program per rank to the end of all of them. */
  run(programs: readonly Program<I>[]): Promise<RunResult<O>>;
}

export type TrainingExecutor = Executor<TrainingInstruction, TrainingOutcome>;
export type ServingExecutor = Executor<ServingInstruction, ServingOutcome>;
