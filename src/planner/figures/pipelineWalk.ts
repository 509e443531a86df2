/**
 * Pipelines of the published figures, from the schedules that run: bubbles are walked, passes are
 * counted in the action lists. F, B and W are a chunk's forward, whole backward and weight
 * gradient in seconds, FB its forward overlapped with a backward.
 */
import type { ScheduleName } from '../../config/parallelPlan.ts';
import { peakPasses } from '../../policy/pipeline/liveness.ts';
import { lower } from '../../policy/pipeline/lower.ts';
import { pipelineSchedule } from '../../policy/pipeline/pipelineSchedule.ts';
import type { StepSettings } from '../../policy/pipeline/singleRank.ts';
import type { TrainingInstruction } from '../../program/instruction.ts';
import type { PipelineAction } from '../../program/pipelineAction.ts';
import { walkPrograms } from '../../simulator/walkPrograms.ts';

export interface ChunkSeconds {
  readonly F: number;
  readonly B: number;
  readonly W: number;
  readonly FB: number;
}

export interface PipelineChoice {
  readonly name: ScheduleName;
  readonly numRanks: number;
  readonly numMicroBatches: number;
}

/** A step's values do not matter to when its passes run. */
const settings: StepSettings = {
  mtpWeight: 0,
  balanceCoefficient: 0,
  biasSpeed: 0,
  optimizer: {
    step: 1,
    learningRate: 0,
    weightDecay: 0,
    beta1: 0,
    beta2: 0,
    epsilon: 1,
    maxGradientNorm: 1,
    averageDecay: null,
  },
};

/** Seconds in which a rank waits, the longest of all ranks; messages take no time. */
export function walkedBubble(choice: PipelineChoice, chunk: ChunkSeconds): number {
  const schedule = pipelineSchedule(choice);
  const { compute } = lower({ schedule, settings, normalizers: { main: 1, mtp: [] } });
  const { bubble } = walkPrograms(compute, {
    seconds: (_rank, { kind }) => passSeconds(kind, chunk),
    transferSeconds: () => 0,
  });
  return Math.max(...bubble);
}

/** What an instruction takes where messages and everything but passes take none. */
export function passSeconds(
  kind: TrainingInstruction['kind'],
  { F, B, W, FB }: ChunkSeconds,
): number {
  switch (kind) {
    case 'forward':
      return F;
    case 'backward':
      return B;
    case 'backwardInput':
      return B - W;
    case 'backwardWeight':
      return W;
    case 'forwardBackward':
      return FB;
    default:
      return 0;
  }
}

/** Most passes whose activations one rank holds. */
export function activationsHeld(choice: PipelineChoice): number {
  return Math.max(...pipelineSchedule(choice).ranks.map((actions) => peakPasses(actions).alive));
}

export interface PassCounts {
  readonly forward: number;
  readonly pairs: number;
  readonly backward: number;
  readonly weight: number;
  /** Of the backwards those that leave their weight gradient for later. */
  readonly split: number;
}

/** Passes that a rank runs alone or in pairs over a whole step. */
export function passCounts(
  choice: PipelineChoice,
  { rank }: { readonly rank: number },
): PassCounts {
  const actions = pipelineSchedule(choice).ranks[rank] ?? [];
  const count = (...kinds: readonly PipelineAction['kind'][]): number =>
    actions.filter(({ kind }) => kinds.includes(kind)).length;
  return {
    forward: count('forward'),
    pairs: count('forwardBackward'),
    backward: count('backward', 'backwardInput'),
    weight: count('backwardWeight'),
    split: count('backwardInput'),
  };
}

/**
 * How often a rank of DualPipe goes through each of its eight phases:
 * F0 | F0 F1 | B1 W F1 | F0&B1 F1&B0 | B1 F1&B0 | B1 B0 | W B0 | W.
 */
export function dualpipePhases(
  { numRanks, numMicroBatches }: Omit<PipelineChoice, 'name'>,
  { rank }: { readonly rank: number },
): readonly number[] {
  const depth = Math.min(rank, numRanks - 1 - rank);
  const inner = numRanks / 2 - depth - 1;
  const overlapped = numMicroBatches / 2 - numRanks + depth + 1;
  return [2 * inner, depth + 1, inner, overlapped, inner, depth + 1, inner, depth + 1];
}
