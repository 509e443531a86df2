/**
 * One transformer block as four parts: attention, dispatch, experts, combine.
 *
 * A pass is a generator that stops after every part, so whoever drives it decides what runs next:
 * `drain` runs one pass to its end; an executor that overlaps two micro-batches (DualPipe) steps
 * two of them in turn. Parts never wait: where a transfer is under way the pass has already
 * stopped.
 */
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32 } from '../kernels/kernels.ts';
import type { Rows, Shared, StepContext } from './context.ts';
import {
  type MlaDeferred,
  type MlaSaved,
  type MlaWeights,
  mlaBackwardInput,
  mlaBackwardWeight,
  mlaForward,
  mlaWeights,
} from './mla.ts';
import {
  combineBackwardInput,
  combineForward,
  type DispatchDeferred,
  dispatchBackwardInput,
  dispatchBackwardWeight,
  dispatchForward,
  type ExpertsDeferred,
  expertsBackwardInput,
  expertsBackwardWeight,
  expertsForward,
  type FeedForwardSaved,
  type FeedForwardWeights,
  feedForwardWeights,
} from './moe.ts';
import type { ParameterSet } from './parameters.ts';
import type { BalanceTerm } from './router.ts';

/** What a pass has just done. */
export interface PartDone {
  readonly pass: 'forward' | 'backwardInput' | 'backwardWeight';
  readonly part: 'embedding' | 'attention' | 'dispatch' | 'experts' | 'combine' | 'head';
  readonly layer: number | null;
}

export type Pass<Result> = Generator<PartDone, Result, void>;

/** Runs a pass without stopping. */
export function drain<Result>(pass: Pass<Result>): Result {
  while (true) {
    const step = pass.next();
    if (step.done === true) return step.value;
  }
}

export interface BlockWeights {
  readonly layer: number;
  readonly attention: MlaWeights;
  readonly feedForward: FeedForwardWeights;
}

export function blockWeights(set: ParameterSet, config: ModelConfig, layer: number): BlockWeights {
  return {
    layer,
    attention: mlaWeights(set, config, layer),
    feedForward: feedForwardWeights(set, config, layer),
  };
}

export interface BlockSaved {
  readonly attention: MlaSaved;
  readonly feedForward: FeedForwardSaved;
}

export interface BlockDeferred {
  readonly experts: ExpertsDeferred;
  readonly dispatch: DispatchDeferred;
  readonly attention: MlaDeferred;
}

export function* blockForward(
  context: StepContext,
  shared: Shared,
  block: BlockWeights,
  args: { x: F32; rows: Rows; balance: BalanceTerm | null },
): Pass<{ out: F32; saved: BlockSaved }> {
  const { layer, feedForward } = block;
  const { x, rows, balance } = args;
  const attention = mlaForward(context, shared, block.attention, { x, rows });
  yield { pass: 'forward', part: 'attention', layer };
  const y = attention.out;
  const dispatched = dispatchForward(context, shared, feedForward, { y, rows, balance });
  yield { pass: 'forward', part: 'dispatch', layer };
  const experts = expertsForward(context, feedForward, dispatched);
  yield { pass: 'forward', part: 'experts', layer };
  const combined = combineForward(context, feedForward, { dispatched, experts });
  yield { pass: 'forward', part: 'combine', layer };
  return {
    out: combined.out,
    saved: { attention: attention.saved, feedForward: combined.saved },
  };
}

/**
 * The input half of backward, and the weight half either right behind each part (`now`) or left to
 * `blockBackwardWeight` (`later`: zero-bubble schedules). Both orders add the same numbers.
 */
export function* blockBackward(
  context: StepContext,
  shared: Shared,
  block: BlockWeights,
  args: { saved: BlockSaved; dOut: F32; weights: 'now' | 'later' },
): Pass<{ dX: F32; deferred: BlockDeferred }> {
  const { layer, feedForward } = block;
  const { saved, dOut } = args;
  const isNow = args.weights === 'now';
  const combined = combineBackwardInput(context, { saved: saved.feedForward, dOut });
  yield { pass: 'backwardInput', part: 'combine', layer };
  const experts = expertsBackwardInput(context, feedForward, {
    saved: saved.feedForward,
    combined,
  });
  yield { pass: 'backwardInput', part: 'experts', layer };
  if (isNow) {
    // Under the transfer that brings the rows' gradients back (report, 3.2.1).
    expertsBackwardWeight(context, feedForward, experts.deferred);
    yield { pass: 'backwardWeight', part: 'experts', layer };
  }
  const dispatched = dispatchBackwardInput(context, shared, feedForward, {
    saved: saved.feedForward,
    combined,
    experts,
  });
  if (isNow) dispatchBackwardWeight(context, feedForward, dispatched.deferred);
  yield { pass: 'backwardInput', part: 'dispatch', layer };
  const attention = mlaBackwardInput(context, shared, block.attention, {
    saved: saved.attention,
    dOut: dispatched.dY,
  });
  yield { pass: 'backwardInput', part: 'attention', layer };
  if (isNow) {
    mlaBackwardWeight(context, block.attention, attention.deferred);
    yield { pass: 'backwardWeight', part: 'attention', layer };
  }
  return {
    dX: attention.dX,
    deferred: {
      experts: experts.deferred,
      dispatch: dispatched.deferred,
      attention: attention.deferred,
    },
  };
}

/** The weight half alone; combine has no weights. */
export function* blockBackwardWeight(
  context: StepContext,
  block: BlockWeights,
  deferred: BlockDeferred,
): Pass<void> {
  const { layer } = block;
  expertsBackwardWeight(context, block.feedForward, deferred.experts);
  yield { pass: 'backwardWeight', part: 'experts', layer };
  dispatchBackwardWeight(context, block.feedForward, deferred.dispatch);
  yield { pass: 'backwardWeight', part: 'dispatch', layer };
  mlaBackwardWeight(context, block.attention, deferred.attention);
  yield { pass: 'backwardWeight', part: 'attention', layer };
}
