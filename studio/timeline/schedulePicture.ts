/**
 * A pipeline schedule as a picture: the pure policy writes the passes, the lowering adds messages,
 * the walk of the simulator says when everything runs. The same three that a plan is made of, with
 * prices in units of one's own instead of seconds.
 *
 * Published bubbles (table 2 of the DeepSeek-V3 report; DualPipeV on P ranks is DualPipe on 2P),
 * with F, B and W the forward, whole backward and weight gradient of a chunk, FB a pair:
 *
 *     GPipe, 1F1B, interleaved  (P−1)(F+B)         DualPipe   (P/2−1)(FB+B−3W)
 *     ZB1P                      (P−1)(F+B−2W)      DualPipeV  (P−1)(FB+B−3W)
 */
import { at } from '../../src/base/assert.ts';
import type { ScheduleName } from '../../src/config/parallelPlan.ts';
import { passSeconds } from '../../src/planner/figures/pipelineWalk.ts';
import { anySettings } from '../../src/planner/pipelinePlan.ts';
import { lower } from '../../src/policy/pipeline/lower.ts';
import {
  pipelineSchedule,
  type ScheduleChoice,
} from '../../src/policy/pipeline/pipelineSchedule.ts';
import { formatAction } from '../../src/program/notation.ts';
import type { PipelineAction } from '../../src/program/pipelineAction.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { rowsOf, type SpanKind, type Timeline, timelineOf } from '../draw/timelineIndex.ts';

/** How long a chunk's passes take, in any unit. */
export interface PassUnits {
  readonly F: number;
  readonly B: number;
  readonly W: number;
  readonly FB: number;
}

/** One drawn span: an action of a rank, and when it runs. */
export interface ScheduledAction {
  readonly action: PipelineAction;
  readonly start: number;
  readonly end: number;
}

export interface SchedulePicture {
  /** Per rank what is drawn, in the order in which it runs. */
  readonly ranks: readonly (readonly ScheduledAction[])[];
  readonly timeline: Timeline;
  readonly makespan: number;
  /** Per rank, in the unit of the passes. */
  readonly bubbles: readonly number[];
  /** Of the whole picture: idle time over ranks × makespan. */
  readonly bubbleShare: number;
  readonly published: PublishedBubble;
}

export interface PublishedBubble {
  readonly formula: string;
  readonly value: number;
  /** Of a step that is work and this bubble. */
  readonly share: number;
}

/**
 * @throws pipeline.schedule naming the numbers that the schedule cannot take, and which it could
 */
export function drawSchedule(choice: ScheduleChoice, units: PassUnits): SchedulePicture {
  const schedule = pipelineSchedule(choice);
  const normalizers = { main: 1, mtp: [] };
  const { compute } = lower({ schedule, settings: anySettings, normalizers });
  const walk = walkPrograms(compute, {
    seconds: (_rank, { kind }) => passSeconds(kind, units),
    transferSeconds: () => 0,
  });
  const ranks: ScheduledAction[][] = schedule.ranks.map(() => []);
  for (const { rank, name, start, end } of walk.spans) {
    if (!passKinds.has(name)) continue;
    const drawn = at(ranks, rank);
    drawn.push({ action: at(at(schedule.ranks, rank), drawn.length), start, end });
  }
  const bubbles = [...walk.bubble];
  const idle = bubbles.reduce((sum, bubble) => sum + bubble, 0);
  const mostBusy = walk.busy.reduce((most, busy) => Math.max(most, busy), 0);
  return {
    ranks,
    timeline: timelineOf(
      ranks.flatMap((actions, rank) => rowsOfRank(actions, rank, walk.makespan)),
    ),
    makespan: walk.makespan,
    bubbles,
    bubbleShare: walk.makespan > 0 ? idle / (walk.makespan * ranks.length) : 0,
    published: publishedBubble(choice, units, mostBusy),
  };
}

