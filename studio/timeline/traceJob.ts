/** What page and worker say of a trace's file, and the worker's half of it without the worker. */
import { MoebiusError } from '../../src/base/errors.ts';
import { buffersOf, readTraceFile, rowsOfTrace, type TraceRows } from './traceRows.ts';

export type TraceNews =
  /** Which share of the file has been read; 1: its rows are being made. */
  | { readonly kind: 'progress'; readonly share: number }
  | { readonly kind: 'read'; readonly trace: TraceRows }
  | { readonly kind: 'unread'; readonly reason: string };

/** @param tell may take the memory of what it is given */
export async function runTraceJob(
  file: Blob,
  tell: (news: TraceNews, transfer: ArrayBuffer[]) => void,
): Promise<void> {
  let told = 0;
  try {
    const trace = await readTraceFile(file, (bytes) => {
      const share = bytes / file.size;
      // A percent at a time: the page needs no more.
      if (share < told + 0.01 && share < 1) return;
      told = share;
      tell({ kind: 'progress', share }, []);
    });
    const rows = rowsOfTrace(trace);
    tell({ kind: 'read', trace: rows }, buffersOf(rows));
  } catch (error) {
    const reason =
      error instanceof MoebiusError ? `${error.message}. ${error.hint ?? ''}` : String(error);
    tell({ kind: 'unread', reason: reason.trim() }, []);
  }
}
