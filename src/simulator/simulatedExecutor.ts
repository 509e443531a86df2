/**
 * The executor of described hardware: the same programs, the real model code on the meta kernels,
 * and a price for every operation. It returns the spans that a real run would, and no outcomes,
 * since losses are numbers that nobody computed.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { RunResult, TrainingExecutor } from '../executor/executor.ts';
import type { Program, TrainingInstruction, TrainingOutcome } from '../program/instruction.ts';
import { type Span, spanOf } from '../program/span.ts';
import type { CostModel } from './costModel.ts';
import { type SimulatedRankOptions, TracedRank } from './traceTraining.ts';

export interface SimulatedExecutorOptions extends SimulatedRankOptions {
  readonly cost: CostModel;
}

export class SimulatedTrainingExecutor implements TrainingExecutor {
  readonly #rank: TracedRank;
  readonly #cost: CostModel;
  #seconds = 0;

  constructor(options: SimulatedExecutorOptions) {
    this.#rank = new TracedRank(options);
    this.#cost = options.cost;
  }

  get stateBytes(): number {
    return this.#rank.stateBytes;
  }

  get peakActivationBytes(): number {
    return this.#rank.peakActivationBytes;
  }

  async run(
    programs: readonly Program<TrainingInstruction>[],
  ): Promise<RunResult<TrainingOutcome>> {
    if (programs.length !== 1) {
      throw new MoebiusError('program.ranks', 'this simulation is of one rank', {
        values: { ranks: programs.map(({ rank }) => rank) },
        hint: 'Give it one program, for rank 0.',
      });
    }
    const { instructions } = at(programs, 0);
    const spans: Span[] = instructions.map((instruction, index) => {
      const start = this.#seconds;
      for (const operation of this.#rank.trace(instruction)) {
        this.#seconds += this.#cost.seconds(operation);
      }
      return spanOf(instruction, { index, start, end: this.#seconds });
    });
    return { spans, outcomes: [] };
  }
}
