/**
 * Multi-token prediction (DeepSeek-V3 report, 2.2): module k continues the state of depth k − 1
 * with the token k places on, and predicts the one after that through the shared head.
 *
 *     x_i = Wproj · [enorm(Emb(t_{i+k})) ; hnorm(h_i)]  →  one block  →  shared_head.norm  →  head
 *
 * The released weights expect the embedding first (the report writes it second). h_i is what the
 * main model's norm gives, for k > 1 what the previous module's norm gives; `preNorm` takes both
 * before the norm.
 */
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32, I32 } from '../kernels/kernels.ts';
import { columns } from '../tensor/tensor.ts';
import {
  type BlockDeferred,
  type BlockSaved,
  type BlockWeights,
  blockBackward,
  blockBackwardWeight,
  blockForward,
  blockWeights,
  type Pass,
} from './block.ts';
import { allocateF32, type Shared, type StepContext } from './context.ts';
import { embeddingBackwardWeight, embeddingForward, gatherRows } from './embedding.ts';
import { linearBackwardInput, linearBackwardWeight } from './linear.ts';
import {
  type Continued,
  type EndDeferred,
  type EndSaved,
  type EndWeights,
  endBackwardInput,
  endBackwardWeight,
  endForward,
} from './loss.ts';
import type { MtpRows } from './microBatch.ts';
import { layerPrefix } from './parameterLayout.ts';
import { type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';
import { type Normed, normBackwardInput, normBackwardWeight, normForward } from './rmsNorm.ts';
import type { BalanceTerm } from './router.ts';

export interface MtpWeights {
  /** Counts from 1. */
  readonly depth: number;
  readonly embedding: Parameter;
  readonly embeddingNorm: Parameter;
  readonly hiddenNorm: Parameter;
  readonly project: Parameter;
  readonly block: BlockWeights;
  readonly end: EndWeights;
}

export function mtpWeights(
  set: ParameterSet,
  config: ModelConfig,
  args: { depth: number; embedding: Parameter; head: Parameter },
): MtpWeights {
  const { depth, embedding, head } = args;
  const layer = config.numHiddenLayers + depth - 1;
  const named = (name: string) => parameterNamed(set, `${layerPrefix(layer)}${name}.weight`);
  return {
    depth,
    embedding,
    embeddingNorm: named('enorm'),
    hiddenNorm: named('hnorm'),
    project: named('eh_proj'),
    block: blockWeights(set, config, layer),
    end: { norm: named('shared_head.norm'), head, eps: config.rmsNormEps },
  };
}

export interface MtpJoined {
  readonly ids: I32;
  readonly embedding: Normed;
  readonly hidden: Normed;
  /** `[T, 2D]`, both side by side. */
  readonly joined: F32;
}

export interface MtpSaved {
  readonly rows: MtpRows;
  readonly join: MtpJoined;
  readonly block: BlockSaved;
  /** The block's output: what depth k + 1 continues in `preNorm`. */
  readonly hidden: F32;
  readonly end: EndSaved;
}

export interface MtpDeferred {
  readonly saved: MtpSaved;
  readonly end: EndDeferred;
  /** null when the block's weights are done already. */
  readonly block: BlockDeferred | null;
  readonly dProjected: F32;
  readonly dJoined: F32;
  readonly dEmbedding: F32;
}

/** The module's input from both of its sources, in `out` where it is given. */
export function joinForward(
  context: StepContext,
  shared: Shared,
  weights: MtpWeights,
  args: { previous: F32; ids: I32; out?: F32 },
): { x: F32; join: MtpJoined } {
  const { previous, ids } = args;
  const { hiddenSize: D, rmsNormEps: eps } = shared.config;
  const [T = 0] = ids.shape;
  const joined = allocateF32(context, T, 2 * D);
  const embedding = normForward(context, weights.embeddingNorm, {
    x: embeddingForward(context, weights.embedding, ids),
    eps,
    out: columns(joined, 0, D),
  });
  const hidden = normForward(context, weights.hiddenNorm, {
    x: previous,
    eps,
    out: columns(joined, D, 2 * D),
  });
  const x = args.out ?? allocateF32(context, T, D);
  context.kernels.matmul({ out: x, a: joined, b: weights.project.weight, layout: 'nt' });
  return { x, join: { ids, embedding, hidden, joined } };
}

/** @param previous states of the depth before, all of its rows */
export function* mtpForward(
  context: StepContext,
  shared: Shared,
  weights: MtpWeights,
  args: {
    previous: F32;
    rows: MtpRows;
    balance: BalanceTerm | null;
    losses: F32;
    gradientScale: number | null;
  },
): Pass<MtpSaved> {
  const { rows, balance, losses, gradientScale } = args;
  const previous = gatherRows(context, args.previous, rows.previous);
  const { x, join } = joinForward(context, shared, weights, { previous, ids: rows.ids });
  yield { pass: 'forward', part: 'embedding', layer: weights.block.layer };
  const block = yield* blockForward(context, shared, weights.block, {
    x,
    rows: rows.rows,
    balance,
  });
  const index = weights.depth - 1;
  context.capture?.(`mtp_hidden.${index}`, block.out);
  const end = endForward(context, weights.end, {
    x: block.out,
    targets: rows.targets,
    losses,
    gradientScale,
    names: { normed: null, logits: `mtp_logits.${index}` },
  });
  yield { pass: 'forward', part: 'head', layer: weights.block.layer };
  return { rows, join, block: block.saved, hidden: block.out, end };
}

/** The state that the next depth continues. */
export function continuedState(context: StepContext, states: { postNorm: F32; preNorm: F32 }): F32 {
  return states[context.options.mtpHidden];
}

export function* mtpBackward(
  context: StepContext,
  shared: Shared,
  weights: MtpWeights,
  args: { saved: MtpSaved; continued: Continued | null; weights: 'now' | 'later' },
): Pass<{ continued: Continued; deferred: MtpDeferred }> {
  const { saved, continued } = args;
  const { join, rows } = saved;
  const D = shared.config.hiddenSize;
  const end = endBackwardInput(context, weights.end, { saved: saved.end, continued });
  yield { pass: 'backwardInput', part: 'head', layer: weights.block.layer };
  const block = yield* blockBackward(context, shared, weights.block, {
    saved: saved.block,
    dOut: end.dX,
    weights: args.weights,
  });
  const dJoined = linearBackwardInput(context, weights.project, block.dX);
  const dEmbedding = allocateF32(context, ...join.embedding.x.shape);
  const dRows = allocateF32(context, ...join.hidden.x.shape);
  normBackwardInput(context, weights.embeddingNorm, {
    normed: join.embedding,
    dOut: columns(dJoined, 0, D),
    dX: dEmbedding,
  });
  normBackwardInput(context, weights.hiddenNorm, {
    normed: join.hidden,
    dOut: columns(dJoined, D, 2 * D),
    dX: dRows,
  });
  yield { pass: 'backwardInput', part: 'embedding', layer: weights.block.layer };
  return {
    continued: { dRows, rows: rows.previous, from: context.options.mtpHidden },
    deferred: {
      saved,
      end: end.deferred,
      block: args.weights === 'later' ? block.deferred : null,
      dProjected: block.dX,
      dJoined,
      dEmbedding,
    },
  };
}

export function* mtpBackwardWeight(
  context: StepContext,
  shared: Shared,
  weights: MtpWeights,
  deferred: MtpDeferred,
): Pass<void> {
  const { saved, dProjected, dJoined, dEmbedding } = deferred;
  const { join } = saved;
  const D = shared.config.hiddenSize;
  endBackwardWeight(context, weights.end, deferred.end);
  if (deferred.block !== null) yield* blockBackwardWeight(context, weights.block, deferred.block);
  linearBackwardWeight(context, weights.project, { x: join.joined, dOut: dProjected });
  normBackwardWeight(context, weights.embeddingNorm, {
    normed: join.embedding,
    dOut: columns(dJoined, 0, D),
  });
  normBackwardWeight(context, weights.hiddenNorm, {
    normed: join.hidden,
    dOut: columns(dJoined, D, 2 * D),
  });
  embeddingBackwardWeight(context, weights.embedding, { ids_T: join.ids, dOut: dEmbedding });
  yield { pass: 'backwardWeight', part: 'embedding', layer: weights.block.layer };
}
