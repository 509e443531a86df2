/**
 * The schedules with one stream of micro-batches: GPipe, 1F1B, interleaved 1F1B and ZB-H1.
 *
 *     P = 4, rank 0        F forward, B whole backward, I and W its two halves
 *     GPipe    F F F F … B B B B …         every micro-batch is alive at the turn
 *     1F1B     F F F  F B  F B … B B B     at most P − rank alive; bubble (P−1)(F+B)
 *     ZB-H1    F F F  F I W  F I W … I W   1F1B's P alive on every rank; bubble (P−1)(F+B−2W)
 *
 * Bubbles are those of table 2 of the DeepSeek-V3 report, where B is the whole backward.
 */
import type { PipelineAction, PipelineSchedule } from '../../program/pipelineAction.ts';
import { refuseSchedule, requireWhole, type ScheduleSize } from './scheduleSize.ts';

/** All forwards, then all backwards in the same order (Huang et al., 2019). */
export function gpipe({ numRanks, numMicroBatches }: ScheduleSize): PipelineSchedule {
  requireWhole('gpipe', { numRanks, numMicroBatches });
  return perRank({ numRanks, numMicroBatches }, (stage) => {
    const passes = Array.from({ length: numMicroBatches }, (_, microBatch) => ({
      stage,
      microBatch,
    }));
    return [
      ...passes.map((pass): PipelineAction => ({ kind: 'forward', ...pass })),
      ...passes.map((pass): PipelineAction => ({ kind: 'backward', ...pass })),
    ];
  });
}

/** A rank runs ahead by its distance from the last stage, then alternates (PipeDream-Flush). */
export function oneForwardOneBackward({
  numRanks,
  numMicroBatches,
}: ScheduleSize): PipelineSchedule {
  requireWhole('1f1b', { numRanks, numMicroBatches });
  return perRank({ numRanks, numMicroBatches }, (stage) =>
    alternate({
      numPasses: numMicroBatches,
      numAhead: numRanks - 1 - stage,
      forward: (microBatch) => ({ stage, microBatch }),
      backward: (microBatch) => [{ kind: 'backward', stage, microBatch }],
    }),
  );
}

/**
 * ZB-H1 (Qi et al., 2023, "Zero Bubble Pipeline Parallelism"): 1F1B with the backward cut in two.
 *
 * Rank j keeps j weight gradients back, which is what it has alive less than rank 0; they fill the
 * waits at its end. So every rank has at most P micro-batches alive.
 */
export function zeroBubble({ numRanks, numMicroBatches }: ScheduleSize): PipelineSchedule {
  requireWhole('zb1p', { numRanks, numMicroBatches });
  return perRank({ numRanks, numMicroBatches }, (stage) => {
    const actions = alternate({
      numPasses: numMicroBatches,
      numAhead: numRanks - 1 - stage,
      forward: (microBatch) => ({ stage, microBatch }),
      backward: (microBatch) => {
        const input: PipelineAction = { kind: 'backwardInput', stage, microBatch };
        const due = microBatch - stage;
        return due < 0 ? [input] : [input, { kind: 'backwardWeight', stage, microBatch: due }];
      },
    });
    for (let left = Math.max(0, numMicroBatches - stage); left < numMicroBatches; left++) {
      actions.push({ kind: 'backwardWeight', stage, microBatch: left });
    }
    return actions;
  });
}

export interface InterleavedSize extends ScheduleSize {
  /** Stages of each rank; rank j holds j, j + P, j + 2P, … */
  readonly chunksPerRank: number;
}

/**
 * Interleaved 1F1B (Narayanan et al., 2021): groups of P micro-batches run through a rank's first
 * chunk, then its second, …; the bubble shrinks by the number of chunks.
 *
 * @throws pipeline.schedule unless micro-batches divide into groups of P
 */
export function interleaved(size: InterleavedSize): PipelineSchedule {
  const { numRanks, numMicroBatches, chunksPerRank } = size;
  requireWhole('interleaved-1f1b', { numRanks, numMicroBatches, chunksPerRank });
  if (numMicroBatches % numRanks !== 0) {
    const above = Math.ceil(numMicroBatches / numRanks) * numRanks;
    refuseSchedule(
      `interleaved 1F1B runs micro-batches in groups of ${numRanks}, not ${numMicroBatches}`,
      { ...size },
      { hint: `Use ${above} micro-batches, or 1f1b.` },
    );
  }
  const numStages = numRanks * chunksPerRank;
  const numPasses = numMicroBatches * chunksPerRank;
  const group = numRanks * chunksPerRank;
  const ranks = Array.from({ length: numRanks }, (_, rank) => {
    const microBatchOf = (index: number): number =>
      Math.floor(index / group) * numRanks + (index % numRanks);
    const chunkOf = (index: number): number => Math.floor((index % group) / numRanks);
    return alternate({
      numPasses,
      // Without chunks this is 1F1B: a rank is one forward ahead for each rank behind it. With them
      // a forward must come back to the rank, so it runs ahead twice as far, and by whole chunks.
      numAhead:
        chunksPerRank === 1
          ? numRanks - 1 - rank
          : 2 * (numRanks - 1 - rank) + (chunksPerRank - 1) * numRanks,
      forward: (index) => ({
        stage: chunkOf(index) * numRanks + rank,
        microBatch: microBatchOf(index),
      }),
      backward: (index) => [
        {
          kind: 'backward',
          stage: (chunksPerRank - 1 - chunkOf(index)) * numRanks + rank,
          microBatch: microBatchOf(index),
        },
      ],
    });
  });
  return { numStages, numMicroBatches, ranks };
}

interface Alternation {
  readonly numPasses: number;
  /** Forwards before the first forward that a backward follows. */
  readonly numAhead: number;
  readonly forward: (index: number) => { readonly stage: number; readonly microBatch: number };
  readonly backward: (index: number) => readonly PipelineAction[];
}

/** Some forwards ahead, then a forward and a backward in turn, then the backwards that are left. */
function alternate({ numPasses, numAhead, forward, backward }: Alternation): PipelineAction[] {
  const actions: PipelineAction[] = [];
  const ahead = Math.min(numAhead, numPasses);
  for (let index = 0; index < numPasses + ahead; index++) {
    if (index < numPasses) actions.push({ kind: 'forward', ...forward(index) });
    if (index >= ahead) actions.push(...backward(index - ahead));
  }
  return actions;
}

function perRank(
  { numRanks, numMicroBatches }: ScheduleSize,
  actions: (rank: number) => PipelineAction[],
): PipelineSchedule {
  const ranks = Array.from({ length: numRanks }, (_, rank) => actions(rank));
  return { numStages: numRanks, numMicroBatches, ranks };
}
