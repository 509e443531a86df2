/** Where frames come from: a run's metrics from their first byte and live, or a server's counts. */
import { followMetrics } from '../api/runs.ts';
import { EMPTY_HISTORY, type ExpertHistory, HistoryReader } from './expertFrames.ts';
import { withRecording } from './servedFrames.ts';

/** A `fetch` of JSON: a browser's, or a test's. */
export interface Door {
  readonly fetch: typeof globalThis.fetch;
}

export const PAGE_DOOR: Door = { fetch: (...call) => globalThis.fetch(...call) };

export interface HistoryListener {
  readonly history: (history: ExpertHistory) => void;
  /** How much of the file has been read, before its history is told for the first time. */
  readonly progress: (share: number) => void;
  readonly failure: (reason: string) => void;
}

/** The whole history once it is read, then with each new line; @returns how to stop. */
export function followRun(runId: string, on: HistoryListener): () => void {
  const stopping = new AbortController();
  const { signal } = stopping;
  const reader = new HistoryReader();
  let told: ExpertHistory | null = null;
  let isCurrent = false;
  const tell = (): void => {
    if (signal.aborted || !isCurrent || told === reader.history) return;
    told = reader.history;
    on.history(told);
  };
  void followMetrics({
    ...{ id: runId, signal },
    onText: (text) => {
      reader.add(text);
      tell();
    },
    onRestart: () => {
      reader.restart();
      tell();
    },
    onProgress: ({ done, total }) => {
      if (!signal.aborted && !isCurrent) on.progress(done / total);
    },
    onCurrent: () => {
      isCurrent = true;
      // What was told before a failure is told again behind it.
      told = null;
      tell();
    },
    onFailure: on.failure,
  });
  return () => stopping.abort();
}

/** Whether a checkpoint is loaded: what may be asked of it is refused before. */
export async function isServing(door: Door): Promise<boolean> {
  const { kind } = (await json(door, '/studio/api/serve/state')) as { readonly kind?: unknown };
  return kind === 'ready';
}

/** The history with what is served by now; the empty one where nothing is served. */
export async function readServing(
  door: Door,
  history: ExpertHistory = EMPTY_HISTORY,
): Promise<ExpertHistory> {
  if (!(await isServing(door))) return EMPTY_HISTORY;
  const response = await door.fetch('/studio/api/serve/experts');
  // Stopped between the two: a state like another, and no failure.
  if (response.status === 503) return EMPTY_HISTORY;
  if (!response.ok) throw new Error(await reasonOf(response));
  return withRecording(history, await response.json());
}

async function json({ fetch }: Door, url: string): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(await reasonOf(response));
  return await response.json();
}

/** A refusal in the server's words, else its status. */
async function reasonOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error, message } = JSON.parse(text) as {
      error?: { message?: string };
      message?: string;
    };
    return error?.message ?? message ?? `HTTP ${response.status}`;
  } catch {
    return `HTTP ${response.status}`;
  }
}
