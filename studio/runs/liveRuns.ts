/**
 * The runs that are shown, as they grow: one follower for each, and a number that goes up whenever
 * there is something new to draw, at most once in a quarter of a second.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { followMetrics, listRuns } from '../api/runs.ts';
import { RunSeries } from './series.ts';

export interface LiveRun {
  /** Another one after the run's file was begun anew. */
  series: RunSeries;
  /** Whether the file's content of the beginning has been read. */
  isCurrent: boolean;
  /** How much of that content, 0 to 1. */
  shareRead: number;
}

export interface LiveRuns {
  readonly runs: ReadonlyMap<string, LiveRun>;
  readonly version: number;
  readonly failure: string | undefined;
}

const REDRAW_MILLISECONDS = 250;
/** While a long file is read, reading comes first. */
const READING_MILLISECONDS = 1000;
const LIST_MILLISECONDS = 3000;

export function useLiveRuns(ids: readonly string[]): LiveRuns {
  const [version, setVersion] = useState(0);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const followed = useRef(new Map<string, LiveRun & { readonly stop: AbortController }>());
  const redraw = useRef<number | undefined>(undefined);

  useEffect(() => {
    const changed = (): void => {
      const isReading = [...followed.current.values()].some(({ isCurrent }) => !isCurrent);
      redraw.current ??= window.setTimeout(
        () => {
          redraw.current = undefined;
          setVersion((before) => before + 1);
        },
        isReading ? READING_MILLISECONDS : REDRAW_MILLISECONDS,
      );
    };
    for (const [id, { stop }] of followed.current) {
      if (ids.includes(id)) continue;
      stop.abort();
      followed.current.delete(id);
    }
    for (const id of ids) {
      if (followed.current.has(id)) continue;
      const live = {
        ...{ series: new RunSeries(), isCurrent: false, shareRead: 0 },
        stop: new AbortController(),
      };
      followed.current.set(id, live);
      void followMetrics({
        id,
        signal: live.stop.signal,
        onText: (text) => {
          live.series.append(text);
          changed();
        },
        onRestart: () => {
          live.series = new RunSeries();
          changed();
        },
        onProgress: ({ done, total }) => {
          live.shareRead = total > 0 ? done / total : 0;
        },
        onCurrent: () => {
          live.isCurrent = true;
          // The slow redraw of the reading is not waited for.
          clearTimeout(redraw.current);
          redraw.current = undefined;
          setFailure(undefined);
          changed();
        },
        onFailure: setFailure,
      });
    }
    changed();
  }, [ids.join('\n')]);

  useEffect(
    () => () => {
      for (const { stop } of followed.current.values()) stop.abort();
      followed.current.clear();
      clearTimeout(redraw.current);
    },
    [],
  );
  return { runs: followed.current, version, failure };
}

export interface RunList {
  /** Undefined until the server has answered once. */
  readonly entries: readonly RunSummary[] | undefined;
  readonly failure: string | undefined;
}

/** The list of runs, asked for again every few seconds: a run may begin at any time. */
export function useRunList(): RunList {
  const [list, setList] = useState<RunList>({ entries: undefined, failure: undefined });
  useEffect(() => {
    let isCurrent = true;
    let timer: number | undefined;
    const ask = async (): Promise<void> => {
      try {
        const entries = await listRuns();
        if (isCurrent) setList({ entries, failure: undefined });
      } catch (error) {
        const failure = error instanceof Error ? error.message : String(error);
        if (isCurrent) setList((before) => ({ ...before, failure }));
      }
      if (isCurrent) timer = window.setTimeout(() => void ask(), LIST_MILLISECONDS);
    };
    void ask();
    return () => {
      isCurrent = false;
      clearTimeout(timer);
    };
  }, []);
  return list;
}
