/**
 * A plan's step to a percent, in a fraction of a millisecond: layers split as in the full
 * simulation, passes added up from slices, a short walk for the bubble, the optimiser by its bytes.
 * It ranks plans; what is shown of the best comes from the full simulation.
 */
import { at } from '../../base/assert.ts';
import {
  numMicroBatches,
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import type { TrainingInstruction } from '../../program/instruction.ts';
import { type OptimizerPrice, sentUnderPass } from '../../simulator/cost/optimizerCosts.ts';
import { type PlannedStage, planStages, stagesOfRanks } from '../pipelinePlan.ts';
import { hasPairs, optimizerPrices, type PriceBook, type ShapePrices } from '../priceBook.ts';
import { paceOf } from '../simulatePlan.ts';
import { RoughPasses, type RoughPrice, type StageMake } from './roughPasses.ts';
import { WalkShapes } from './walkShapes.ts';

/** Where a step's seconds go, as the sentences about plans want it. */
export interface CheapStep {
  readonly seconds: number;
  readonly stages: readonly PlannedStage[];
  /** Mean over ranks of what they wait, uneven stages included. */
  readonly bubbleSeconds: number;
  /** Transfers under which nothing computes, on the rank with most. */
  readonly exposedSeconds: number;
  /** Seconds that recomputation adds, on the rank with most. */
  readonly recomputeSeconds: number;
  readonly optimizerSeconds: number;
}

export class CheapModel {
  readonly book: PriceBook;
  readonly #walks: WalkShapes;
  readonly #passes = new Map<string, RoughPasses>();
  readonly #stages = new Map<string, readonly PlannedStage[]>();

  /** @param walks of plans on any cluster */
  constructor(book: PriceBook, walks: WalkShapes = new WalkShapes()) {
    this.book = book;
    this.#walks = walks;
  }

  /** As the full simulation splits them; plans that differ in replicas alone share a split. */
  stages(plan: TrainingPlan, recompute?: RecomputeItems): readonly PlannedStage[] {
    const shape = this.book.shape(plan, recompute);
    const { layout, schedule, chunksPerRank } = plan;
    // A split follows from costs and live chunks: ZB1P keeps as many as 1F1B, and past the filling
    // no schedule keeps more.
    const held = schedule === 'zb1p' ? '1f1b' : schedule;
    const count = Math.min(numMicroBatches(plan), 3 * layout.pp * chunksPerRank);
    const key = `${shape.key} ${layout.pp} ${held} ${chunksPerRank} ${count}`;
    const known = this.#stages.get(key);
    if (known !== undefined) return known;
    const made = planStages(this.book.model, plan, this.#passesOf(plan, shape).slices(plan));
    this.#stages.set(key, made);
    return made;
  }

  /** @param recompute what `auto` came to */
  step(plan: TrainingPlan, recompute?: RecomputeItems): CheapStep {
    const { network } = this.book;
    const stages = this.stages(plan, recompute);
    const stagesOfRank = stagesOfRanks(plan);
    const optimizer = optimizerPrices(this.book, { plan, stages, stagesOfRank });
    const passes = this.#passesOf(plan, this.book.shape(plan, recompute));
    const makes = stages.map((stage) => passes.makeOf(stage));
    const { dp, tp } = plan.layout;
    const bytes = (2 * plan.microBatchSize * plan.sequenceLength * this.book.model.hiddenSize) / tp;
    const walk = this.#walks.walk(plan, {
      seconds: (rank, instruction) =>
        secondsOf(instruction, { passes, makes, optimizer: at(optimizer, rank) }),
      transferSeconds: ({ from, to }) =>
        network.send({ bytes, stride: dp * tp * Math.abs(from - to) }).seconds,
    });
    const update = Math.max(...optimizer.map(({ total }) => total.seconds));
    // As the full simulation: passes go at the pace of the slowest GPU of all.
    const seconds = walk.seconds + (paceOf(plan) - 1) * (walk.seconds - update);
    const idle = walk.busy.reduce((sum, busy) => sum + seconds - busy, 0);
    const count = plan.globalBatch / (dp * plan.microBatchSize);
    const perRank = (of: (own: readonly StageMake[]) => number): number =>
      Math.max(...stagesOfRank.map((own) => of(own.map((stage) => at(makes, stage)))));
    const exposed = perRank((own) => exposedOf(own, passes, plan));
    return {
      seconds,
      stages,
      bubbleSeconds: idle / walk.busy.length,
      exposedSeconds: count * exposed,
      recomputeSeconds: count * this.#recomputed(plan, recompute, perRank),
      optimizerSeconds: update,
    };
  }

  /** What backward takes longer than without any recomputation. */
  #recomputed(
    plan: TrainingPlan,
    recompute: RecomputeItems | undefined,
    perRank: (of: (own: readonly StageMake[]) => number) => number,
  ): number {
    const own = this.book.shape(plan, recompute);
    const none = this.book.shape(plan, recomputePolicies.none);
    if (own === none) return 0;
    const [with_, without] = [own, none].map((shape) => this.#passesOf(plan, shape));
    return perRank((makes) =>
      makes.reduce((sum, make) => {
        const more = (of: RoughPasses | undefined): number =>
          of?.pass('backward', make).seconds ?? 0;
        return sum + (more(with_) - more(without)) / (plan.schedule === 'dualpipe' ? 2 : 1);
      }, 0),
    );
  }

  #passesOf(plan: TrainingPlan, shape: ShapePrices): RoughPasses {
    const known = this.#passes.get(shape.key) ?? new RoughPasses(this.book.model, plan, shape);
    this.#passes.set(shape.key, known);
    return known;
  }
}

interface RankPrices {
  readonly passes: RoughPasses;
  readonly makes: readonly StageMake[];
  readonly optimizer: OptimizerPrice;
}

function secondsOf(instruction: TrainingInstruction, rank: RankPrices): number {
  const { passes, makes, optimizer } = rank;
  switch (instruction.kind) {
    case 'forward':
    case 'backward':
    case 'backwardInput':
    case 'backwardWeight': {
      const { kind, stage } = instruction;
      const { seconds } = passes.pass(kind, at(makes, stage));
      return Math.max(sentUnderPass(kind, optimizer), seconds);
    }
    case 'forwardBackward': {
      const { forward, backward } = instruction;
      const { seconds } = passes.pair(at(makes, forward.stage), at(makes, backward.stage));
      return Math.max(sentUnderPass(instruction.kind, optimizer), seconds);
    }
    case 'reduceGradients':
      return optimizer.reduceGradients.seconds + optimizer.gradientNorm.seconds;
    case 'optimizerStep':
      return optimizer.update.seconds + optimizer.gatherWeights.seconds;
    default:
      return 0;
  }
}

/** Of one micro-batch on one rank; in DualPipe half of them come from each end. */
function exposedOf(own: readonly StageMake[], passes: RoughPasses, plan: TrainingPlan): number {
  const sum = (prices: readonly RoughPrice[]): number =>
    prices.reduce((total, { exposed }) => total + exposed, 0);
  if (hasPairs(plan)) {
    const [a, b] = [at(own, 0), at(own, 1)];
    const both = sum([passes.pair(a, b), passes.pair(b, a)]);
    return plan.schedule === 'dualpipe' ? both / 2 : both;
  }
  return sum(own.flatMap((make) => [passes.pass('forward', make), passes.pass('backward', make)]));
}
