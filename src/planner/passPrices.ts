/**
 * What passes of a plan's stages take, each priced once: a pass by its stage, a pair by its two.
 * Also what one slice of the model takes, from which stages are made in the first place.
 */
import { at } from '../base/assert.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../config/parallelPlan.ts';
import {
  backwardInputOrder,
  backwardOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from '../policy/overlap/partOrder.ts';
import type { StageParts } from '../policy/overlap/stageParts.ts';
import type { TrainingInstruction } from '../program/instruction.ts';
import { recomputeKey } from '../simulator/cost/recompute.ts';
import type { PassPrice, PricedStage, StageCosts } from '../simulator/cost/stageCosts.ts';
import { isMoe, type PlannedStage, partsOfStage, type SliceCosts } from './pipelinePlan.ts';

/** A pass, or the two passes of a pair, by what decides its price. */
export type PassKind = 'forward' | 'backward' | 'backwardInput' | 'backwardWeight';

const orders: Readonly<Record<PassKind, typeof forwardOrder>> = {
  forward: forwardOrder,
  backward: backwardOrder,
  backwardInput: backwardInputOrder,
  backwardWeight: backwardWeightOrder,
};

interface Setting {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly costs: StageCosts;
}

interface PassSetting extends Setting {
  readonly stages: readonly PlannedStage[];
  /** Passes that other plans with the same costs have priced; what is missing is added. */
  readonly known?: Map<string, PassPrice>;
  /** What each layer makes again, where layers differ. */
  readonly recomputeOf?: (stage: number, layer: number) => RecomputeItems;
}

interface KnownStage {
  readonly priced: PricedStage;
  readonly parts: StageParts;
  /** Equal for stages that are alike. */
  readonly kind: string;
}

export class PassPrices {
  readonly #costs: StageCosts;
  readonly #stages: readonly KnownStage[];
  readonly #known: Map<string, PassPrice>;

  constructor({ model, plan, costs, stages, known = new Map(), recomputeOf }: PassSetting) {
    this.#costs = costs;
    this.#known = known;
    this.#stages = stages.map((stage, index) => {
      const parts = partsOfStage(model, plan, stage);
      const { blocks, hasEmbedding, hasHead } = parts;
      const ends = [hasEmbedding ? 'e' : '', hasHead ? 'h' : ''];
      const made = blocks.map(([first]) => first).join('');
      if (recomputeOf === undefined) {
        return { priced: costs.stage(stage), parts, kind: ends.join(made) };
      }
      const items = (layer: number): RecomputeItems => recomputeOf(index, layer);
      const layers = Array.from({ length: stage.last - stage.first }, (_, i) => stage.first + i);
      const again = layers.map((layer) => recomputeKey(items(layer))).join(' ');
      return { priced: costs.stage(stage, items), parts, kind: `${ends.join(made)} ${again}` };
    });
  }

  /** Of the hidden state between stages. */
  get boundaryBytes(): number {
    return at(this.#stages, 0).priced.work.boundaryBytes;
  }

  pass(kind: PassKind, stage: number): PassPrice {
    const { priced, parts, kind: alike } = at(this.#stages, stage);
    return this.#once(`${kind} ${alike}`, () =>
      this.#costs.price(orders[kind](parts), { forward: priced, backward: priced }),
    );
  }

  pair(forward: number, backward: number): PassPrice {
    const [f, b] = [at(this.#stages, forward), at(this.#stages, backward)];
    return this.#once(`${f.kind} & ${b.kind}`, () =>
      this.#costs.price(pairOrder({ forward: f.parts, backward: b.parts }), {
        forward: f.priced,
        backward: b.priced,
      }),
    );
  }

  /** Null for instructions that are no passes. */
  of(instruction: TrainingInstruction): PassPrice | null {
    switch (instruction.kind) {
      case 'forward':
      case 'backward':
      case 'backwardInput':
      case 'backwardWeight':
        return this.pass(instruction.kind, instruction.stage);
      case 'forwardBackward':
        return this.pair(instruction.forward.stage, instruction.backward.stage);
      default:
        return null;
    }
  }

  #once(key: string, price: () => PassPrice): PassPrice {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = price();
    this.#known.set(key, made);
    return made;
  }
}

/**
 * What each kind of slice adds to a stage, forward and backward, overlapped where the schedule
 * overlaps: the price with it less the price without, beside two layers that are there anyway. By
 * itself a slice's transfers would have nothing to hide under.
 */
export function sliceCosts({ model, plan, costs }: Setting): SliceCosts {
  const { numHiddenLayers } = model;
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const seconds = (stage: PlannedStage): number => {
    const priced = costs.stage(stage);
    const parts = partsOfStage(model, plan, stage);
    const stages = { forward: priced, backward: priced };
    if (isPaired) {
      return costs.price(pairOrder({ forward: parts, backward: parts }), stages).seconds;
    }
    const forward = costs.price(forwardOrder(parts), stages).seconds;
    return forward + costs.price(backwardOrder(parts), stages).seconds;
  };
  const none = { hasEmbedding: false, hasHead: false };
  const added = (bare: PlannedStage, whole: PlannedStage): number =>
    Math.max(0, seconds(whole) - seconds(bare));
  const layer = (wanted: boolean): number => {
    // As many alike in a row as there are, three at most.
    let last = numHiddenLayers;
    while (last > 0 && isMoe(model, last - 1) !== wanted) last--;
    if (last === 0) return 0;
    let first = last;
    while (first > 0 && last - first < 3 && isMoe(model, first - 1) === wanted) first--;
    const whole = { first, last, ...none };
    return last - first === 1 ? seconds(whole) : added({ ...whole, last: last - 1 }, whole);
  };
  const start = { first: 0, last: Math.min(2, numHiddenLayers), ...none };
  const end = { first: Math.max(0, numHiddenLayers - 2), last: numHiddenLayers, ...none };
  return {
    dense: layer(false),
    moe: layer(true),
    embedding: added(start, { ...start, hasEmbedding: true }),
    head: added(end, { ...end, hasHead: true }),
  };
}

/**
 * Seconds that making activations again adds to a layer's passes. FLOPs are not enough to choose
 * by: a whole block sends its tokens again too, and norms take time without any.
 */
export function remadeSeconds({
  model,
  plan,
  costs,
}: Setting): (kind: 'dense' | 'moe', items: RecomputeItems) => number {
  const known = new Map<string, number>();
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const layers = Array.from({ length: model.numHiddenLayers }, (_, layer) => layer);
  const seconds = (kind: 'dense' | 'moe', items: RecomputeItems): number => {
    const key = `${kind} ${recomputeKey(items)}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const first = layers.find((layer) => isMoe(model, layer) === (kind === 'moe')) ?? 0;
    const stage = { first, last: first + 1, hasEmbedding: false, hasHead: false };
    const priced = costs.stage(stage, () => items);
    const parts = partsOfStage(model, plan, stage);
    const order = isPaired ? pairOrder({ forward: parts, backward: parts }) : backwardOrder(parts);
    const made = costs.price(order, { forward: priced, backward: priced }).seconds;
    known.set(key, made);
    return made;
  };
  return (kind, items) => Math.max(0, seconds(kind, items) - seconds(kind, recomputePolicies.none));
}
