/**
 * The price of passes: what a simulator of a whole training run asks of one stage on one rank.
 *
 *     const costs = createStageCosts({ model, plan, cluster, network });
 *     const stage = costs.stage({ first: 3, last: 7, hasEmbedding: false, hasHead: false });
 *     costs.price(order, { forward: stage, backward: stage }).seconds
 *
 * The order is data (`policy/overlap`): steps on two streams and what each waits for. Where experts
 * are spread, communication has SMs of its own (20 of 132). Products and attention are persistent
 * kernels whose grids are set once for the process (`set_num_sms` in DeepGEMM and DeepEP), so they
 * are laid out for the rest, also where nothing is sent. Kernels bound by memory take whatever is
 * free: in an overlapped pair the same rest, since one transfer follows another and those that wait
 * for other ranks hold their SMs too; in a lone pass everything but where a transfer runs beside.
 * There they also feel what the transfer reads and writes.
 */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { Fp8Scaling } from '../../config/engineTraits.ts';
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import type { Stage } from '../../model/parameterLayout.ts';
import type { PartStep } from '../../program/instruction.ts';
import type { Estimate, EstimateSource } from '../estimate.ts';
import type { NetworkModel } from '../networkModel.ts';
import { slowestOf } from '../variation.ts';
import type { KernelFactors, KernelRelease } from './kernelTime.ts';
import {
  memoryPasses,
  type OperationSum,
  OperationSums,
  priceKernels,
  priceTensorTransfer,
  priceTransfer,
  type TransferSetting,
  worse,
} from './priceParts.ts';
import type { StageWork } from './stageWork.ts';
import { StageSteps, type StepWork } from './stepWork.ts';
import { runStreams, type StreamSpan, type StreamTask } from './streams.ts';
import { systematicError } from './systematicError.ts';
import { priceBesideTransfers, shownSeconds } from './tensorOverlap.ts';
import type { TracedSlice } from './tracedSlices.ts';
import { type SliceKind, type StageShape, StageTracer } from './traceStage.ts';

export interface StageCostOptions {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  readonly network: NetworkModel;
  /** What the plan's policy comes to; needed where that is `auto`. */
  readonly recompute?: RecomputeItems;
  /** Load of the busiest rank over the mean; 1 is balanced. */
  readonly imbalance?: number;
  readonly release?: KernelRelease;
  /** `tiles` for DeepSeek's models and `tensor` for others, unless given. */
  readonly fp8Scaling?: Fp8Scaling;
  /** Seconds of a class over what the curves say, where somebody measured it; 1 when left out. */
  readonly factors?: KernelFactors;
  /** What was traced for other plans of the same model, and will be. */
  readonly traces?: Map<string, TracedSlice>;
}

export interface PricedStage {
  readonly stage: Stage;
  readonly work: StageWork;
  readonly steps: StageSteps;
}

export interface PassPrice extends Estimate {
  readonly spans: readonly StreamSpan[];
  readonly computeSeconds: number;
  readonly communicationSeconds: number;
  /** Of tensor parallelism's transfers, hidden or not. */
  readonly tensorSeconds: number;
  /** Share of the transfers under which something computes; 1 where nothing is sent. */
  readonly hiddenShare: number;
  readonly operations: readonly OperationSum[];
}

/** A forward and a whole backward pass of each slice, transfers left out; 0 where there is none. */
export interface SliceSeconds {
  readonly embedding: number;
  readonly dense: number;
  readonly moe: number;
  /** With its MTP modules. */
  readonly head: number;
}

export interface StageCosts {
  /** @param recomputeOf what each layer makes again, where layers differ */
  stage(stage: Stage, recomputeOf?: (layer: number) => RecomputeItems): PricedStage;
  /** What layers weigh when they are dealt to stages. */
  sliceSeconds(): SliceSeconds;
  /** A pass of one stage, or a pair: each step is looked up in the stage of its pass. */
  price(
    order: readonly PartStep[],
    stages: { readonly forward?: PricedStage; readonly backward?: PricedStage },
  ): PassPrice;
}

