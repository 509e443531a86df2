/**
 * Passes of any stage from the prices of a few slices: what the cheap model adds up where the full
 * one prices every stage by itself.
 *
 *     a pass      first block + (n − 1) × what a further block adds + the ends
 *     a pair      slot by slot, forward's i-th block with backward's i-th from the end;
 *                 blocks without a partner as in a pass of their own, and the ends
 *
 * A further block is not worth the first: a layer's weight gradients hide the next one's transfer.
 */
import { at } from '../../base/assert.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import {
  backwardInputOrder,
  backwardOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from '../../policy/overlap/partOrder.ts';
import type { StageParts } from '../../policy/overlap/stageParts.ts';
import type { PassPrice, PricedStage } from '../../simulator/cost/stageCosts.ts';
import type { PassKind } from '../passPrices.ts';
import {
  isMoe,
  numMtpModules,
  type PlannedStage,
  partsOfStage,
  type SliceCosts,
} from '../pipelinePlan.ts';
import { hasPairs, type ShapePrices } from '../priceBook.ts';

/** Seconds of a pass, and those of them in which data moves and nothing computes. */
export interface RoughPrice {
  readonly seconds: number;
  readonly exposed: number;
}

type BlockKind = 'dense' | 'moe';

/** What a stage is made of, as far as prices go. */
export interface StageMake {
  readonly dense: number;
  readonly moe: number;
  readonly hasEmbedding: boolean;
  readonly hasHead: boolean;
}

interface Slice {
  readonly parts: StageParts;
  readonly priced: PricedStage;
}

const NOTHING: RoughPrice = { seconds: 0, exposed: 0 };

const orders: Readonly<Record<PassKind, typeof forwardOrder>> = {
  forward: forwardOrder,
  backward: backwardOrder,
  backwardInput: backwardInputOrder,
  backwardWeight: backwardWeightOrder,
};

