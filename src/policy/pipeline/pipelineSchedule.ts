/**
 * Every pipeline schedule by its name: a pure function of how many ranks and micro-batches there
 * are.
 *
 *     const { ranks, numStages } = pipelineSchedule({ name: 'dualpipe', numRanks: 16, … });
 */
import type { ScheduleName } from '../../config/parallelPlan.ts';
import type { PipelineSchedule } from '../../program/pipelineAction.ts';
import { dualPipe, dualPipeV } from './dualPipe.ts';
import { gpipe, interleaved, oneForwardOneBackward, zeroBubble } from './oneForwardOneBackward.ts';
import { refuseSchedule, type ScheduleSize } from './scheduleSize.ts';

export interface ScheduleChoice extends ScheduleSize {
  readonly name: ScheduleName;
  /**
   * Stages of each rank in interleaved 1F1B; elsewhere the schedule fixes it and it may be left
   * out.
   */
  readonly chunksPerRank?: number;
}

/**
 * @throws pipeline.schedule naming the numbers that the schedule cannot take, and which it could
 */
export function pipelineSchedule(choice: ScheduleChoice): PipelineSchedule {
  const { name, numRanks, numMicroBatches } = choice;
  const fixed = chunksOf(name);
  const chunksPerRank = choice.chunksPerRank ?? fixed ?? 2;
  if (fixed !== null && chunksPerRank !== fixed) {
    const hint = `Set chunks per rank to ${fixed}, or use interleaved-1f1b.`;
    refuseSchedule(
      `${name} has ${fixed} chunk${fixed === 1 ? '' : 's'} per rank, not ${chunksPerRank}`,
      { ...choice },
      { hint },
    );
  }
  const size = { numRanks, numMicroBatches };
  switch (name) {
    case 'gpipe':
      return gpipe(size);
    case '1f1b':
      return oneForwardOneBackward(size);
    case 'interleaved-1f1b':
      return interleaved({ ...size, chunksPerRank });
    case 'zb1p':
      return zeroBubble(size);
    case 'dualpipe':
      return dualPipe(size);
    case 'dualpipev':
      return dualPipeV(size);
    default:
      return name satisfies never;
  }
}

/** Stages of the model: DualPipe holds each of its P twice, the others that hold more have more. */
export function numStagesOf({ name, numRanks, chunksPerRank }: StageCount): number {
  return name === 'dualpipe' ? numRanks : numRanks * chunksPerRank;
}

interface StageCount {
  readonly name: ScheduleName;
  readonly numRanks: number;
  readonly chunksPerRank: number;
}

/** Chunks that a schedule puts on each rank, or null where they can be chosen. */
export function chunksOf(name: ScheduleName): number | null {
  if (name === 'interleaved-1f1b') return null;
  return name === 'dualpipe' || name === 'dualpipev' ? 2 : 1;
}