export function createStageCosts(options: StageCostOptions): StageCosts {
  const { model, plan, cluster, network } = options;
  const { tp, ep } = plan.layout;
  const named =
    plan.recompute === 'auto' ? recomputePolicies.none : recomputePolicies[plan.recompute];
  const { engine = {} } = plan;
  const fp8Scaling = options.fp8Scaling ?? engine.fp8Scaling ?? defaultScaling(model);
  const imbalance = options.imbalance ?? 1;
  const shape: StageShape = {
    model,
    ...{ tp, ep, imbalance },
    microBatchSize: plan.microBatchSize,
    sequenceLength: plan.sequenceLength,
    precision: plan.precision,
    ...{ fp8Scaling, engine },
    recompute: options.recompute ?? named,
    mtp: plan.mtp,
    ...(plan.combineFormat === undefined ? {} : { combineFormat: plan.combineFormat }),
  };
  const tracer = new StageTracer(shape, options.traces);
  const setting: TransferSetting = {
    ...{ network, cluster, ep, tp, imbalance, engine },
    numExperts: model.nRoutedExperts,
    expertsPerToken: model.numExpertsPerTok,
    nodeLimit: nodeLimit(model, { ep, gpusPerNode: cluster.scaleUp.domainSize }),
  };
  const { release = 'first', factors = {} } = options;
  // Ranks meet at every exchange and every sharded product, so a pass has its group's pace.
  const pace = slowestOf(Math.max(ep, tp));
  return {
    stage: (stage, recomputeOf) => {
      const work = tracer.stage(stage, recomputeOf);
      return { stage, work, steps: new StageSteps(work) };
    },
    sliceSeconds: () => sliceSeconds(tracer, { setting, release, fp8Scaling, factors, pace }),
    price: (order, stages) =>
      priceOrder({ order, stages, setting, release, fp8Scaling, factors, pace }),
  };
}

/** Tiles are DeepSeek's; the FP8 runs of other models that were published scale whole tensors. */
export function defaultScaling(model: PlannedModel): Fp8Scaling {
  return isGqa(model) ? 'tensor' : 'tiles';
}

function sliceSeconds(
  tracer: StageTracer,
  { setting, release, fp8Scaling, factors, pace }: Omit<OrderArgs, 'order' | 'stages'>,
): SliceSeconds {
  const { gpu } = setting.cluster;
  const numSms = reservedSms(setting);
  const machine = {
    ...{ gpu, release, fp8Scaling, factors, pace, numSms },
    ...{ freeSms: numSms, memoryTaken: 0 },
  };
  const of = (kind: SliceKind): number => {
    if (!tracer.has(kind)) return 0;
    const { forward, backwardInput, backwardWeight } = tracer.slice(kind);
    const kernels = [forward, backwardInput, backwardWeight].flat().flatMap((part) => part.kernels);
    return priceKernels(kernels, machine, new OperationSums());
  };
  return { embedding: of('embedding'), dense: of('dense'), moe: of('moe'), head: of('head') };
}

/** What products and attention are laid out for. */
function reservedSms({ cluster, ep }: TransferSetting): number {
  return cluster.gpu.numSms - (ep > 1 ? cluster.communicationSms : 0);
}

interface OrderArgs {
  readonly order: readonly PartStep[];
  readonly stages: { readonly forward?: PricedStage; readonly backward?: PricedStage };
  readonly setting: TransferSetting;
  readonly release: KernelRelease;
  readonly fp8Scaling: Fp8Scaling;
  readonly factors: KernelFactors;
  readonly pace: number;
}

/** What a transfer beside a step leaves to it. */
interface Pricing {
  readonly isPair: boolean;
  /** Share of the step during which data moves. */
  readonly covered: (index: number) => number;
  readonly memoryTaken: number;
}

function priceOrder(args: OrderArgs): PassPrice {
  const { order, stages, setting } = args;
  const isSending =
    setting.ep > 1 && order.some((step) => workOf(step, stages).transfers.length > 0);
  const isPair = order.some(isForward) && order.some((step) => !isForward(step));
  const alone = runOrder(args, { isPair, covered: () => 0, memoryTaken: 0 });
  if (!isSending) return alone;
  // Once more, knowing which steps have a transfer beside them and what it takes of the memory.
  const covered = order.map((_, index) =>
    coveredShare(alone.taskSpans[index], alone.taskSpans, order),
  );
  return runOrder(args, {
    isPair,
    covered: (index) => covered[index] ?? 0,
    memoryTaken: memoryOfTransfers(args) / Math.max(alone.communicationSeconds, 1e-9),
  });
}

interface OrderRun extends PassPrice {
  /** By place in the order. */
  readonly taskSpans: readonly StreamSpan[];
}

