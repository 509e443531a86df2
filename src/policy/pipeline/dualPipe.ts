/**
 * DualPipe (DeepSeek-V3 report, 3.2.1) and DualPipeV: two streams of micro-batches cross in a
 * pipeline, so that nearly every forward finds a backward of the other stream to overlap with.
 *
 *     DualPipe,  P ranks, P stages, each twice        DualPipeV, P ranks, 2P stages, each once
 *
 *     0 ─►  1 ─►  2 ─►  3    direction 0              0 ─►  1 ─►  2 ─► 3 ┐   way down
 *     3 ◄─  2 ◄─  1 ◄─  0    direction 1              7 ◄─  6 ◄─  5 ◄─ 4 ┘   way back
 *
 * Both are one list. A rank sees its own nearer end as phase 0 and the other stream as phase 1; all
 * that matters is how far it is from the end where phase 0 comes in and from the middle, where both
 * streams turn round (DualPipeV) or meet their mirror image (DualPipe). Hence ranks 0..P−1 of
 * DualPipeV on n micro-batches do what ranks 0..P−1 of DualPipe on 2P ranks and 2n micro-batches
 * do.
 *
 * Eight steps, with d the distance from the end, m = depth − d − 1 the ranks up to the middle, and
 * n micro-batches per phase (B is split into I and W where W can fill a wait):
 *
 *     1  2m × F0                       5  m × B1, F1&B0
 *     2  (d+1) × F0 F1                 6  (d+1) × B1 B0, the later half as I1 I0
 *     3  m × I1 W F1                   7  m × W I0
 *     4  (n−2·depth+d+1) × F0&B1 F1&B0 8  (d+1) × W
 */
import { assert, at } from '../../base/assert.ts';
import type {
  MessageTiming,
  PipelineAction,
  PipelinePass,
  PipelineSchedule,
} from '../../program/pipelineAction.ts';
import { refuseSchedule, requireWhole, type ScheduleSize } from './scheduleSize.ts';

/**
 * @throws pipeline.schedule for odd ranks or micro-batches, or fewer than two micro-batches a rank
 */
export function dualPipe({ numRanks, numMicroBatches }: ScheduleSize): PipelineSchedule {
  requireWhole('dualpipe', { numRanks, numMicroBatches });
  const values = { numRanks, numMicroBatches };
  if (numRanks % 2 !== 0) {
    refuseSchedule(`DualPipe pairs rank j with rank P−1−j, and P is ${numRanks}`, values, {
      hint: `Set pp to ${numRanks + 1} or ${numRanks - 1}, or use dualpipev, which takes any pp.`,
    });
  }
  if (numMicroBatches % 2 !== 0) {
    refuseSchedule(`DualPipe sends half of ${numMicroBatches} micro-batches each way`, values, {
      hint: `Use ${numMicroBatches + 1} micro-batches.`,
    });
  }
  requireTwoPerRank('DualPipe', values);
  const depth = numRanks / 2;
  const numChunks = numMicroBatches / 2;
  const ranks = Array.from({ length: numRanks }, (_, rank) => {
    const mirror = numRanks - 1 - rank;
    return eightSteps({
      depth,
      distance: Math.min(rank, mirror),
      numChunks,
      pass: (phase, chunk) => {
        const direction = rank < depth ? phase : 1 - phase;
        return direction === 0
          ? { stage: rank, microBatch: chunk }
          : { stage: mirror, microBatch: numChunks + chunk };
      },
    });
  });
  return { numStages: numRanks, numMicroBatches, ranks };
}

/** @throws pipeline.schedule for fewer than two micro-batches a rank */
export function dualPipeV({ numRanks, numMicroBatches }: ScheduleSize): PipelineSchedule {
  requireWhole('dualpipev', { numRanks, numMicroBatches });
  requireTwoPerRank('DualPipeV', { numRanks, numMicroBatches });
  const numStages = 2 * numRanks;
  const ranks = Array.from({ length: numRanks }, (_, rank) =>
    eightSteps({
      depth: numRanks,
      distance: rank,
      numChunks: numMicroBatches,
      pass: (phase, microBatch) => ({
        stage: phase === 0 ? rank : numStages - 1 - rank,
        microBatch,
      }),
    }),
  );
  return { numStages, numMicroBatches, ranks };
}

