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
import { MoebiusError } from '../../base/errors.ts';
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
  type PipelinePass,
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

/**
 * A step of every rank, cut where the guard chooses between applying and dropping.
 *
 * @throws program.order when a schedule from elsewhere leaves a micro-batch out in some stage
 */
export function lower(step: PipelineStep): StepPrograms {
  const { schedule, settings } = step;
  const { optimizer, biasSpeed } = settings;
  const rankOf = ranksOfPasses(schedule);
  const write = actionWriter(step, rankOf);
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
        for (const message of at(batches, index)) instructions.push(message);
        write(action, instructions);
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
    instructions: instructions.concat(at(apply, index).instructions),
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
 * receives, activations before gradients. Of two activations that are sent the one that was put off
 * comes behind the other; of two that are received the one asked for ahead of its turn before it.
 */
function messageBatches(actions: readonly PipelineAction[], place: Place): Message[][] {
  const { rank, rankOf, schedule } = place;
  const { numStages, numMicroBatches } = schedule;
  const batches: Message[][] = Array.from({ length: actions.length + 1 }, () => []);
  const numSends = new Uint8Array(actions.length + 1);
  const put = (batch: number, position: number, message: Message): void => {
    at(batches, batch).splice(position, 0, message);
    if (message.kind === 'send') numSends[batch] = at(numSends, batch) + 1;
  };
  /** Null at the ends of the model and between neighbours on this rank. */
  const peerOf = (stage: number, microBatch: number): number | null => {
    if (stage < 0 || stage >= numStages) return null;
    const peer = at(rankOf, stage * numMicroBatches + microBatch);
    if (peer < 0) refuseHole({ stage, microBatch });
    return peer === rank ? null : peer;
  };
  for (const [index, action] of actions.entries()) {
    const forward = forwardOf(action);
    if (forward !== null) {
      const content = 'activation';
      const { stage, microBatch } = forward;
      const { receiveEarly, sendLate } = timingOf(action);
      const asked = index - receiveEarly;
      const given = index + 1 + sendLate;
      const from = peerOf(stage - 1, microBatch);
      const to = peerOf(stage + 1, microBatch);
      if (from !== null) {
        const message = {
          kind: 'recv',
          content,
          stage: stage - 1,
          microBatch,
          peer: from,
        } as const;
        put(asked, at(numSends, asked), message);
      }
      if (to !== null) put(given, 0, { kind: 'send', content, stage, microBatch, peer: to });
    }
    const backward = backwardOf(action);
    if (backward !== null) {
      const content = 'gradient';
      const { stage, microBatch } = backward;
      const from = peerOf(stage + 1, microBatch);
      const to = peerOf(stage - 1, microBatch);
      if (from !== null) {
        const message = {
          kind: 'recv',
          content,
          stage: stage + 1,
          microBatch,
          peer: from,
        } as const;
        put(index, at(batches, index).length, message);
      }
      if (to !== null) {
        const given = index + 1;
        put(given, at(numSends, given), { kind: 'send', content, stage, microBatch, peer: to });
      }
    }
  }
  return batches;
}

function refuseHole(pass: PipelinePass): never {
  const { stage, microBatch } = pass;
  throw new MoebiusError(
    'program.order',
    `no rank runs the forward of stage ${stage}, micro-batch ${microBatch}`,
    { values: { ...pass }, hint: 'Give every micro-batch a forward in every stage.' },
  );
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

/** Appends what an action is in a program. */
type ActionWriter = (action: PipelineAction, into: TrainingInstruction[]) => void;

function actionWriter(step: PipelineStep, rankOf: Int32Array): ActionWriter {
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
  const makes = (stages ?? []).map(makeUp);
  const pairs = new Map<string, readonly PartStep[]>();
  const orderOfPair = (forward: number, backward: number): readonly PartStep[] => {
    if (stages === undefined) return [];
    const key = `${at(makes, forward)} & ${at(makes, backward)}`;
    const known = pairs.get(key);
    if (known !== undefined) return known;
    const made = pairOrder({ forward: at(stages, forward), backward: at(stages, backward) });
    pairs.set(key, made);
    return made;
  };
  const load = ({ stage, microBatch }: PipelinePass, into: TrainingInstruction[]): void => {
    if (batches === undefined || (stage !== 0 && stage !== numStages - 1)) return;
    // DualPipeV turns round: the rank of the last stage is that of the first and has read it.
    const first = rankOf[microBatch];
    if (stage !== 0 && first === rankOf[stage * numMicroBatches + microBatch]) return;
    into.push({ kind: 'loadMicroBatch', microBatch, batch: at(batches, microBatch) });
  };
  return (action, into) => {
    if (action.kind === 'forwardBackward') {
      const { forward, backward } = action;
      const order = orderOfPair(forward.stage, backward.stage);
      load(forward, into);
      into.push({ kind: 'forwardBackward', forward: { ...forward, ...loss }, backward, order });
      return;
    }
    const { kind, stage, microBatch } = action;
    const order = orders[kind][stage];
    const inner = order === undefined ? {} : { order };
    if (kind === 'forward') {
      load(action, into);
      into.push({ kind, stage, microBatch, ...loss, ...inner });
    } else {
      into.push({ kind, stage, microBatch, ...inner });
    }
  };
}

function perStage(
  stages: readonly StageParts[] | undefined,
  order: (stage: StageParts) => readonly PartStep[],
): readonly (readonly PartStep[])[] {
  // Most stages are alike, and so are the orders of their passes.
  const known = new Map<string, readonly PartStep[]>();
  return (stages ?? []).map((stage) => {
    const key = makeUp(stage);
    const made = known.get(key) ?? order(stage);
    known.set(key, made);
    return made;
  });
}

function makeUp({ blocks, hasSharedExperts, hasEmbedding, hasHead }: StageParts): string {
  return `${blocks.join()} ${hasSharedExperts} ${hasEmbedding} ${hasHead}`;
}
