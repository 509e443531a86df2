/** The planner in a thread of its own, so that the page stays awake while it thinks. */
import { type PlanNews, type PlanQuestion, runPlanJob } from './planJob.ts';

/** What a worker has for the outside; the compiler's own word would clash with the page's. */
interface WorkerScope {
  onmessage: ((event: { readonly data: PlanQuestion }) => void) | null;
  postMessage: (news: PlanNews) => void;
}

const scope = globalThis as unknown as WorkerScope;
const clock = { now: (): number => performance.now() / 1000 };

scope.onmessage = ({ data }) =>
  runPlanJob(data, { clock, tell: (news) => scope.postMessage(news) });
