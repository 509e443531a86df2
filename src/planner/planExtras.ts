/**
 * What a report shows beside its numbers: spans for the pictures, the plans that lost and why, the
 * same plan on other hardware. Kept apart from `PlanReport`, whose JSON stays small.
 */
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { TrainingPlan } from '../config/parallelPlan.ts';
import type { Span } from '../program/span.ts';
import type { StepPhases } from './planReport.ts';

/** A span; of an overlapped pair its own stage is the forward's, `backward` the other one. */
export interface TimelineSpan extends Span {
  readonly backward?: { readonly stage: number; readonly microBatch: number };
}

/** A piece of an overlapped pair; seconds from the pair's start. */
export interface PairSpan {
  readonly stream: 'compute' | 'communication';
  readonly pass: 'forward' | 'backward' | 'weight';
  /** "attention", "dispatch". */
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** A plan that was looked at. */
export interface Candidate {
  /** Short, for charts: "pp16,ep64,zero1 dualpipe". */
  readonly label: string;
  readonly plan: TrainingPlan;
  readonly numGpus: number;
  readonly stepSeconds: number;
  /** Of the whole run; null when only a step is planned. */
  readonly days: number | null;
  /** Of the run, or of one step. */
  readonly dollars: number;
  readonly peakMemoryBytes: number;
  readonly mfuCausal: number;
  readonly isBest: boolean;
  /** Why it won or lost, in one sentence. */
  readonly reason: string;
}

/** The same plan with something about the hardware changed. */
export interface WhatIf {
  readonly name: string;
  readonly stepSeconds: number;
  readonly days: number | null;
  readonly dollars: number;
  readonly mfuCausal: number;
  /** What was changed, or why nothing moved. */
  readonly note: string;
}

/** A step with one expert busier than the others. */
export interface ExpertLoadStep {
  /** Load of the hottest expert over the mean. */
  readonly hottestExpert: number;
  /** Of its rank, which holds others too. */
  readonly hottestRank: number;
  readonly stepSeconds: number;
}

/** Measured rows to lay beside ours. */
export interface PublishedRows {
  /** Paper and table. */
  readonly from: string;
  readonly stepSeconds: number | null;
  readonly phases: Partial<StepPhases>;
}

export interface PlanExtras {
  readonly cluster: ClusterSpec;
  /** What was typed, to get the same report again. */
  readonly command: string;
  /** One step of one pipeline; ranks are places in the pipeline. */
  readonly spans: readonly TimelineSpan[];
  readonly pairSpans: readonly PairSpan[];
  readonly candidates: readonly Candidate[];
  readonly whatIfs: readonly WhatIf[];
  readonly publishedRows: PublishedRows | null;
  /** From an even load on; none where nobody asked. */
  readonly expertLoads?: readonly ExpertLoadStep[];
}
