/**
 * The traces that the page has open, one for each source, and the workers that read them. They stay
 * while one looks at another view; a reload forgets them, as it must.
 */
import type { RowSource } from '../draw/timelineIndex.ts';
import type { TraceNews } from './traceJob.ts';
import type { TraceRows } from './traceRows.ts';

export type OpenTrace =
  | { readonly kind: 'none' }
  | { readonly kind: 'reading'; readonly file: string; readonly share: number }
  | { readonly kind: 'read'; readonly file: string; readonly trace: TraceRows }
  | { readonly kind: 'unread'; readonly file: string; readonly reason: string };

export type OpenTraces = Readonly<Record<RowSource, OpenTrace>>;

const NONE: OpenTrace = { kind: 'none' };
let open: OpenTraces = { real: NONE, simulated: NONE };
const workers: Record<RowSource, Worker | null> = { real: null, simulated: null };
const watchers = new Set<(open: OpenTraces) => void>();

export function openTraces(): OpenTraces {
  return open;
}

/** Told of each change from now on, until what is returned is called. */
export function watchTraces(watcher: (open: OpenTraces) => void): () => void {
  watchers.add(watcher);
  // What changed between the first look and now is not missed.
  watcher(open);
  return () => {
    watchers.delete(watcher);
  };
}

/** Reads a file in place of what the source had; a file that is being read is given up. */
export function openTrace(source: RowSource, file: File): void {
  closeTrace(source);
  const { name } = file;
  put(source, { kind: 'reading', file: name, share: 0 });
  const worker = new Worker(new URL('./traceWorker.ts', import.meta.url), { type: 'module' });
  workers[source] = worker;
  worker.onmessage = ({ data }: MessageEvent<TraceNews>) => {
    if (data.kind !== 'progress') end(source);
    put(source, openOf(name, data));
  };
  worker.onerror = ({ message }) => {
    end(source);
    put(source, { kind: 'unread', file: name, reason: message });
  };
  worker.postMessage(file);
}

/** Closes what the source has, or stops reading it. */
export function closeTrace(source: RowSource): void {
  end(source);
  if (open[source].kind !== 'none') put(source, NONE);
}

function openOf(file: string, news: TraceNews): OpenTrace {
  switch (news.kind) {
    case 'progress':
      return { kind: 'reading', file, share: news.share };
    case 'read':
      return { kind: 'read', file, trace: news.trace };
    case 'unread':
      return { kind: 'unread', file, reason: news.reason };
    default:
      return news satisfies never;
  }
}

function end(source: RowSource): void {
  workers[source]?.terminate();
  workers[source] = null;
}

function put(source: RowSource, trace: OpenTrace): void {
  open = { ...open, [source]: trace };
  for (const watcher of watchers) watcher(open);
}
