/** What the experts view follows: the runs there are, one run’s history or a server’s, its play. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { listRuns } from '../api/runs.ts';
import { type HeatScale, limitFor } from '../draw/heatMap.ts';
import { EMPTY_HISTORY, type ExpertHistory, gridOf, type Measure } from './expertFrames.ts';
import { followRun, PAGE_DOOR, readServing } from './readExperts.ts';

/** Where a run would stand: the server's own counts. */
export const SERVING = 'serving';

const FRAME_MS = 200;
const POLL_MS = 2000;
const RUNS_MS = 5000;

/** One scale for all steps, so that colours mean the same while time runs; at least 2× or 0.01. */
export function useScale(history: ExpertHistory, measure: Measure): HeatScale {
  return useMemo(() => {
    const kind = measure === 'load' ? 'ratio' : 'signed';
    let limit = measure === 'load' ? 2 : 0.01;
    // A few stragglers near 0 must not wash out all else.
    const most = measure === 'load' ? 4 : Number.POSITIVE_INFINITY;
    for (const frame of history.frames) {
      const { values } = gridOf(frame, measure);
      limit = limitFor(Array.from(values), kind, limit);
    }
    return { kind, limit: Math.min(limit, most) };
  }, [history, measure]);
}

/** What this view says of a run. */
export type RunName = Pick<RunSummary, 'id' | 'name'>;

export function useRuns(): {
  readonly runs: readonly RunName[] | null;
  readonly failure: string | null;
} {
  const [runs, setRuns] = useState<readonly RunName[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    const read = (): void => {
      listRuns().then(
        (found) => {
          setRuns((known) => (hasSameRuns(known, found) ? known : found));
          setFailure(null);
        },
        (error: unknown) => {
          setRuns((known) => known ?? []);
          setFailure(messageOf(error));
        },
      );
    };
    read();
    const timer = setInterval(read, RUNS_MS);
    return () => clearInterval(timer);
  }, []);
  return { runs, failure };
}

function hasSameRuns(known: readonly RunName[] | null, found: readonly RunName[]): boolean {
  if (known?.length !== found.length) return false;
  return known.every(({ id, name }, i) => id === found[i]?.id && name === found[i]?.name);
}

export interface Reading {
  readonly history: ExpertHistory;
  readonly failure: string | null;
  readonly isRead: boolean;
  /** Of what is being read, where that is known. */
  readonly share: number | null;
}

const NOTHING_READ: Reading = {
  history: EMPTY_HISTORY,
  ...{ failure: null, isRead: false, share: null },
};

export function useHistory(source: string | null): Reading {
  const [reading, setReading] = useState<Reading>(NOTHING_READ);
  useEffect(() => {
    setReading(NOTHING_READ);
    const show = (history: ExpertHistory): void =>
      setReading({ history, failure: null, isRead: true, share: null });
    const fail = (failure: string): void => setReading((was) => ({ ...was, failure }));
    if (source === null) return;
    if (source !== SERVING) {
      const progress = (share: number): void => setReading((was) => ({ ...was, share }));
      return followRun(source, { history: show, progress, failure: fail });
    }
    let isCurrent = true;
    let history = EMPTY_HISTORY;
    const poll = (): void => {
      readServing(PAGE_DOOR, history).then(
        (next) => {
          if (!isCurrent) return;
          history = next;
          show(next);
        },
        (error: unknown) => isCurrent && fail(messageOf(error)),
      );
    };
    poll();
    const timer = setInterval(poll, POLL_MS);
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [source]);
  return reading;
}

/** Runs through the frames and ends on the newest, which it then goes on following. */
export function usePlaying(
  { frames }: ExpertHistory,
  index: number,
  go: (step: number | null) => void,
): readonly [boolean, (isPlaying: boolean) => void] {
  const [isPlaying, setPlaying] = useState(false);
  useEffect(() => {
    if (!isPlaying) return;
    const timer = setTimeout(() => {
      const next = frames[index + 1];
      if (next === undefined) setPlaying(false);
      go(next?.step ?? null);
    }, FRAME_MS);
    return () => clearTimeout(timer);
  }, [isPlaying, index, frames]);
  const set = (wanted: boolean): void => {
    // From the end it begins again.
    if (wanted && index === frames.length - 1) go(frames[0]?.step ?? null);
    setPlaying(wanted);
  };
  return [isPlaying, set];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
