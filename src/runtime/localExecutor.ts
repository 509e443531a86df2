/**
 * The executor of one process: one rank, on the kernels of this machine.
 */
import { MoebiusError } from '../base/errors.ts';
import type { RunResult, TrainingExecutor } from '../executor/executor.ts';
import type { Program, TrainingInstruction, TrainingOutcome } from '../program/instruction.ts';
import { TrainingRank, type TrainingRankOptions } from './trainingRank.ts';

export class LocalTrainingExecutor implements TrainingExecutor {
  readonly #rank: TrainingRank;

  constructor(options: TrainingRankOptions) {
    this.#rank = new TrainingRank(options);
  }

  get peakActivationBytes(): number {
    return this.#rank.peakActivationBytes;
  }

  async run(
    programs: readonly Program<TrainingInstruction>[],
  ): Promise<RunResult<TrainingOutcome>> {
    return this.#rank.run(onlyProgram(programs).instructions);
  }
}

/** @throws program.ranks when there is not exactly one program, for rank 0 */
export function onlyProgram<I>(programs: readonly Program<I>[]): Program<I> {
  const [program, ...others] = programs;
  if (program !== undefined && program.rank === 0 && others.length === 0) return program;
  throw new MoebiusError('program.ranks', 'this executor is one rank', {
    values: { ranks: programs.map(({ rank }) => rank) },
    hint: 'Give it one program, for rank 0; more ranks need another executor.',
  });
}
