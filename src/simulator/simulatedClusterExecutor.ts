/**
 * The executor of a described cluster: programs of all ranks of a pipeline, walked together with
 * prices for instructions and messages. It is to many ranks what `simulatedExecutor.ts` is to one,
 * and what a real cluster executor will be with kernels: the same programs, spans of one shape.
 */
import type { RunResult, TrainingExecutor } from '../executor/executor.ts';
import type { Program, TrainingInstruction, TrainingOutcome } from '../program/instruction.ts';
import type { Span } from '../program/span.ts';
import { type ProgramCosts, walkPrograms } from './walkPrograms.ts';

export class SimulatedClusterExecutor implements TrainingExecutor {
  readonly #costs: ProgramCosts;
  #seconds = 0;

  constructor(costs: ProgramCosts) {
    this.#costs = costs;
  }

  /**
   * Runs go on where the one before ended: a step's passes, then its update.
   *
   * @throws program.message, program.deadlock for programs that could not run for real either
   */
  async run(
    programs: readonly Program<TrainingInstruction>[],
  ): Promise<RunResult<TrainingOutcome>> {
    const { spans, makespan } = walkPrograms(programs, this.#costs);
    const begun = this.#seconds;
    this.#seconds += makespan;
    const moved = (span: Span): Span => ({
      ...span,
      start: begun + span.start,
      end: begun + span.end,
    });
    return { spans: spans.map(moved), outcomes: [] };
  }
}
