/**
 * A plan as the page shows it: the answer of the command line, whole, and beside it the same plan
 * on changed hardware. All of it is plain data, for it comes from a worker.
 */
import type { ClusterSpec } from '../../src/config/clusterSpec.ts';
import { applyWhatIf } from '../../src/config/clusters/whatIf.ts';
import type { Candidate, WhatIf } from '../../src/planner/planExtras.ts';
import type { PlanReport } from '../../src/planner/planReport.ts';
import { planTraining } from '../../src/planner/planTraining.ts';
import {
  type AnswerMeans,
  answerPlan,
  type PlanAnswer,
} from '../../src/planner/request/answerPlan.ts';
import { namedSubject } from '../../src/planner/request/planRequest.ts';
import { withoutEffect } from '../../src/planner/request/withoutEffect.ts';
import type { PlanRequest } from './planRequest.ts';
import { type Refusal, refusalOf } from './refusal.ts';

/** A plan on one description of a cluster. */
export interface PlanOnCluster {
  readonly report: PlanReport;
  readonly cluster: ClusterSpec;
}

export interface PagePlan extends PlanOnCluster {
  /** What `moebius plan train --json` prints for the same options. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The same plan, its layers cut anew, with every what-if together; null where none was asked. */
  readonly changed:
    | ({ readonly kind: 'planned' } & PlanOnCluster)
    | { readonly kind: 'refused'; readonly refusal: Refusal }
    | null;
  /** Of a search: the front and those worth a line; none where the layout was given. */
  readonly candidates: readonly Candidate[];
  /** Of a search: what fits and was simulated in full, for pictures of time against a cost. */
  readonly compared: readonly Candidate[];
  readonly search: { readonly numPlans: number; readonly numFitting: number } | null;
  /** Each change by itself; today comes first. */
  readonly whatIfs: readonly WhatIf[];
  readonly published: PublishedStep | null;
  /** Gives the same numbers in a terminal. */
  readonly command: string;
  /** What was asked for and changes nothing. */
  readonly notes: readonly string[];
}

export interface PublishedStep {
  readonly from: string;
  readonly stepSeconds: number | null;
}

/** @throws MoebiusError as the command line does */
export function planForPage(request: PlanRequest, means: AnswerMeans = {}): PagePlan {
  const answer = answerPlan(namedSubject(request), request, means);
  const { subject, planned, found, candidates, extras, plan, json } = answer;
  const { publishedRows: published, whatIfs, command } = extras;
  return {
    ...{ json, report: planned.report, cluster: subject.cluster, candidates, whatIfs, command },
    changed: changedPlan(request, answer),
    compared: (found?.candidates ?? []).filter(
      ({ isSimulated, overBytes }) => isSimulated && overBytes <= 0,
    ),
    search: found === null ? null : { numPlans: found.numPlans, numFitting: found.numFitting },
    published:
      published === null ? null : { from: published.from, stepSeconds: published.stepSeconds },
    notes: withoutEffect(request, subject, plan),
  };
}

/** A change that the plan cannot live with (too little memory) is an answer, not the end. */
function changedPlan(
  { whatIf = [] }: PlanRequest,
  { subject, plan }: PlanAnswer,
): PagePlan['changed'] {
  if (whatIf.length === 0) return null;
  try {
    const cluster = applyWhatIf(subject.cluster, whatIf);
    const { report } = planTraining({ ...subject, cluster, plan });
    return { kind: 'planned', report, cluster };
  } catch (error) {
    return { kind: 'refused', refusal: refusalOf(error) };
  }
}
