/**
 * What one rank of a pipeline does, before any communication: passes of micro-batches through
 * stages, in order. Schedules write these lists, notations print and read them, and one lowering
 * (`policy/pipeline/lower.ts`) adds every send and receive.
 *
 * A stage is numbered along the model, a micro-batch over the whole step. Where a pipeline is fed
 * from both ends, the micro-batch says from which: the first half enters at rank 0, the second at
 * the last.
 */

/** One micro-batch in one stage. */
export interface PipelinePass {
  readonly stage: number;
  readonly microBatch: number;
}

/**
 * When a forward's messages are posted, counted in actions of its rank. Both default to 0: received
 * right before the action, sent right after it. Waiting lets messages of two directions share a
 * batch.
 */
export interface MessageTiming {
  readonly receiveEarly?: number;
  readonly sendLate?: number;
}

/**
 * `backward` is whole; `backwardInput` leaves its weight gradient to a `backwardWeight` of the same
 * pass; `forwardBackward` overlaps a forward with a whole backward of another micro-batch.
 */
export type PipelineAction =
  | ({ readonly kind: 'forward' } & PipelinePass & MessageTiming)
  | ({ readonly kind: 'backward' | 'backwardInput' | 'backwardWeight' } & PipelinePass)
  | ({
      readonly kind: 'forwardBackward';
      readonly forward: PipelinePass;
      readonly backward: PipelinePass;
    } & MessageTiming);

export interface PipelineSchedule {
  readonly numStages: number;
  readonly numMicroBatches: number;
  /** Per pipeline rank, its actions in order. */
  readonly ranks: readonly (readonly PipelineAction[])[];
}

/**
 * A schedule of lists that came from elsewhere; it may be wrong, and its programs want checking.
 */
export function scheduleOf(ranks: readonly (readonly PipelineAction[])[]): PipelineSchedule {
  let numStages = 0;
  let numMicroBatches = 0;
  for (const action of ranks.flat()) {
    const passes = action.kind === 'forwardBackward' ? [action.forward, action.backward] : [action];
    for (const { stage, microBatch } of passes) {
      numStages = Math.max(numStages, stage + 1);
      numMicroBatches = Math.max(numMicroBatches, microBatch + 1);
    }
  }
  return { numStages, numMicroBatches, ranks };
}

/** The pass whose forward this action runs, if it runs one. */
export function forwardOf(action: PipelineAction): PipelinePass | null {
  if (action.kind === 'forward') return action;
  return action.kind === 'forwardBackward' ? action.forward : null;
}

/** The pass whose input gradient this action makes, if it makes one. */
export function backwardOf(action: PipelineAction): PipelinePass | null {
  if (action.kind === 'backward' || action.kind === 'backwardInput') return action;
  return action.kind === 'forwardBackward' ? action.backward : null;
}

/** When the messages of its forward are posted. */
export function timingOf(action: PipelineAction): Required<MessageTiming> {
  const { receiveEarly = 0, sendLate = 0 }: MessageTiming =
    action.kind === 'forward' || action.kind === 'forwardBackward' ? action : {};
  return { receiveEarly, sendLate };
}
