/**
 * A step of DualPipe in the order that DeepSeek published (github.com/deepseek-ai/DualPipe), walked
 * with given durations: each rank does its list in order, and waits for what it needs from others.
 */
import type { TimelineSpan } from '../../src/planner/planExtras.ts';

export interface WalkOptions {
  readonly numRanks: number;
  readonly numMicroBatches: number;
  readonly durations: Readonly<
    Record<'forward' | 'backward' | 'input' | 'weight' | 'pair', number>
  >;
  /** Seconds between neighbours. */
  readonly transfer: number;
  readonly optimizer: number;
}

export interface WalkedStep {
  readonly seconds: number;
  readonly spans: readonly TimelineSpan[];
}

type Kind = 'forward' | 'backward' | 'backwardInput' | 'backwardWeight' | 'forwardBackward';

interface Task {
  readonly kind: Kind;
  /** 0: from the first rank down; 1: from the last rank up. */
  readonly direction: number;
  readonly chunk: number;
  /** The backward half of a pair. */
  readonly backward?: { readonly direction: number; readonly chunk: number };
}

export function walkDualPipe(options: WalkOptions): WalkedStep {
  const { numRanks, durations, transfer } = options;
  const lists = Array.from({ length: numRanks }, (_, rank) => tasksOf(options, rank));
  const next = lists.map(() => 0);
  const free = lists.map(() => 0);
  const done = new Map<string, number>();
  const spans: TimelineSpan[] = [];
  const stageOf = (rank: number, direction: number): number =>
    direction === 0 ? rank : numRanks - 1 - rank;
  const key = (pass: string, direction: number, chunk: number, stage: number): string =>
    `${pass} ${direction} ${chunk} ${stage}`;
  const half = options.numMicroBatches / 2;

  const needsOf = (rank: number, { kind, direction, chunk, backward }: Task): string[] => {
    const stage = stageOf(rank, direction);
    const before = stage > 0 ? [key('F', direction, chunk, stage - 1)] : [];
    const behind = (way: number, each: number): string[] => {
      const at = stageOf(rank, way);
      const own = key('F', way, each, at);
      return at < numRanks - 1 ? [own, key('B', way, each, at + 1)] : [own];
    };
    switch (kind) {
      case 'forward':
        return before;
      case 'backward':
      case 'backwardInput':
        return behind(direction, chunk);
      case 'forwardBackward':
        return backward ? [...before, ...behind(backward.direction, backward.chunk)] : before;
      case 'backwardWeight':
        return [];
      default:
        return kind satisfies never;
    }
  };

  for (let isMoving = true; isMoving; ) {
    isMoving = false;
    for (let rank = 0; rank < numRanks; rank++) {
      for (;;) {
        const index = next[rank] ?? 0;
        const task = lists[rank]?.[index];
        if (task === undefined) break;
        const needs = needsOf(rank, task);
        if (needs.some((need) => !done.has(need))) break;
        const own = key('F', task.direction, task.chunk, stageOf(rank, task.direction));
        const arrived = needs.map((need) => (done.get(need) ?? 0) + (need === own ? 0 : transfer));
        const start = Math.max(free[rank] ?? 0, ...arrived);
        const end = start + durationOf(task.kind, durations);
        const stage = stageOf(rank, task.direction);
        const { backward } = task;
        if (task.kind.startsWith('forward'))
          done.set(key('F', task.direction, task.chunk, stage), end);
        else if (task.kind !== 'backwardWeight') {
          done.set(key('B', task.direction, task.chunk, stage), end);
        }
        if (backward) {
          const at = stageOf(rank, backward.direction);
          done.set(key('B', backward.direction, backward.chunk, at), end);
        }
        spans.push({
          rank,
          name: task.kind,
          instruction: index,
          start,
          end,
          stage,
          microBatch: task.chunk + task.direction * half,
          ...(backward && {
            backward: {
              stage: stageOf(rank, backward.direction),
              microBatch: backward.chunk + backward.direction * half,
            },
          }),
        });
        free[rank] = end;
        next[rank] = index + 1;
        isMoving = true;
      }
    }
  }
  if (lists.some((list, rank) => list.length !== next[rank]))
    throw new Error('a rank waits forever');
  const passes = Math.max(...free);
  for (let rank = 0; rank < numRanks; rank++) {
    const instruction = next[rank] ?? 0;
    const end = passes + options.optimizer;
    spans.push({ rank, name: 'optimizerStep', instruction, start: passes, end });
  }
  return { seconds: passes + options.optimizer, spans };
}

function durationOf(kind: Kind, durations: WalkOptions['durations']): number {
  switch (kind) {
    case 'forward':
      return durations.forward;
    case 'backward':
      return durations.backward;
    case 'backwardInput':
      return durations.input;
    case 'backwardWeight':
      return durations.weight;
    case 'forwardBackward':
      return durations.pair;
    default:
      return kind satisfies never;
  }
}

/** The eight phases of the published schedule, for one rank. */
function tasksOf({ numRanks, numMicroBatches }: WalkOptions, rank: number): readonly Task[] {
  const isBehind = rank >= numRanks / 2;
  const place = Math.min(rank, numRanks - 1 - rank);
  const numPlaces = numRanks / 2;
  const half = numMicroBatches / 2;
  const counts = { forward: [0, 0], backward: [0, 0] };
  const tasks: Task[] = [];
  const waiting: Task[] = [];
  // "Phase" 0 is the direction in which this half of the ranks comes first.
  const take = (
    pass: 'forward' | 'backward',
    phase: number,
  ): { direction: number; chunk: number } => {
    const direction = isBehind ? 1 - phase : phase;
    const chunk = counts[pass][phase] ?? 0;
    counts[pass][phase] = chunk + 1;
    return { direction, chunk };
  };
  const forward = (phase: number): unknown =>
    tasks.push({ kind: 'forward', ...take('forward', phase) });
  const backward = (phase: number): unknown =>
    tasks.push({ kind: 'backward', ...take('backward', phase) });
  const input = (phase: number): void => {
    const taken = take('backward', phase);
    tasks.push({ kind: 'backwardInput', ...taken });
    waiting.push({ kind: 'backwardWeight', ...taken });
  };
  const weight = (): void => {
    const task = waiting.shift();
    if (task !== undefined) tasks.push(task);
  };
  const pair = (phase: number): unknown =>
    tasks.push({
      kind: 'forwardBackward',
      ...take('forward', phase),
      backward: take('backward', 1 - phase),
    });
  const repeat = (times: number, action: (index: number) => unknown): void => {
    for (let index = 0; index < times; index++) action(index);
  };
  repeat((numPlaces - place - 1) * 2, () => forward(0));
  repeat(place + 1, () => [forward(0), forward(1)]);
  repeat(numPlaces - place - 1, () => [input(1), weight(), forward(1)]);
  repeat(half - numRanks + place + 1, (index) => {
    // The innermost ranks start with the two passes apart, as there is nobody to wait for.
    if (index === 0 && place === numPlaces - 1) return [forward(0), backward(1), pair(1)];
    return [pair(0), pair(1)];
  });
  repeat(numPlaces - place - 1, () => [backward(1), pair(1)]);
  repeat(place + 1, (index) => {
    const isLate = index >= (place + 1) / 2;
    return isLate ? [input(1), input(0)] : [backward(1), backward(0)];
  });
  repeat(numPlaces - place - 1, () => [weight(), input(0)]);
  while (waiting.length > 0) weight();
  return tasks;
}