export class RoughPasses {
  readonly #model: PlannedModel;
  readonly #plan: TrainingPlan;
  readonly #moe: readonly number[];
  readonly #shape: ShapePrices;
  readonly #slices = new Map<string, Slice>();
  readonly #known = new Map<string, RoughPrice>();
  readonly #makes = new Map<number, StageMake>();
  readonly #passes: Readonly<Record<PassKind, Map<StageMake, RoughPrice>>> = {
    forward: new Map(),
    backward: new Map(),
    backwardInput: new Map(),
    backwardWeight: new Map(),
  };

  /** @param plan any of the shape */
  constructor(model: PlannedModel, plan: TrainingPlan, shape: ShapePrices) {
    this.#model = model;
    this.#moe = moeLayers(model);
    this.#plan = plan;
    this.#shape = shape;
  }

  makeOf({ first, last, hasEmbedding, hasHead }: PlannedStage): StageMake {
    let moe = 0;
    for (let layer = first; layer < last; layer++) if (isMoe(this.#model, layer)) moe++;
    const dense = last - first - moe;
    // One object for stages that are alike, so that their prices are found by it.
    const key = 4 * (dense * 4096 + moe) + 2 * Number(hasEmbedding) + Number(hasHead);
    const known = this.#makes.get(key) ?? { dense, moe, hasEmbedding, hasHead };
    this.#makes.set(key, known);
    return known;
  }

  /** What stages are cut by, as `sliceCosts` has it: what a slice adds to a stage. */
  slices(plan: TrainingPlan): SliceCosts {
    const isPaired = hasPairs(plan);
    const both = (make: StageMake): number =>
      isPaired
        ? this.pair(make, make).seconds
        : this.pass('forward', make).seconds + this.pass('backward', make).seconds;
    const { numHiddenLayers: numLayers } = this.#model;
    const numMoe = this.#moe.length;
    const none: StageMake = { dense: 0, moe: 0, hasEmbedding: false, hasHead: false };
    const layer = (kind: BlockKind, count: number): number => {
      const whole = { ...none, [kind]: Math.min(3, count) };
      if (count === 0) return 0;
      return count === 1 ? both(whole) : both(whole) - both({ ...whole, [kind]: whole[kind] - 1 });
    };
    const of = (first: number): StageMake =>
      this.makeOf({ ...none, first, last: Math.min(first + 2, numLayers) });
    const [start, end] = [of(0), of(Math.max(0, numLayers - 2))];
    return {
      dense: layer('dense', numLayers - numMoe),
      moe: layer('moe', numMoe),
      embedding: both({ ...start, hasEmbedding: true }) - both(start),
      head: both({ ...end, hasHead: true }) - both(end),
    };
  }

  /** @param make one of `makeOf`, for its prices to be remembered */
  pass(kind: PassKind, make: StageMake): RoughPrice {
    const prices = this.#passes[kind];
    const known = prices.get(make);
    if (known !== undefined) return known;
    const made = this.#sumOfPass(kind, make);
    prices.set(make, made);
    return made;
  }

  #sumOfPass(kind: PassKind, { dense, moe, hasEmbedding, hasHead }: StageMake): RoughPrice {
    const { kind: mtp, count: numMtp } = this.#mtp;
    // Behind the last layer stands an MTP module's, so that none is the first.
    const isBefore = hasHead && numMtp > 0 && mtp === 'moe';
    return sum([
      [1, hasEmbedding ? this.#alone(kind, 'embedding') : NOTHING],
      [dense, dense > 0 ? this.#alone(kind, 'dense') : NOTHING],
      isBefore
        ? [moe, moe > 0 ? this.#further(kind, 'moe') : NOTHING]
        : [
            1,
            this.#blocks(
              moe,
              () => this.#alone(kind, 'moe'),
              () => this.#alone(kind, 'two'),
            ),
          ],
      [1, hasHead ? this.#alone(kind, 'head') : NOTHING],
    ]);
  }

  pair(forward: StageMake, backward: StageMake): RoughPrice {
    const { kind: mtp, count: numMtp } = this.#mtp;
    const blocksOf = ({ dense, moe, hasHead }: StageMake): BlockKind[] => [
      ...new Array<BlockKind>(dense).fill('dense'),
      ...new Array<BlockKind>(moe).fill('moe'),
      ...new Array<BlockKind>(hasHead ? numMtp : 0).fill(mtp),
    ];
    const f = blocksOf(forward);
    const b = blocksOf(backward).reverse();
    const parts: (readonly [number, RoughPrice])[] = [];
    let numBothMoe = 0;
    for (let slot = 0; slot < Math.max(f.length, b.length); slot++) {
      const [own, other] = [f[slot], b[slot]];
      if (own === 'moe' && other === 'moe') numBothMoe++;
      else if (own !== undefined && other !== undefined) parts.push([1, this.#slot(own, other)]);
      else if (own !== undefined) parts.push([1, this.#further('forward', own)]);
      else if (other !== undefined) parts.push([1, this.#further('backward', other)]);
    }
    const both = this.#blocks(
      numBothMoe,
      () => this.#slot('moe', 'moe'),
      () => this.#slot('two', 'two'),
    );
    return sum([
      ...parts,
      [1, both],
      [1, forward.hasEmbedding ? this.#alone('forward', 'embedding') : NOTHING],
      [1, backward.hasEmbedding ? this.#alone('backward', 'embedding') : NOTHING],
      [1, forward.hasHead ? this.#headInPair('forward') : NOTHING],
      [1, backward.hasHead ? this.#headInPair('backward') : NOTHING],
    ]);
  }

  /**
   * What the head adds to a pair, where products leave SMs to transfers: the head with its MTP
   * modules beside a block, less the blocks; modules count among the blocks.
   */
  #headInPair(kind: 'forward' | 'backward'): RoughPrice {
    const { kind: mtp, count } = this.#mtp;
    const isForward = kind === 'forward';
    const slot = (own: SliceName, other: SliceName): RoughPrice =>
      isForward ? this.#slot(own, other) : this.#slot(other, own);
    if (count === 0) {
      const other = isForward ? 'backward' : 'forward';
      return sum([
        [1, slot('head', 'embedding')],
        [-1, this.#alone(other, 'embedding')],
      ]);
    }
    return sum([
      [1, slot('head', mtp)],
      [-1, slot(mtp, mtp)],
      [1 - count, count > 1 ? this.#further(kind, mtp) : NOTHING],
    ]);
  }

  /** The first, and for each further one what a second adds. */
  #blocks(count: number, one: () => RoughPrice, two: () => RoughPrice): RoughPrice {
    if (count === 0) return NOTHING;
    if (count === 1 || !this.#hasTwo) return sum([[count, one()]]);
    return sum([
      [2 - count, one()],
      [count - 1, two()],
    ]);
  }

  #further(kind: PassKind, block: BlockKind): RoughPrice {
    if (block === 'dense' || !this.#hasTwo) return this.#alone(kind, block);
    return sum([
      [1, this.#alone(kind, 'two')],
      [-1, this.#alone(kind, 'moe')],
    ]);
  }

  #alone(kind: PassKind, name: SliceName): RoughPrice {
    return this.#once(`${kind} ${name}`, () => {
      const { parts, priced } = this.#slice(name);
      return this.#shape.costs.price(orders[kind](parts), { forward: priced, backward: priced });
    });
  }

  #slot(forward: SliceName, backward: SliceName): RoughPrice {
    return this.#once(`${forward} & ${backward}`, () => {
      const [f, b] = [this.#slice(forward), this.#slice(backward)];
      const order = pairOrder({ forward: f.parts, backward: b.parts });
      return this.#shape.costs.price(order, { forward: f.priced, backward: b.priced });
    });
  }

  #once(key: string, price: () => PassPrice): RoughPrice {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = price();
    const rough = { seconds: made.seconds, exposed: exposedSeconds(made) };
    this.#known.set(key, rough);
    return rough;
  }

  #slice(name: SliceName): Slice {
    const known = this.#slices.get(name);
    if (known !== undefined) return known;
    const stage = stageOf(name, { model: this.#model, moe: this.#moe });
    const parts = partsOfStage(this.#model, this.#plan, stage);
    const made = { parts, priced: this.#shape.costs.stage(stage) };
    this.#slices.set(name, made);
    return made;
  }

  /** Modules that count among the blocks; of a kind that no layer has, they stay with the head. */
  get #mtp(): { readonly kind: BlockKind; readonly count: number } {
    const { numHiddenLayers: end } = this.#model;
    const kind = isMoe(this.#model, end) ? 'moe' : 'dense';
    const numAlike = kind === 'moe' ? this.#moe.length : end - this.#moe.length;
    return { kind, count: numAlike > 0 ? numMtpModules(this.#model, this.#plan) : 0 };
  }

  get #hasTwo(): boolean {
    return this.#moe.length > 1;
  }
}

/** `two` are two layers with experts, one behind the other. */
type SliceName = 'embedding' | BlockKind | 'two' | 'head';

function stageOf(
  name: SliceName,
  { model, moe }: { readonly model: PlannedModel; readonly moe: readonly number[] },
): PlannedStage {
  const { numHiddenLayers: end } = model;
  const none = { hasEmbedding: false, hasHead: false };
  switch (name) {
    case 'embedding':
      return { first: 0, last: 0, hasEmbedding: true, hasHead: false };
    case 'head':
      return { first: end, last: end, hasEmbedding: false, hasHead: true };
    case 'dense': {
      let layer = 0;
      while (isMoe(model, layer)) layer++;
      return { first: layer, last: layer + 1, ...none };
    }
    case 'moe':
      return { first: at(moe, 0), last: at(moe, 0) + 1, ...none };
    case 'two': {
      // The last two: experts begin somewhere and then go on to the end.
      const last = at(moe, moe.length - 1) + 1;
      return { first: last - 2, last, ...none };
    }
    default:
      return name satisfies never;
  }
}

/** Layers with experts. */
function moeLayers(model: PlannedModel): readonly number[] {
  const layers: number[] = [];
  for (let layer = 0; layer < model.numHiddenLayers; layer++) {
    if (isMoe(model, layer)) layers.push(layer);
  }
  return layers;
}

/** Transfers of experts that nothing hides, and all of those that surround sharded products. */
export function exposedSeconds(price: PassPrice): number {
  let sharded = 0;
  for (const { name, bound, seconds } of price.operations) {
    if (bound === 'network' && name !== 'dispatch' && name !== 'combine') sharded += seconds;
  }
  return price.communicationSeconds * (1 - price.hiddenShare) + sharded;
}

function sum(parts: readonly (readonly [count: number, price: RoughPrice])[]): RoughPrice {
  let [seconds, exposed] = [0, 0];
  for (const [count, price] of parts) {
    seconds += count * price.seconds;
    exposed += count * price.exposed;
  }
  return { seconds, exposed };
}