function runOrder(args: OrderArgs, pricing: Pricing): OrderRun {
  const { order, stages, setting, release, fp8Scaling, factors, pace } = args;
  const { gpu } = setting.cluster;
  const reserved = reservedSms(setting);
  let tensorSeconds = 0;
  const sums = new OperationSums();
  const tasks = order.map((step, index): StreamTask => {
    const { kernels, transfers, tensorTransfers } = workOf(step, stages);
    const covered = pricing.isPair ? 1 : pricing.covered(index);
    const machine = {
      ...{ gpu, release, fp8Scaling, factors, pace },
      numSms: reserved,
      freeSms: gpu.numSms - covered * (gpu.numSms - reserved),
      memoryTaken: pricing.covered(index) * pricing.memoryTaken,
    };
    const overlap = { engine: setting.engine, tp: setting.tp, pass: step.pass };
    let seconds =
      tensorTransfers.length > 0
        ? priceBesideTransfers(kernels, { machine, sums, overlap })
        : priceKernels(kernels, machine, sums);
    const products = seconds;
    let sharded = 0;
    for (const transfer of transfers) seconds += priceTransfer(transfer, setting, sums);
    for (const transfer of tensorTransfers) {
      const own = priceTensorTransfer(transfer, setting, sums);
      tensorSeconds += own;
      sharded += own;
    }
    seconds += shownSeconds(sharded, { products, overlap });
    const { stream, pass, part, layer, waitsFor } = step;
    return { stream, name: `${pass} ${part}`, layer, seconds, after: waitsFor };
  });
  const run = runStreams(tasks);
  const operations = sums.list();
  const { communicationSeconds, exposedSeconds } = run;
  const hidden = communicationSeconds > 0 ? 1 - exposedSeconds / communicationSeconds : 1;
  return {
    ...run,
    ...errorOf(operations, run, setting),
    tensorSeconds,
    hiddenShare: hidden,
    operations,
  };
}

/** Independent classes in quadrature; transfers count as far as nothing hides them. */
function errorOf(
  operations: readonly OperationSum[],
  run: { seconds: number; communicationSeconds: number; exposedSeconds: number },
  { cluster, ep, engine }: TransferSetting,
): { source: EstimateSource; relativeError: number } {
  const { seconds, communicationSeconds, exposedSeconds } = run;
  const exposed = communicationSeconds > 0 ? exposedSeconds / communicationSeconds : 0;
  let squares = (systematicError({ gpu: cluster.gpu, ep, engine }) * seconds) ** 2;
  let source: EstimateSource = 'measured';
  for (const { bound, relativeError, seconds: own, source: from } of operations) {
    const counted = own * (bound === 'network' ? exposed : 1);
    squares += (counted * relativeError) ** 2;
    // A class that is a hundredth of the pass does not say where the pass's number is from.
    if (counted > 0.01 * seconds) source = worse(source, from);
  }
  return { source, relativeError: seconds > 0 ? Math.sqrt(squares) / seconds : 0 };
}

function isForward({ pass }: PartStep): boolean {
  return pass === 'forward';
}

const NOTHING: StepWork = { kernels: [], transfers: [], tensorTransfers: [] };

function workOf(step: PartStep, stages: OrderArgs['stages']): StepWork {
  const stage = isForward(step) ? stages.forward : stages.backward;
  return stage?.steps.step(step) ?? NOTHING;
}

/** Bytes that an order's transfers read and write in this GPU's memory. */
function memoryOfTransfers({ order, stages, setting }: OrderArgs): number {
  const passes = memoryPasses(setting);
  return order
    .flatMap((step) => workOf(step, stages).transfers)
    .reduce((sum, { tokens, bytesPerToken }) => sum + tokens * bytesPerToken * passes, 0);
}

/** Share of a step during which data moves. */
function coveredShare(
  span: StreamSpan | undefined,
  spans: readonly StreamSpan[],
  order: readonly PartStep[],
): number {
  if (span === undefined || span.end <= span.start) return 0;
  let shared = 0;
  for (const [index, other] of spans.entries()) {
    if (order[index]?.stream !== 'communication') continue;
    shared += Math.max(0, Math.min(span.end, other.end) - Math.max(span.start, other.start));
  }
  return shared / (span.end - span.start);
}

/**
 * The most nodes a token goes to: its groups of experts, over as many nodes as a group lies on
 * (report, 2.1.2); no limit where that is all of them, or the gate has no groups.
 */
export function nodeLimit(
  model: PlannedModel,
  { ep, gpusPerNode }: { readonly ep: number; readonly gpusPerNode: number },
): number | null {
  if (isGqa(model) || model.nGroup <= 1 || model.topkMethod === 'greedy') return null;
  const nodes = Math.max(1, Math.ceil(ep / gpusPerNode));
  const limit = Math.ceil(model.topkGroup * Math.max(1, nodes / model.nGroup));
  return limit >= nodes ? null : limit;
}
