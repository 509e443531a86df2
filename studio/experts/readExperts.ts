/** Where frames come from: a run's metrics from their first byte and live, or a server's counts. */
import { EMPTY_HISTORY, type ExpertHistory, withLines } from './expertFrames.ts';
import { withRecording } from './servedFrames.ts';

export interface RunName {
  readonly id: string;
  readonly name: string;
}

export interface Followed {
  /** Whole lines, in order. */
  readonly lines: (text: string) => void;
  /** The file was begun anew: what came so far is not part of it. */
  readonly restart: () => void;
}

/** A `fetch` of JSON and text, and a stream of events; a browser's, or a test's. */
export interface Door {
  readonly fetch: typeof globalThis.fetch;
  readonly follow: (url: string, on: Followed) => () => void;
}

export const PAGE_DOOR: Door = {
  fetch: (...call) => globalThis.fetch(...call),
  follow: (url, { lines, restart }) => {
    const source = new EventSource(url);
    source.onmessage = (event: MessageEvent<string>) => lines(event.data);
    source.addEventListener('restart', restart);
    return () => source.close();
  },
};

export async function readRuns(door: Door): Promise<readonly RunName[]> {
  return (await json(door, '/studio/api/runs')) as readonly RunName[];
}

/** The whole history now, then with each new line; @returns how to stop. */
export function followRun(
  door: Door,
  runId: string,
  on: {
    readonly history: (history: ExpertHistory) => void;
    readonly failure: (reason: string) => void;
  },
): () => void {
  const base = `/studio/api/runs/${encodeURIComponent(runId)}`;
  let isStopped = false;
  let stopFollowing: (() => void) | null = null;
  const begin = async (): Promise<void> => {
    const response = await door.fetch(`${base}/metrics?from=0`);
    if (!response.ok) throw new Error(await reasonOf(response));
    let history = withLines(EMPTY_HISTORY, await response.text());
    if (isStopped) return;
    on.history(history);
    const next = response.headers.get('x-next-byte') ?? '0';
    stopFollowing = door.follow(`${base}/follow?from=${next}`, {
      lines: (text) => {
        const before = history.numSeen;
        history = withLines(history, text);
        if (history.numSeen !== before) on.history(history);
      },
      restart: () => {
        history = EMPTY_HISTORY;
        on.history(history);
      },
    });
  };
  begin().catch((error: unknown) => {
    if (!isStopped) on.failure(error instanceof Error ? error.message : String(error));
  });
  return () => {
    isStopped = true;
    stopFollowing?.();
  };
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