/** The rows again for each of several pipelines that run the schedule at once; shared columns. */
export function repeatRows({ rows, start, end }: Timeline, replicas: number): Timeline {
  if (replicas === 1) return { rows, start, end };
  const all = Array.from({ length: replicas }, (_, replica) =>
    rows.map((row) => ({ ...row, name: `${replica} · ${row.name}` })),
  );
  return { rows: all.flat(), start, end };
}

/** Of what was published about a schedule's bubble: the formula and what it gives. */
export function publishedBubble(
  { name, numRanks }: Pick<ScheduleChoice, 'name' | 'numRanks'>,
  units: PassUnits,
  busy: number,
): PublishedBubble {
  const { formula, value } = formulaOf(name, numRanks, units);
  return { formula, value, share: value > 0 ? value / (value + busy) : 0 };
}

function formulaOf(
  name: ScheduleName,
  numRanks: number,
  { F, B, W, FB }: PassUnits,
): Omit<PublishedBubble, 'share'> {
  switch (name) {
    case 'gpipe':
    case '1f1b':
    case 'interleaved-1f1b':
      return { formula: '(P−1)(F+B)', value: (numRanks - 1) * (F + B) };
    case 'zb1p':
      return { formula: '(P−1)(F+B−2W)', value: (numRanks - 1) * (F + B - 2 * W) };
    case 'dualpipe':
      return { formula: '(P/2−1)(FB+B−3W)', value: (numRanks / 2 - 1) * (FB + B - 3 * W) };
    case 'dualpipev':
      return { formula: '(P−1)(FB+B−3W)', value: (numRanks - 1) * (FB + B - 3 * W) };
    default:
      return name satisfies never;
  }
}

const passKinds: ReadonlySet<string> = new Set<PipelineAction['kind']>([
  'forward',
  'backward',
  'backwardInput',
  'backwardWeight',
  'forwardBackward',
]);

function rowsOfRank(
  actions: readonly ScheduledAction[],
  rank: number,
  makespan: number,
): ReturnType<typeof rowsOf> {
  return rowsOf(
    { name: String(rank), source: 'simulated', bubble: { from: 0, to: makespan } },
    actions.map(({ action, start, end }) => ({
      start,
      end,
      kind: kindOf(action),
      label: labelOf(action),
    })),
  );
}

function kindOf({ kind }: PipelineAction): SpanKind {
  switch (kind) {
    case 'forward':
      return 'forward';
    case 'backward':
    case 'backwardInput':
      return 'backward';
    case 'backwardWeight':
      return 'weight';
    case 'forwardBackward':
      return 'pair';
    default:
      return kind satisfies never;
  }
}

/** As notations write it, a pair shorter: `0F3 & 1B2`. */
export function labelOf(action: PipelineAction): string {
  if (action.kind !== 'forwardBackward') return formatAction(action);
  const { forward, backward } = action;
  const words = [
    formatAction({ kind: 'forward', ...forward }),
    formatAction({ kind: 'backward', ...backward }),
  ];
  return words.join(' & ');
}

/** The nearest sizes that a schedule takes: what a slider is moved to instead of being refused. */
export function fittingSize({ name, numRanks, numMicroBatches }: ScheduleChoice): {
  readonly numRanks: number;
  readonly numMicroBatches: number;
} {
  switch (name) {
    case 'dualpipe': {
      const ranks = numRanks + (numRanks % 2);
      const even = numMicroBatches + (numMicroBatches % 2);
      return { numRanks: ranks, numMicroBatches: Math.max(2 * ranks, even) };
    }
    case 'dualpipev':
      return { numRanks, numMicroBatches: Math.max(2 * numRanks, numMicroBatches) };
    case 'interleaved-1f1b': {
      const groups = Math.max(1, Math.round(numMicroBatches / numRanks));
      return { numRanks, numMicroBatches: groups * numRanks };
    }
    default:
      return { numRanks, numMicroBatches };
  }
}
