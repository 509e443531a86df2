/**
 * What a search is asked and what it answers, as data.
 */
import type { Clock } from '../../base/clock.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type {
  ParallelPlan,
  Precision,
  RecomputePolicy,
  ScheduleName,
} from '../../config/parallelPlan.ts';
import type { LayoutRanges } from '../../policy/plan/layoutRanges.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import type { Candidate } from '../planExtras.ts';

/** `time`: the fastest; `money`: the cheapest. */
export type SearchAim = 'time' | 'money';

export interface SearchRequest {
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  /** Sequences of a step. */
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly precision: Precision;
  readonly mtp: boolean;
  /** Of the whole run; null compares steps. */
  readonly totalTokens: number | null;
  /** Cluster sizes to compare; by default the cluster's own. */
  readonly gpuCounts?: readonly number[];
  /** Factors that are fixed; the others are searched. */
  readonly layout?: Partial<ParallelPlan>;
  /** Least and most of factors that are not. */
  readonly ranges?: LayoutRanges;
  readonly schedules?: readonly ScheduleName[];
  readonly microBatchSizes?: readonly number[];
  /**
   * By default every named policy, and `auto` for the plans that are fastest with those: to choose
   * layer by layer takes ten times as long.
   */
  readonly recomputes?: readonly RecomputePolicy[];
  readonly deadlineDays?: number;
  readonly budgetDollars?: number;
  /** By default the cheapest that meets a deadline, and the fastest where none is given. */
  readonly aim?: SearchAim;
  /** Plans of each cluster size that are simulated in full; ten by default. */
  readonly numSimulated?: number;
  /** Load of the busiest rank's experts over the mean; by default as published. */
  readonly imbalance?: number;
  /** Measured factors on prices. */
  readonly calibration?: Calibration;
  /** To say how long the search took. */
  readonly clock?: Clock;
  /** Told now and then how many plans of a cluster size have been priced. */
  readonly onProgress?: (progress: SearchProgress) => void;
}

export interface SearchProgress {
  readonly numGpus: number;
  readonly priced: number;
  readonly total: number;
}

/** Where a step's seconds go: what sentences about losers are made of. */
export interface StepShares {
  /** Mean over ranks of what they wait. */
  readonly bubbleSeconds: number;
  /** Transfers under which nothing computes, on the rank with most. */
  readonly exposedSeconds: number;
  /** Seconds that recomputation adds. */
  readonly recomputeSeconds: number;
  readonly optimizerSeconds: number;
}

export interface SearchedPlan extends Candidate {
  readonly shares: StepShares;
  /** Whether `stepSeconds` is of the full simulation; else of the cheap model. */
  readonly isSimulated: boolean;
  readonly cheapSeconds: number;
  /** The fullest rank, and by how many bytes it is over; negative where it fits. */
  readonly fullestRank: number;
  readonly overBytes: number;
}

export interface SearchResult {
  /** The best, then those that were simulated, then those that fit, then the others. */
  readonly candidates: readonly SearchedPlan[];
  readonly best: SearchedPlan;
  /** Days (or step seconds) against dollars: undominated, the fastest first. */
  readonly pareto: readonly SearchedPlan[];
  readonly numPlans: number;
  readonly numFitting: number;
  /** Null without a clock. */
  readonly seconds: number | null;
}
