/**
 * The page's half of the talk with the planner: the newest question counts, and an older one that
 * is still being worked on is stopped by ending its worker.
 *
 *     ask A ──► working A ── ask B ──► worker ends, another one ──► working B ──► answer B
 *                  └── answer A ──► idle, the worker is kept for the next
 */
import type { PlanNews, PlanQuestion } from './planJob.ts';
import type { PlanRequest } from './planRequest.ts';

/** Of a `Worker` what is used. */
export interface PlanWorker {
  readonly postMessage: (question: PlanQuestion) => void;
  readonly terminate: () => void;
}

/** Makes a worker whose messages go to `tell`, and whose breakdown to `broke`. */
export type StartWorker = (
  tell: (news: PlanNews) => void,
  broke: (message: string) => void,
) => PlanWorker;

export interface PlanClient {
  /** Forgets the question before. Nothing is told of a question once there is a newer one. */
  readonly ask: (request: PlanRequest, tell: (news: PlanNews) => void) => void;
  /** Stops what is being worked on; the client may be asked again. */
  readonly cancel: () => void;
  readonly close: () => void;
}

export function createPlanClient(start: StartWorker): PlanClient {
  let worker: PlanWorker | null = null;
  let asked: { readonly id: number; readonly tell: (news: PlanNews) => void } | null = null;
  let lastId = 0;
  const drop = (): void => {
    worker?.terminate();
    worker = null;
    asked = null;
  };
  const hear = (news: PlanNews): void => {
    if (asked === null || news.id !== asked.id) return;
    const { tell } = asked;
    if (news.kind !== 'progress') asked = null;
    tell(news);
  };
  const broke = (message: string): void => {
    const broken = asked;
    drop();
    if (broken !== null) broken.tell({ kind: 'failed', id: broken.id, message });
  };
  return {
    ask: (request, tell) => {
      if (asked !== null) drop();
      worker ??= start(hear, broke);
      lastId++;
      asked = { id: lastId, tell };
      worker.postMessage({ kind: 'plan', id: lastId, request });
    },
    cancel: () => {
      if (asked !== null) drop();
    },
    close: drop,
  };
}
