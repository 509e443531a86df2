/**
 * What page and worker say to each other, and the worker's half of it without the worker: a
 * question in, news of a search on the way, one answer at the end.
 *
 * There is no word for "stop": planning is one long computation and hears nothing while it runs.
 * Who no longer wants an answer ends the worker (`planClient.ts`), which stops at once.
 */
import type { Clock } from '../../src/base/clock.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { type PagePlan, planForPage } from './planForPage.ts';
import type { PlanRequest } from './planRequest.ts';
import { type Refusal, refusalOf } from './refusal.ts';

export interface PlanQuestion {
  readonly kind: 'plan';
  readonly id: number;
  readonly request: PlanRequest;
}

export type PlanProgress =
  | { readonly kind: 'planning' }
  | {
      readonly kind: 'searching';
      readonly numGpus: number;
      readonly priced: number;
      readonly total: number;
    }
  | { readonly kind: 'found'; readonly numPlans: number; readonly numFitting: number };

export type PlanNews =
  | { readonly kind: 'progress'; readonly id: number; readonly progress: PlanProgress }
  | { readonly kind: 'planned'; readonly id: number; readonly plan: PagePlan }
  | { readonly kind: 'refused'; readonly id: number; readonly refusal: Refusal }
  /** A mistake of ours. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };

export interface PlanJobMeans {
  readonly clock: Clock;
  readonly tell: (news: PlanNews) => void;
}

export function runPlanJob({ id, request }: PlanQuestion, { clock, tell }: PlanJobMeans): void {
  const progress = (news: PlanProgress): void => tell({ kind: 'progress', id, progress: news });
  progress({ kind: 'planning' });
  try {
    const plan = planForPage(request, {
      clock,
      onProgress: (news) => progress({ kind: 'searching', ...news }),
      onFound: ({ numPlans, numFitting }) => progress({ kind: 'found', numPlans, numFitting }),
    });
    tell({ kind: 'planned', id, plan });
  } catch (error) {
    if (error instanceof MoebiusError) tell({ kind: 'refused', id, refusal: refusalOf(error) });
    else tell({ kind: 'failed', id, message: String(error) });
  }
}
