/** Reads one trace in a thread of its own, which ends with it and gives its memory back. */
import { runTraceJob, type TraceNews } from './traceJob.ts';

/** What a worker has for the outside; the compiler's own word would clash with the page's. */
interface WorkerScope {
  onmessage: ((event: { readonly data: Blob }) => void) | null;
  postMessage: (news: TraceNews, transfer: ArrayBuffer[]) => void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = ({ data }) =>
  void runTraceJob(data, (news, transfer) => scope.postMessage(news, transfer));
