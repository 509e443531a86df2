/**
 * One plan, simulated: the programs that its ranks will run, walked with the prices of the model's
 * own code on the described cluster. All ranks of one place in the pipeline are alike, so one
 * pipeline is walked for all.
 *
 *     model, plan ─► stages ─► programs ─┐
 *     model's code on meta kernels ─► passes, pairs in seconds ─► walk ─► phases of every rank
 *     network ─► dispatch, combine, messages, gradients ─┘
 */
import { at } from '../base/assert.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import { type RecomputeItems, type TrainingPlan, worldSize } from '../config/parallelPlan.ts';
import type { Program, TrainingInstruction } from '../program/instruction.ts';
import type { PipelineSchedule } from '../program/pipelineAction.ts';
import type { Span } from '../program/span.ts';
import type { KernelFactors } from '../simulator/cost/kernelTime.ts';
import { type OptimizerPrice, sentUnderPass } from '../simulator/cost/optimizerCosts.ts';
import { worse } from '../simulator/cost/priceParts.ts';
import type { PassPrice } from '../simulator/cost/stageCosts.ts';
import type { Estimate } from '../simulator/estimate.ts';
import type { LayerRecompute } from '../simulator/memory/estimateMemory.ts';
import type { NetworkModel } from '../simulator/networkModel.ts';
import { slowestOf } from '../simulator/variation.ts';
import { type Walk, walkPrograms } from '../simulator/walkPrograms.ts';
import { PassPrices } from './passPrices.ts';
import { type PlannedStage, planPrograms, planStages, stagesOfRanks } from './pipelinePlan.ts';
import type { StepPhases } from './planReport.ts';
import { optimizerPrices, PriceBook } from './priceBook.ts';

export interface SimulationInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  /** Load of the busiest rank's experts over the mean; 1 is balanced; by default as published. */
  readonly imbalance?: number;
  /** What `auto` came to. */
  readonly recompute?: RecomputeItems | LayerRecompute;
  /** Made of `cluster` unless given; one for many plans remembers what it simulated. */
  readonly network?: NetworkModel;
  /** Of a calibration: measured seconds of a class over its price. */
  readonly factors?: KernelFactors;
  /** As memory had them cut; by default for speed alone. */
  readonly stages?: readonly PlannedStage[];
  /** Prices of many plans; then its model, cluster, network, imbalance and factors are taken. */
  readonly book?: PriceBook;
}

/** A stage that two ranks hold (DualPipe) is priced as the first of them runs it. */
function byStage(
  recompute: LayerRecompute,
  stagesOfRank: readonly (readonly number[])[],
): (stage: number, layer: number) => RecomputeItems {
  return (stage, layer) => {
    const rank = stagesOfRank.findIndex((own) => own.includes(stage));
    return recompute({ rank, stage: at(stagesOfRank, rank).indexOf(stage), layer });
  };
}

/** A price with how often a rank pays it. */
export interface PriceUse {
  readonly price: PassPrice;
  readonly count: number;
}

export interface SimulatedStep {
  /** From the first instruction to the end of the last, with where it is from. */
  readonly step: Estimate;
  readonly stages: readonly PlannedStage[];
  readonly stagesOfRank: readonly (readonly number[])[];
  readonly schedule: PipelineSchedule;
  /** One step of one pipeline. */
  readonly programs: readonly Program<TrainingInstruction>[];
  readonly phasesOfRank: readonly StepPhases[];
  readonly spans: readonly Span[];
  readonly passes: PassPrices;
  /** Per rank. */
  readonly optimizer: readonly OptimizerPrice[];
  /** What rank 0 spends its time on. */
  readonly uses: readonly PriceUse[];
  /** The overlapped pair that the pipeline runs most; null without pairs. */
  readonly pair: PassPrice | null;
  /** Of a hidden state to the next stage. */
  readonly messageSeconds: number;
}

