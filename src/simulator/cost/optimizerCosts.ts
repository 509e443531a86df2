/**
 * What ends a training step: gradients summed over the ranks that share a parameter, the pass of
 * the optimiser over memory, weights sent back. All of it follows from bytes.
 *
 * A parameter outside of the experts is on every data-parallel rank of its stage; a routed expert
 * only on those that hold the same share of the experts. Where a pipeline holds stages twice
 * (DualPipe), both copies are summed together, so groups are twice as large. ZeRO splits moments
 * and master weights over the group: reduce-scatter, update a share, all-gather; without it an
 * all-reduce, and everybody updates everything.
 *
 * Gradients and master weights are FP32, moments BF16 (report, 3.3.3), weights travel in BF16.
 */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import { EMBEDDING, HEAD, parameterLayout, type Stage } from '../../model/parameterLayout.ts';
import { numElements } from '../../tensor/tensor.ts';
import type { Estimate } from '../estimate.ts';
import type { NetworkModel } from '../networkModel.ts';
import { type KernelRelease, kernelTime } from './kernelTime.ts';
import { worse } from './priceParts.ts';
import { rankModel } from './rankModel.ts';
import { BF16_PRODUCTS, moved } from './recipe.ts';

export interface OptimizerOptions {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  readonly network: NetworkModel;
  /** All stages that one rank holds: two in DualPipe(V), as many as chunks when interleaved. */
  readonly stages: readonly Stage[];
  /** Pipeline ranks that hold each stage: 2 in DualPipe, else 1. */
  readonly stageCopies: 1 | 2;
  /** What `stages` come to, where the caller has counted them. */
  readonly parameters?: RankParameters;
  readonly release?: KernelRelease;
}

export interface OptimizerPrice {
  /** Everything between the last pass and the next step. */
  readonly total: Estimate;
  /** Reduce-scatter or all-reduce, experts and others in turn; none where each pass did it. */
  readonly reduceGradients: Estimate;
  readonly gradientNorm: Estimate;
  readonly update: Estimate;
  /** Zero without ZeRO. */
  readonly gatherWeights: Estimate;
  /** ZeRO-3: gathering one stage's weights, which every pass needs again (their mean). */
  readonly gatherPerPass: Estimate;
  /**
   * ZeRO-2 and 3: summing one stage's gradients. Nobody keeps them whole, so every weight half
   * sends its own.
   */
  readonly scatterPerPass: Estimate;
  readonly parameters: RankParameters;
}

export interface RankParameters {
  readonly experts: number;
  readonly others: number;
  /** Of both: weights whose products run in FP8 where the plan's do. */
  readonly inFp8: number;
}

const GRADIENT = 4;
const WEIGHT = 2;
/** Gradient read; master weight and both moments read and written; weight written. */
const UPDATE_BYTES: number = GRADIENT + 8 + 4 * 2 + WEIGHT;
/** A weight read, its FP8 codes written for forward and transposed for input gradients. */
const CAST_BYTES: number = WEIGHT + 2;

export function optimizerPrice(options: OptimizerOptions): OptimizerPrice {
  const { model, plan, cluster, network, stages, stageCopies } = options;
  const { layout } = plan;
  const { dp, tp, ep, zeroStage } = layout;
  const parameters = options.parameters ?? rankParameters({ model, stages, plan });
  const groups = {
    experts: { size: ((dp * tp) / ep) * stageCopies, stride: ep },
    others: { size: dp * stageCopies, stride: tp },
  };
  const each = (of: (kind: 'experts' | 'others') => Estimate): Estimate =>
    inTurn([of('experts'), of('others')].filter(({ seconds }) => seconds > 0));
  const isSplit = zeroStage > 0;
  const reduced = each((kind) => {
    const [bytes, group] = [GRADIENT * parameters[kind], groups[kind]];
    if (group.size === 1 || bytes === 0) return nothing;
    return isSplit ? network.reduceScatter({ bytes, group }) : network.allReduce({ bytes, group });
  });
  const gather = each((kind) => {
    const [bytes, group] = [WEIGHT * parameters[kind], groups[kind]];
    return group.size === 1 || bytes === 0 ? nothing : network.allGather({ bytes, group });
  });
  const owned = (kind: 'experts' | 'others'): number =>
    parameters[kind] / (isSplit ? groups[kind].size : 1);
  const world = dp * layout.pp * tp;
  const release = options.release ?? 'first';
  const pass = (bytes: number, kind: 'elementwise' | 'cast' = 'elementwise'): Estimate => {
    const { numSms } = cluster.gpu;
    const machine = {
      ...{ gpu: cluster.gpu, numSms, freeSms: numSms, release, memoryTaken: 0 },
      fp8Scaling: 'tiles' as const,
    };
    return kernelTime(moved(kind, 'optimiser', bytes), machine);
  };
  const count = owned('experts') + owned('others');
  const normPass = pass(GRADIENT * count);
  const gradientNorm =
    world === 1
      ? normPass
      : inTurn([normPass, network.allReduce({ bytes: 4, group: { size: world, stride: 1 } })]);
  // Every gradient of the rank is zeroed, and every weight cast, whoever updated it.
  const held = parameters.experts + parameters.others;
  const casts = plan.precision === 'fp8' ? [pass(CAST_BYTES * parameters.inFp8, 'cast')] : [];
  const update = inTurn([pass(UPDATE_BYTES * count + GRADIENT * held), ...casts]);
  const gatherWeights = isSplit && zeroStage < 3 ? gather : nothing;
  const ofOne = (all: Estimate): Estimate => ({ ...all, seconds: all.seconds / stages.length });
  const reduceGradients = zeroStage < 2 ? reduced : nothing;
  return {
    total: inTurn([reduceGradients, gradientNorm, update, gatherWeights]),
    ...{ reduceGradients, gradientNorm, update, gatherWeights, parameters },
    gatherPerPass: zeroStage === 3 ? ofOne(gather) : nothing,
    scatterPerPass: zeroStage >= 2 ? ofOne(reduced) : nothing,
  };
}

