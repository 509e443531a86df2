/**
 * What the server says of runs, and how the page asks: the list, one run's configuration, and its
 * metrics, which come as a file first and as events from where the file ended.
 */
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { API, fetchAnswer, fetchJson } from './fetchJson.ts';

export function listRuns(): Promise<readonly RunSummary[]> {
  return fetchJson('runs');
}

/** The run's train.json, whole. */
export function readConfig(id: string): Promise<object> {
  return fetchJson(`runs/${encodeURIComponent(id)}/config`);
}

export interface FollowOptions {
  readonly id: string;
  /** Called with each piece of the metrics, in order, without gaps. */
  readonly onText: (text: string) => void;
  /** Called when the file was begun anew: the text so far is of nothing that still exists. */
  readonly onRestart: () => void;
  /** Called while the file's present content is read. */
  readonly onProgress: (bytes: { readonly done: number; readonly total: number }) => void;
  /** Called when the file's present content has been read. */
  readonly onCurrent: () => void;
  /** Called when the server does not answer; it is asked again until the following is stopped. */
  readonly onFailure: (reason: string) => void;
  readonly signal: AbortSignal;
}

/** Where in the file the reading stands; the decoder holds half a character between two pieces. */
interface Position {
  next: number;
  decoder: TextDecoder;
}

const RETRY_MILLISECONDS = 2000;

/** Reads a run's metrics from the first byte, and whatever is added until the signal says stop. */
export async function followMetrics(options: FollowOptions): Promise<void> {
  const { id, onCurrent, onFailure, signal } = options;
  const position: Position = { next: 0, decoder: new TextDecoder() };
  while (!signal.aborted) {
    try {
      await readMetrics(options, position);
      onCurrent();
      await followEvents(options, position);
    } catch (error) {
      if (signal.aborted) return;
      onFailure(`${id}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await pause(RETRY_MILLISECONDS, signal);
  }
}

/** Handed on at once, and how long one works before the page may draw and hear keys again. */
const PIECE_CHARACTERS = 2 ** 17;
const WORK_MILLISECONDS = 12;

/**
 * Hands the text on while it arrives: a long run's file is hundreds of megabytes, and reading it in
 * one go would stop the page. When the connection breaks in the middle, the bytes so far count, so
 * the next try goes on from there.
 */
async function readMetrics(options: FollowOptions, position: Position): Promise<void> {
  const { id, onRestart, onProgress, signal } = options;
  const path = `runs/${encodeURIComponent(id)}/metrics?from=${position.next}`;
  const { body, headers } = await fetchAnswer(path, { signal });
  if (body === null) return;
  if (Number(headers.get('x-from-byte') ?? position.next) !== position.next) {
    position.next = 0;
    position.decoder = new TextDecoder();
    onRestart();
  }
  const total = Number(headers.get('x-next-byte') ?? 0);
  const reader = body.getReader();
  const turn = { since: performance.now() };
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    position.next += piece.value.length;
    await handOn(position.decoder.decode(piece.value, { stream: true }), options, turn);
    if (signal.aborted) return;
    onProgress({ done: position.next, total });
  }
}

async function handOn(
  text: string,
  { onText, signal }: FollowOptions,
  turn: { since: number },
): Promise<void> {
  for (let from = 0; from < text.length && !signal.aborted; from += PIECE_CHARACTERS) {
    onText(text.slice(from, from + PIECE_CHARACTERS));
    if (performance.now() - turn.since < WORK_MILLISECONDS) continue;
    await new Promise((resolve) => setTimeout(resolve));
    turn.since = performance.now();
  }
}

/** Ends when the stream does, for whatever reason. */
function followEvents(
  { id, onText, onRestart, signal }: FollowOptions,
  position: Position,
): Promise<void> {
  return new Promise((resolve) => {
    const from = position.next;
    const source = new EventSource(`${API}/runs/${encodeURIComponent(id)}/follow?from=${from}`);
    const end = (): void => {
      // It would begin again at `from`, of which much has been read by now.
      source.close();
      resolve();
    };
    source.onmessage = ({ data, lastEventId }: MessageEvent<string>) => {
      const after = Number(lastEventId);
      if (!(after > position.next)) return;
      position.next = after;
      onText(data.endsWith('\n') ? data : `${data}\n`);
    };
    source.addEventListener('restart', () => {
      position.next = 0;
      onRestart();
    });
    source.onerror = end;
    signal.addEventListener('abort', end, { once: true });
  });
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