export function simulatePlan(input: SimulationInput): SimulatedStep {
  const { plan } = input;
  const book = input.book ?? new PriceBook(input);
  const { model, network } = book;
  const { recompute } = input;
  const isByLayer = typeof recompute === 'function';
  const shape = book.shape(plan, isByLayer ? undefined : recompute);
  const { costs, passes: known } = shape;
  const stages = input.stages ?? planStages(model, plan, shape.slices(plan));
  const stagesOfRank = stagesOfRanks(plan);
  const passes = new PassPrices({
    ...{ model, plan, costs, stages, known },
    ...(isByLayer ? { recomputeOf: byStage(recompute, stagesOfRank) } : {}),
  });
  const { schedule, programs } = planPrograms(model, plan, stages);
  const optimizer = optimizerPrices(book, { plan, stages, stagesOfRank }).map((price, rank) =>
    underPasses(price, { plan, passes, own: at(stagesOfRank, rank), stages }),
  );
  const pairing = pairingOf(plan, passes);
  const bytes = passes.boundaryBytes;
  const { dp, tp } = plan.layout;
  const walked = walkPrograms(programs, {
    seconds: (rank, instruction) =>
      secondsOf(instruction, { passes, pairing, optimizer: at(optimizer, rank) }),
    transferSeconds: ({ from, to }) =>
      network.send({ bytes, stride: dp * tp * Math.abs(from - to) }).seconds,
  });
  const walk = atSlowestPace(walked, plan);
  const phasesOfRank = phasesOf(walk, stagesOfRank.length);
  const instructions = programs[0]?.instructions ?? [];
  const uses = usesOf(instructions, passes);
  return {
    step: stepEstimate(walk, uses, at(optimizer, 0)),
    ...{ stages, stagesOfRank, schedule, programs, phasesOfRank, passes, optimizer, uses },
    spans: walk.spans,
    pair: mostUsed(usesOf(programs.flatMap((each) => each.instructions).filter(isPair), passes)),
    messageSeconds: plan.layout.pp > 1 ? network.send({ bytes, stride: dp * tp }).seconds : 0,
  };
}

/** Of the slowest GPU of all over the slowest of a group that passes are priced for. */
export function paceOf({ layout }: TrainingPlan): number {
  return slowestOf(worldSize(layout)) / slowestOf(Math.max(layout.ep, layout.tp));
}

/**
 * Passes are priced at the pace of the slowest GPU of a group that exchanges rows. Through its
 * pipelines' messages such a group waits for those of all stages, pass by pass: that is bubble.
 * Other replicas meet it only when gradients are summed, so for the slowest of all GPUs it waits
 * there, within the collective.
 */
function atSlowestPace(
  { spans, makespan }: Walk,
  plan: TrainingPlan,
): Pick<Walk, 'spans' | 'makespan'> {
  const { pp, ep, tp } = plan.layout;
  const group = Math.max(ep, tp);
  const passesEnd = spans.reduce(
    (latest, { name, end }) => (isUpdate(name) ? latest : Math.max(latest, end)),
    0,
  );
  const pace = slowestOf(pp * group) / slowestOf(group);
  const inStep = (pace - 1) * passesEnd;
  const atEnd = (paceOf(plan) - 1) * passesEnd;
  return {
    makespan: makespan + atEnd,
    spans: spans.map((span) => {
      const { start, end, name } = span;
      if (name === 'reduceGradients') return { ...span, start: start + inStep, end: end + atEnd };
      const moved = isUpdate(name) ? atEnd : (pace - 1) * start;
      return { ...span, start: start + moved, end: end + moved };
    }),
  };
}

function isUpdate(name: string): boolean {
  return rowOf(name) === 'optimizer';
}

function secondsOf(
  instruction: TrainingInstruction,
  {
    passes,
    pairing,
    optimizer,
  }: {
    readonly passes: PassPrices;
    readonly pairing: (stage: number) => number;
    readonly optimizer: OptimizerPrice;
  },
): number {
  switch (instruction.kind) {
    case 'reduceGradients':
      return optimizer.reduceGradients.seconds + optimizer.gradientNorm.seconds;
    case 'optimizerStep':
      return optimizer.update.seconds + optimizer.gatherWeights.seconds;
    case 'forward':
    case 'backward':
    case 'backwardInput':
    case 'backwardWeight':
    case 'forwardBackward': {
      const seconds = passes.of(instruction)?.seconds ?? 0;
      const share = 'stage' in instruction ? pairing(instruction.stage) : 1;
      return Math.max(seconds * share, sentUnderPass(instruction.kind, optimizer));
    }
    default:
      return 0;
  }
}

/**
 * What of a pass's time is left where a forward and a backward pass run as a pair although the
 * schedule has none. The few passes before and after the pairs are taken as paired too.
 */
function pairingOf(plan: TrainingPlan, passes: PassPrices): (stage: number) => number {
  const { layout, schedule, engine } = plan;
  const isPipelined = engine?.expertTransfers === 'pipelined' && layout.ep > 1;
  if (!isPipelined || schedule === 'dualpipe' || schedule === 'dualpipev') return () => 1;
  return (stage) => {
    const apart = passes.pass('forward', stage).seconds + passes.pass('backward', stage).seconds;
    return Math.min(1, passes.pair(stage, stage).seconds / apart);
  };
}

