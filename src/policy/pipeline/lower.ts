/**
 * From a schedule to programs: the one place where communication is added.
 *
 * Between two actions of a rank lies at most one batch of messages, which the second action waits
 * for: first what the actions before have made, then what the next ones need. A schedule only says
 * when a message should share a later or an earlier batch (`MessageTiming`).
 *
 *     F 0F3     0F3 ends ─┐   ┌─ send activation of stage 0, micro-batch 3
 *     batch               ├───┤
 *     B 0B1   0B1 begins ─┘   └─ recv gradient of stage 1, micro-batch 1
 *
 * Stages that are neighbours on one rank hand over in its memory, without a message.
 */
import { assert, at } from '../../base/assert.ts';
import type {
  ForwardPass,
  PartStep,
  Program,
  TrainingInstruction,
} from '../../program/instruction.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import {
  backwardOf,
  forwardOf,
  type PipelineAction,
  type PipelineSchedule,
  timingOf,
} from '../../program/pipelineAction.ts';
import {
  backwardInputOrder,
  backwardOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from '../overlap/partOrder.ts';
import type { StageParts } from '../overlap/stageParts.ts';
import type { StepPrograms, StepSettings } from './singleRank.ts';

export interface PipelineStep {
  readonly schedule: PipelineSchedule;
  readonly settings: StepSettings;
  /** Valid targets of the whole step. */
  readonly normalizers: ForwardPass['normalizers'];
  /** Micro-batches of the whole step, over all pipelines; those of this one by default. */
  readonly numMicroBatches?: number;
  /** Per stage its make-up, for the inner orders of passes; without it passes carry none. */
  readonly stages?: readonly StageParts[];
  /** Per micro-batch its tokens, loaded by the ranks that read ids and targets. */
  readonly batches?: readonly MicroBatch[];
}

/** A step of every rank, cut where the guard chooses between applying and dropping. */
export function lower(step: PipelineStep): StepPrograms {
  const { schedule, settings } = step;
  const { optimizer, biasSpeed } = settings;
  const rankOf = ranksOfPasses(schedule);
  const translate = translator(step, rankOf);
  const everyRank = (
    instructions: (rank: number) => TrainingInstruction[],
  ): Program<TrainingInstruction>[] =>
    schedule.ranks.map((_, rank) => ({ rank, instructions: instructions(rank) }));
  return {
    compute: everyRank((rank) => {
      const actions = at(schedule.ranks, rank);
      const batches = messageBatches(actions, { rank, rankOf, schedule });
      const instructions: TrainingInstruction[] = [];
      for (const [index, action] of actions.entries()) {
        instructions.push(...at(batches, index), ...translate(action));
      }
      instructions.push(...at(batches, actions.length), { kind: 'reduceGradients' });
      return instructions;
    }),
    apply: everyRank(() => [
      { kind: 'optimizerStep', ...optimizer },
      { kind: 'updateBias', speed: biasSpeed },
    ]),
    drop: everyRank(() => [{ kind: 'dropGradients' }]),
  };
}

/** The step when nothing stops it: passes, then the update, in one program per rank. */
export function wholeStep({ compute, apply }: StepPrograms): Program<TrainingInstruction>[] {
  return compute.map(({ rank, instructions }, index) => ({
    rank,
    instructions: [...instructions, ...at(apply, index).instructions],
  }));
}

type Message = Extract<TrainingInstruction, { kind: 'send' | 'recv' }>;

interface Place {
  readonly rank: number;
  readonly rankOf: Int32Array;
  readonly schedule: PipelineSchedule;
}

/**
 * Per action the messages that are posted before it, and last those after all of them: sends before
 * receives, activations before gradients, and of two activations the one that was put off or asked
 * for ahead of its turn behind or before the other.
 */
function messageBatches(actions: readonly PipelineAction[], place: Place): Message[][] {
  const { rank, rankOf, schedule } = place;
  const { numStages, numMicroBatches } = schedule;
  const peerOf = (stage: number, microBatch: number): number | null => {
    if (stage < 0 || stage >= numStages) return null;
    const peer = at(rankOf, stage * numMicroBatches + microBatch);
    assert(peer >= 0, `no rank runs micro-batch ${microBatch} in stage ${stage}: check it first`);
    return peer === rank ? null : peer;
  };
  const batches = Array.from({ length: actions.length + 1 }, () => ({
    sends: [] as Message[],
    receives: [] as Message[],
  }));
  for (const [index, action] of actions.entries()) {
    const forward = forwardOf(action);
    if (forward !== null) {
      const { stage, microBatch } = forward;
      const { receiveEarly, sendLate } = timingOf(action);
      const from = peerOf(stage - 1, microBatch);
      const to = peerOf(stage + 1, microBatch);
      const content = 'activation';
      if (from !== null) {
        const message: Message = {
          kind: 'recv',
          content,
          stage: stage - 1,
          microBatch,
          peer: from,
        };
        at(batches, index - receiveEarly).receives.unshift(message);
      }
      if (to !== null) {
        const message: Message = { kind: 'send', content, stage, microBatch, peer: to };
        at(batches, index + 1 + sendLate).sends.unshift(message);
      }
    }
    const backward = backwardOf(action);
    if (backward !== null) {
      const { stage, microBatch } = backward;
      const from = peerOf(stage + 1, microBatch);
      const to = peerOf(stage - 1, microBatch);
      const content = 'gradient';
      if (from !== null) {
        const message: Message = {
          kind: 'recv',
          content,
          stage: stage + 1,
          microBatch,
          peer: from,
        };
        at(batches, index).receives.push(message);
      }
      if (to !== null) {
        const message: Message = { kind: 'send', content, stage, microBatch, peer: to };
        at(batches, index + 1).sends.push(message);
      }
    }
  }
  return batches.map(({ sends, receives }) => [...sends, ...receives]);
}

/** Which rank runs a micro-batch in a stage; −1 where none does. */
function ranksOfPasses({ numStages, numMicroBatches, ranks }: PipelineSchedule): Int32Array {
  const rankOf = new Int32Array(numStages * numMicroBatches).fill(-1);
  for (const [rank, actions] of ranks.entries()) {
    for (const action of actions) {
      const forward = forwardOf(action);
      if (forward !== null) rankOf[forward.stage * numMicroBatches + forward.microBatch] = rank;
    }
  }
  return rankOf;
}

function translator(
  step: PipelineStep,
  rankOf: Int32Array,
): (action: PipelineAction) => TrainingInstruction[] {
  const { schedule, settings, normalizers, stages, batches } = step;
  const { numStages, numMicroBatches } = schedule;
  const { mtpWeight, balanceCoefficient } = settings;
  assert(stages === undefined || stages.length === numStages, 'one make-up per stage');
  assert(batches === undefined || batches.length === numMicroBatches, 'one batch per micro-batch');
  const loss = {
    mtpWeight,
    balanceCoefficient,
    normalizers,
    numMicroBatches: step.numMicroBatches ?? numMicroBatches,
  };
  const orders = {
    forward: perStage(stages, forwardOrder),
    backward: perStage(stages, backwardOrder),
    backwardInput: perStage(stages, backwardInputOrder),
    backwardWeight: perStage(stages, backwardWeightOrder),
  };
  const pairs = new Map<number, readonly PartStep[]>();
  const orderOfPair = (forward: number, backward: number): readonly PartStep[] => {
    if (stages === undefined) return [];
    const key = forward * numStages + backward;
    const known = pairs.get(key);
    if (known !== undefined) return known;
    const made = pairOrder({ forward: at(stages, forward), backward: at(stages, backward) });
    pairs.set(key, made);
    return made;
  };
  const load = (stage: number, microBatch: number): TrainingInstruction[] => {
    if (batches === undefined || (stage !== 0 && stage !== numStages - 1)) return [];
    // DualPipeV turns round: the rank of the last stage is that of the first and has read it.
    const first = rankOf[microBatch];
    if (stage !== 0 && first === rankOf[stage * numMicroBatches + microBatch]) return [];
    return [{ kind: 'loadMicroBatch', microBatch, batch: at(batches, microBatch) }];
  };
  return (action) => {
    if (action.kind === 'forwardBackward') {
      const { forward, backward } = action;
      const order = orderOfPair(forward.stage, backward.stage);
      return [
        ...load(forward.stage, forward.microBatch),
        { kind: 'forwardBackward', forward: { ...forward, ...loss }, backward, order },
      ];
    }
    const { kind, stage, microBatch } = action;
    const order = orders[kind][stage];
    const inner = order === undefined ? {} : { order };
    if (kind !== 'forward') return [{ kind, stage, microBatch, ...inner }];
    return [...load(stage, microBatch), { kind, stage, microBatch, ...loss, ...inner }];
  };
}

function perStage(
  stages: readonly StageParts[] | undefined,
  order: (stage: StageParts) => readonly PartStep[],
): readonly (readonly PartStep[])[] {
  return stages?.map(order) ?? [];
}
