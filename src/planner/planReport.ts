/**
 * What a plan comes to. The first keys are stable: scripts read them from `plan train --json`.
 * Seconds, bytes, dollars; ranks are the ranks of one pipeline, all others are like one of them.
 */
import type { TrainingPlan } from '../config/parallelPlan.ts';
import type { Span } from '../program/span.ts';
import type { Estimate, EstimateSource } from '../simulator/estimate.ts';
import type { MemoryParts } from '../simulator/memory/estimateMemory.ts';

/** Rows of DeepSeek's step-time table (ISCA 2025, table 4), in seconds of one rank. */
export interface StepPhases {
  readonly '1F': number;
  readonly bubble: number;
  readonly '1B': number;
  readonly '1W': number;
  readonly '1F1B': number;
  readonly optimizer: number;
}

/** What is alive on one rank at its fullest moment, in bytes. */
export type MemoryBreakdown = MemoryParts;

export interface RankReport {
  /** Its place in the pipeline. */
  readonly rank: number;
  /** Layers `first` … `last − 1` of each stage it has. */
  readonly stages: readonly { readonly first: number; readonly last: number }[];
  readonly phases: StepPhases;
  readonly memoryBytes: number;
  readonly memory: MemoryBreakdown;
}

/** One class of operations on the rank whose phases are shown. */
export interface OperationShare {
  readonly name: string;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
  readonly source: EstimateSource;
  /** FLOP/s over the peak, or bytes/s over the bandwidth: whichever bounds it. */
  readonly shareOfLimit: number;
  readonly bound: 'compute' | 'memory' | 'network';
}

export interface SourceNote {
  /** What the number is: "FP8 products", "dispatch". */
  readonly what: string;
  readonly source: EstimateSource;
  readonly relativeError: number;
  /** Table, paper or formula. */
  readonly from: string;
}

export interface PlanReport {
  readonly schemaVersion: 1;
  readonly stepSeconds: number;
  readonly tokensPerDay: number;
  readonly mfuCausal: number;
  readonly mfuNonCausal: number;
  readonly tflopsCausal: number;
  readonly bubbleSeconds: number;
  /** Of rank 0. */
  readonly phases: StepPhases;
  readonly memoryBytesPerRank: readonly number[];
  readonly peakMemoryBytes: number;
  /** Of the whole run, when the number of tokens is known; else of one step. */
  readonly gpuHours: number;
  readonly dollars: number;
  readonly sources: readonly SourceNote[];

  readonly model: string;
  readonly cluster: string;
  readonly plan: TrainingPlan;
  readonly numGpus: number;
  readonly step: Estimate;
  readonly tokensPerStep: number;
  /** Tokens of the whole run; null when only a step is planned. */
  readonly totalTokens: number | null;
  readonly days: number | null;
  readonly kilowattHours: number;
  readonly flopsPerTokenCausal: number;
  readonly flopsPerTokenNonCausal: number;
  /** The overlapped pair that the pipeline runs most; null without pairs. */
  readonly overlap: {
    readonly pairSeconds: number;
    readonly computeSeconds: number;
    readonly communicationSeconds: number;
    readonly hiddenShare: number;
  } | null;
  /** The same plan with products in the other precision; null where the GPU has only one. */
  readonly otherPrecision: {
    readonly precision: TrainingPlan['precision'];
    readonly stepSeconds: number;
    readonly mfuCausal: number;
    readonly peakMemoryBytes: number;
    readonly isFitting: boolean;
  } | null;
  readonly ranks: readonly RankReport[];
  readonly operations: readonly OperationShare[];
  /** Bytes per GPU, one way, and times that follow from the cluster's description. */
  readonly derived: Readonly<Record<string, number>>;
}

/** With what the report's pictures are drawn; not part of the JSON. */
export interface PlanTimeline {
  readonly spans: readonly Span[];
}
