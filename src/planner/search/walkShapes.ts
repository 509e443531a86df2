/**
 * Bubbles, closed in the number of micro-batches. Filling and draining are walked with the very
 * programs of the schedule, but short ones: past the filling every micro-batch adds the same, so
 *
 *     T(m) = T(2 P) + (m − 2 P) × (T(3 P) − T(2 P)) / P        for m > 3 P, on P ranks
 *
 * and a step with thousands of micro-batches costs as much as one of three times the ranks. With
 * equal stages this gives the papers' formulae; with unequal ones the busiest rank and its
 * neighbours decide, and messages where nothing hides them.
 */
import { at } from '../../base/assert.ts';
import { numMicroBatches, type TrainingPlan } from '../../config/parallelPlan.ts';
import { lower, wholeStep } from '../../policy/pipeline/lower.ts';
import { pipelineSchedule } from '../../policy/pipeline/pipelineSchedule.ts';
import { type PreparedWalk, prepareWalk } from '../../simulator/prepareWalk.ts';
import {
  type ProgramCosts,
  pricesOf,
  type WalkTimes,
  walkPrepared,
} from '../../simulator/walkPrograms.ts';
import { anySettings } from '../pipelinePlan.ts';

export interface RoughWalk {
  readonly seconds: number;
  /** Of each rank. */
  readonly busy: readonly number[];
}

/** Walks of any plan; each kind of schedule is prepared once. */
export class WalkShapes {
  readonly #known = new Map<string, PreparedWalk>();

  walk(plan: TrainingPlan, costs: ProgramCosts): RoughWalk {
    const { pp } = plan.layout;
    const count = numMicroBatches(plan);
    if (count <= 3 * pp) return timesOf(this.#walk(plan, count, costs));
    const short = this.#walk(plan, 2 * pp, costs);
    const long = this.#walk(plan, 3 * pp, costs);
    const more = (count - 2 * pp) / pp;
    const on = (a: number, b: number): number => a + more * (b - a);
    return {
      seconds: on(short.makespan, long.makespan),
      busy: Array.from(short.busy, (busy, rank) => on(busy, at(long.busy, rank))),
    };
  }

  #walk(plan: TrainingPlan, count: number, costs: ProgramCosts): WalkTimes {
    const prepared = this.#prepared(plan, count);
    return walkPrepared(prepared, pricesOf(prepared, costs));
  }

  #prepared({ schedule: name, layout, chunksPerRank }: TrainingPlan, count: number): PreparedWalk {
    const key = `${name} ${layout.pp} ${chunksPerRank} ${count}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const schedule = pipelineSchedule({
      ...{ name, chunksPerRank },
      numRanks: layout.pp,
      numMicroBatches: count,
    });
    const normalizers = { main: 1, mtp: [] };
    const made = prepareWalk(wholeStep(lower({ schedule, settings: anySettings, normalizers })));
    this.#known.set(key, made);
    return made;
  }
}

function timesOf({ makespan, busy }: WalkTimes): RoughWalk {
  return { seconds: makespan, busy: Array.from(busy) };
}
