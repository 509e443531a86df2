/**
 * Two in-order streams of a GPU, one that computes and one that moves data: a task starts when its
 * stream is free and what it waits for has ended. So overlap comes out; it is never put in.
 */
import { at } from '../../base/assert.ts';

export type StreamName = 'compute' | 'communication';

export interface StreamTask {
  readonly stream: StreamName;
  readonly name: string;
  readonly layer: number | null;
  readonly seconds: number;
  /** Earlier tasks, by their place in the list. */
  readonly after: readonly number[];
}

export interface StreamSpan {
  readonly stream: StreamName;
  /** Pass and part: "forward attention". */
  readonly name: string;
  readonly layer: number | null;
  readonly start: number;
  readonly end: number;
}

export interface StreamsRun {
  readonly seconds: number;
  /** Without those that take no time. */
  readonly spans: readonly StreamSpan[];
  /** By place in the list. */
  readonly taskSpans: readonly StreamSpan[];
  readonly computeSeconds: number;
  readonly communicationSeconds: number;
  /** While data moves and nothing computes. */
  readonly exposedSeconds: number;
}

export function runStreams(tasks: readonly StreamTask[]): StreamsRun {
  const free = { compute: 0, communication: 0 };
  const spans: StreamSpan[] = [];
  for (const { stream, name, layer, seconds, after } of tasks) {
    const start = after.reduce((latest, i) => Math.max(latest, at(spans, i).end), free[stream]);
    free[stream] = start + seconds;
    spans.push({ stream, name, layer, start, end: start + seconds });
  }
  const busy = (stream: StreamName): number =>
    spans.reduce((sum, s) => (s.stream === stream ? sum + s.end - s.start : sum), 0);
  const communicationSeconds = busy('communication');
  return {
    seconds: Math.max(free.compute, free.communication),
    spans: spans.filter(({ start, end }) => end > start),
    taskSpans: spans,
    computeSeconds: busy('compute'),
    communicationSeconds,
    exposedSeconds: communicationSeconds - bothBusy(spans),
  };
}

/** Spans of a stream are in order, so one walk over both finds what they share. */
function bothBusy(spans: readonly StreamSpan[]): number {
  const moves = spans.filter(({ stream }) => stream === 'communication');
  const computes = spans.filter(({ stream }) => stream === 'compute');
  let [sum, i, j] = [0, 0, 0];
  while (i < moves.length && j < computes.length) {
    const [move, compute] = [at(moves, i), at(computes, j)];
    sum += Math.max(0, Math.min(move.end, compute.end) - Math.max(move.start, compute.start));
    if (move.end < compute.end) i++;
    else j++;
  }
  return sum;
}