/**
 * Seconds of weights and gradients on their way while a pass computes, under which they hide: a
 * layer ahead, and a layer behind.
 */
export function sentUnderPass(
  kind: 'forward' | 'backward' | 'backwardInput' | 'backwardWeight' | 'forwardBackward',
  { gatherPerPass, scatterPerPass }: Pick<OptimizerPrice, 'gatherPerPass' | 'scatterPerPass'>,
): number {
  const [gather, scatter] = [gatherPerPass.seconds, scatterPerPass.seconds];
  switch (kind) {
    case 'forward':
    case 'backwardInput':
      return gather;
    case 'backward':
      return gather + scatter;
    case 'backwardWeight':
      return scatter;
    case 'forwardBackward':
      return 2 * gather + scatter;
    default:
      return kind satisfies never;
  }
}

const nothing: Estimate = { seconds: 0, source: 'derived', relativeError: 0 };

/** One after another; each has its own reason to be off, so errors add in quadrature. */
function inTurn(estimates: readonly Estimate[]): Estimate {
  const seconds = estimates.reduce((sum, each) => sum + each.seconds, 0);
  if (seconds === 0) return nothing;
  const squares = estimates.reduce((sum, e) => sum + (e.seconds * e.relativeError) ** 2, 0);
  return {
    seconds,
    source: estimates.map(({ source }) => source).reduce(worse),
    relativeError: Math.sqrt(squares) / seconds,
  };
}

/** Trained elements on one rank; what two of its stages share (the embedding) counts once. */
export function rankParameters(args: {
  readonly model: PlannedModel;
  readonly stages: readonly Stage[];
  readonly plan: TrainingPlan;
}): RankParameters {
  const { model, stages, plan } = args;
  const { tp, ep } = plan.layout;
  const config = { ...rankModel(model, { tp, ep }) };
  if (!plan.mtp) Object.assign(config, { numNextnPredictLayers: 0 });
  const sizes = new Map<string, number>();
  for (const stage of stages) {
    const share = config.nRoutedExperts / ep;
    const held =
      config.nRoutedExperts > 0 ? { ...stage, experts: { first: 0, last: share } } : stage;
    for (const { name, shape, isTrained } of parameterLayout(config, held)) {
      if (!isTrained || (isGqa(model) && name.includes('.self_attn.'))) continue;
      sizes.set(name, numElements(shape));
    }
    if (!isGqa(model)) continue;
    const keyHeads = Math.max(1, model.numKeyValueHeads / tp);
    const heads = (2 * model.numAttentionHeads) / tp + 2 * keyHeads;
    for (let layer = stage.first; layer < stage.last; layer++) {
      sizes.set(`attention ${layer}`, heads * model.headDim * model.hiddenSize);
    }
  }
  let [experts, others, inFp8] = [0, 0, 0];
  for (const [name, size] of sizes) {
    if (name.includes('.mlp.experts.')) experts += size;
    else others += size;
    if (isCast(name)) inFp8 += size;
  }
  return { experts, others, inFp8 };
}

/** Matrices of linear layers, but for those that stay in BF16 (report, 3.3.1). */
function isCast(name: string): boolean {
  if (name === EMBEDDING || name === HEAD) return false;
  return !name.includes('norm.') && !BF16_PRODUCTS.some((end) => name.endsWith(end));
}