/**
 * Of gradients and weights that travel under passes, what shows: a layer's worth, or what does not
 * fit under the last micro-batch's backward, or the first one's forward, pass through the rank.
 */
function underPasses(
  price: OptimizerPrice,
  args: {
    readonly plan: TrainingPlan;
    readonly passes: PassPrices;
    readonly own: readonly number[];
    readonly stages: readonly PlannedStage[];
  },
): OptimizerPrice {
  const { plan, passes, own, stages } = args;
  if (plan.engine?.optimizerTransfers !== 'underPasses') return price;
  const layers = own.reduce((sum, stage) => {
    const { first, last } = at(stages, stage);
    return sum + last - first;
  }, 0);
  const shown = (transfer: Estimate, kind: 'forward' | 'backward'): Estimate => {
    const window = own.reduce((sum, stage) => sum + passes.pass(kind, stage).seconds, 0);
    const piece = transfer.seconds / Math.max(1, layers);
    return { ...transfer, seconds: Math.max(piece, transfer.seconds - window) };
  };
  const reduceGradients = shown(price.reduceGradients, 'backward');
  const gatherWeights = shown(price.gatherWeights, 'forward');
  const hidden =
    price.reduceGradients.seconds -
    reduceGradients.seconds +
    (price.gatherWeights.seconds - gatherWeights.seconds);
  const total = { ...price.total, seconds: price.total.seconds - hidden };
  return { ...price, reduceGradients, gatherWeights, total };
}

/** The rows of DeepSeek's table: what each rank computes by kind, and the rest is bubble. */
function phasesOf(walk: Pick<Walk, 'spans' | 'makespan'>, numRanks: number): StepPhases[] {
  const ranks = Array.from({ length: numRanks }, () => ({
    '1F': 0,
    '1B': 0,
    '1W': 0,
    '1F1B': 0,
    optimizer: 0,
  }));
  for (const { rank, name, start, end } of walk.spans) {
    const row = rowOf(name);
    if (row !== null) at(ranks, rank)[row] += end - start;
  }
  return ranks.map((sums) => {
    const spent = Object.values(sums).reduce((sum, seconds) => sum + seconds, 0);
    return { ...sums, bubble: Math.max(0, walk.makespan - spent) };
  });
}

function rowOf(name: string): keyof Omit<StepPhases, 'bubble'> | null {
  switch (name) {
    case 'forward':
      return '1F';
    case 'backward':
    case 'backwardInput':
      return '1B';
    case 'backwardWeight':
      return '1W';
    case 'forwardBackward':
      return '1F1B';
    case 'reduceGradients':
    case 'optimizerStep':
    case 'updateBias':
      return 'optimizer';
    default:
      return null;
  }
}

function isPair({ kind }: TrainingInstruction): boolean {
  return kind === 'forwardBackward';
}

function usesOf(
  instructions: readonly TrainingInstruction[],
  passes: PassPrices,
): readonly PriceUse[] {
  const counts = new Map<PassPrice, number>();
  for (const instruction of instructions) {
    const price = passes.of(instruction);
    if (price !== null) counts.set(price, (counts.get(price) ?? 0) + 1);
  }
  return [...counts].map(([price, count]) => ({ price, count }));
}

function mostUsed(uses: readonly PriceUse[]): PassPrice | null {
  const [most] = [...uses].sort((a, b) => b.count - a.count);
  return most?.price ?? null;
}

/**
 * Passes are off together, since the same curves made them; the optimiser is off by itself. The
 * bubble is made of passes too.
 */
function stepEstimate(
  walk: Pick<Walk, 'makespan'>,
  uses: readonly PriceUse[],
  optimizer: OptimizerPrice,
): Estimate {
  const seconds = walk.makespan;
  let [spent, error] = [0, 0];
  let source = optimizer.total.source;
  for (const { price, count } of uses) {
    spent += count * price.seconds;
    error += count * price.seconds * price.relativeError;
    if (count * price.seconds > 0.05 * seconds) source = worse(source, price.source);
  }
  const passes = (spent > 0 ? error / spent : 0) * (seconds - optimizer.total.seconds);
  const own = optimizer.total.seconds * optimizer.total.relativeError;
  return { seconds, source, relativeError: Math.hypot(passes, own) / seconds };
}
