/**
 * An executor that remembers the last steps of another one: their programs, spans and decided
 * tokens. It is an executor itself, so the engine cannot tell; a step costs it one place in a ring.
 */
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import type { Program, ServingInstruction, ServingOutcome } from '../program/instruction.ts';

export interface RecordedStep extends RunResult<ServingOutcome> {
  /** Counted from 1. */
  readonly step: number;
  readonly programs: readonly Program<ServingInstruction>[];
}

export class StepRecorder implements ServingExecutor {
  readonly #executor: ServingExecutor;
  readonly #most: number;
  #steps: RecordedStep[] = [];
  #numSteps = 0;

  /** @param most steps that are remembered */
  constructor(executor: ServingExecutor, most: number) {
    this.#executor = executor;
    this.#most = most;
  }

  /** In their order. */
  get steps(): readonly RecordedStep[] {
    return this.#steps;
  }

  async run(programs: readonly Program<ServingInstruction>[]): Promise<RunResult<ServingOutcome>> {
    const result = await this.#executor.run(programs);
    this.#numSteps++;
    if (this.#steps.length === this.#most) this.#steps.shift();
    this.#steps.push({ step: this.#numSteps, programs, ...result });
    return result;
  }
}
