/** Costs of passes as the published formulas have them: one number for each kind of pass. */
import type { TrainingInstruction } from '../../src/program/instruction.ts';
import type { ProgramCosts } from '../../src/simulator/walkPrograms.ts';

export interface PassSeconds {
  readonly F: number;
  /** The whole backward, weight gradient included. */
  readonly B: number;
  readonly W: number;
  /** An overlapped forward and whole backward. */
  readonly FB: number;
  readonly message?: number;
}

export function passCosts({ F, B, W, FB, message = 0 }: PassSeconds): ProgramCosts {
  const seconds: Partial<Record<TrainingInstruction['kind'], number>> = {
    forward: F,
    backward: B,
    backwardInput: B - W,
    backwardWeight: W,
    forwardBackward: FB,
  };
  return {
    seconds: (_, { kind }) => seconds[kind] ?? 0,
    transferSeconds: () => message,
  };
}