function requireTwoPerRank(
  name: string,
  values: { readonly numRanks: number; readonly numMicroBatches: number },
): void {
  const least = 2 * values.numRanks;
  if (values.numMicroBatches >= least) return;
  refuseSchedule(`${name} needs two micro-batches per rank, ${least}`, values, {
    hint: `Raise the micro-batches from ${values.numMicroBatches} to ${least}, or lower pp.`,
  });
}

type Phase = 0 | 1;

interface RankPosition {
  /** Ranks from an end to the middle. */
  readonly depth: number;
  /** Ranks between this one and the end where its phase 0 comes in. */
  readonly distance: number;
  /** Micro-batches of each phase. */
  readonly numChunks: number;
  readonly pass: (phase: Phase, chunk: number) => PipelinePass;
}

/**
 * The list of one rank. Messages wait for each other where both streams would cross a link at once:
 * a forward's input is asked for with the one before it, and the turn at the middle sends in one
 * batch.
 */
function eightSteps({ depth, distance, numChunks, pass }: RankPosition): PipelineAction[] {
  const toMiddle = depth - distance - 1;
  const isMiddle = toMiddle === 0;
  const actions: PipelineAction[] = [];
  const forwards = [0, 0];
  const backwards = [0, 0];
  const deferred: PipelinePass[] = [];
  const take = (counters: number[], phase: Phase): PipelinePass => {
    const chunk = at(counters, phase);
    counters[phase] = chunk + 1;
    return pass(phase, chunk);
  };
  const forward = (phase: Phase, timing: MessageTiming = {}): void => {
    actions.push({ kind: 'forward', ...take(forwards, phase), ...timing });
  };
  const backward = (phase: Phase): void => {
    actions.push({ kind: 'backward', ...take(backwards, phase) });
  };
  const backwardInput = (phase: Phase): void => {
    const made = take(backwards, phase);
    deferred.push(made);
    actions.push({ kind: 'backwardInput', ...made });
  };
  const weight = (): void => {
    const oldest = deferred.shift();
    assert(oldest !== undefined, 'a weight gradient is due and none was deferred');
    actions.push({ kind: 'backwardWeight', ...oldest });
  };
  const pair = (phase: Phase, timing: MessageTiming = {}): void => {
    const other = phase === 0 ? 1 : 0;
    actions.push({
      kind: 'forwardBackward',
      forward: take(forwards, phase),
      backward: take(backwards, other),
      ...timing,
    });
  };

  for (let i = 0; i < 2 * toMiddle; i++) forward(0);

  let asked = 0;
  for (let i = 0; i <= distance; i++) {
    forward(0, {
      ...(i > 0 ? { receiveEarly: 1 } : {}),
      ...(isMiddle ? {} : { sendLate: 1 }),
    });
    asked = actions.length;
    forward(1, isMiddle && i === distance ? { sendLate: 1 } : {});
  }

  for (let i = 0; i < toMiddle; i++) {
    backwardInput(1);
    weight();
    forward(1, { receiveEarly: 1 });
  }

  // The first forward of step 4 was asked for in step 2. In the middle the first pair is taken
  // apart: both ends wait for its backward.
  const receiveEarly = actions.length - asked;
  if (isMiddle) {
    forward(0, { receiveEarly, sendLate: 1 });
    backward(1);
  } else {
    pair(0, { receiveEarly });
  }
  pair(1);
  for (let i = 1; i < numChunks - 2 * depth + distance + 1; i++) {
    pair(0);
    pair(1);
  }

  for (let i = 0; i < toMiddle; i++) {
    backward(1);
    pair(1);
  }

  const firstSplit = distance + 1;
  for (let i = 0; i < 2 * (distance + 1); i++) {
    const phase = i % 2 === 0 ? 1 : 0;
    if (i < firstSplit) backward(phase);
    else backwardInput(phase);
  }

  for (let i = 0; i < toMiddle; i++) {
    weight();
    backwardInput(0);
  }
  for (let i = 0; i <= distance; i++) weight();
  assert(deferred.length === 0, 'every deferred weight gradient is made');
  return actions;
}
