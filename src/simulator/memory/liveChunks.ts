/**
 * How many micro-batches a rank holds activations of at its fullest moment, by the closed forms of
 * the schedules' papers. A walk through the real programs gives the same numbers, and may be passed
 * in their place.
 *
 *     GPipe          all
 *     1F1B           P − j on rank j
 *     interleaved    2 (P − j − 1) + (v − 1) P + 1 chunks of v (Narayanan et al. 2021, 2.2)
 *     ZB1P           as 1F1B, and j weight halves that wait: P in all (Qi et al. 2023, ZB-H1)
 *     DualPipe       P − j of one direction and j + 1 of the other: P + 1 (V3 report, table 2)
 *     DualPipeV      the same with 2 P stages, two on each rank
 */
import { numMicroBatches, type TrainingPlan } from '../../config/parallelPlan.ts';

/** One number for each of the rank's stages, in the order of the model. */
export interface LiveChunks {
  /** Forward passes whose backward has not ended. */
  readonly kept: readonly number[];
  /** Input halves whose weight half has not run. */
  readonly deferred: readonly number[];
}

export function liveChunks(plan: TrainingPlan): LiveChunks[] {
  const ranks = plan.layout.pp;
  return Array.from({ length: ranks }, (_, rank) => ofRank(plan, { rank, ranks }));
}

function ofRank(plan: TrainingPlan, at: { rank: number; ranks: number }): LiveChunks {
  const { rank: j, ranks: P } = at;
  const all = numMicroBatches(plan);
  const one = (kept: number, deferred = 0): LiveChunks => ({
    kept: [Math.min(kept, all)],
    deferred: [Math.max(0, Math.min(deferred, all - kept))],
  });
  switch (plan.schedule) {
    case 'gpipe':
      return one(all);
    case '1f1b':
      return one(P - j);
    case 'zb1p':
      return one(P - j, j);
    case 'interleaved-1f1b':
      return interleaved(plan, at);
    case 'dualpipe':
      // Stage s of either direction keeps P − s; each direction has half of the micro-batches.
      return pair(Math.max(P - j, j + 1), Math.min(P - j, j + 1), all / 2);
    case 'dualpipev':
      return pair(2 * P - j, j + 1, all);
    default:
      return plan.schedule satisfies never;
  }
}

function pair(first: number, second: number, most: number): LiveChunks {
  return { kept: [Math.min(first, most), Math.min(second, most)], deferred: [0, 0] };
}

/** Micro-batches go through the chunks in groups of P: the first forwards fill chunk by chunk. */
function interleaved(plan: TrainingPlan, at: { rank: number; ranks: number }): LiveChunks {
  const { rank: j, ranks: P } = at;
  const { chunksPerRank } = plan;
  const all = numMicroBatches(plan) * chunksPerRank;
  const alive = Math.min(2 * (P - j - 1) + (chunksPerRank - 1) * P + 1, all);
  const kept = Array.from({ length: chunksPerRank }, () => 0);
  for (let forward = 0; forward < alive; forward++) {
    const chunk = Math.floor(forward / P) % chunksPerRank;
    kept[chunk] = (kept[chunk] ?? 0) + 1;
  }
  return { kept, deferred: kept.map(() => 0) };
}
