/**
 * The last stage's ends: the main loss, then MTP depth by depth, each continuing the one before;
 * backward comes from the deepest. All ends share the embedding and the head, whose gradients add.
 */
import { at } from '../base/assert.ts';
import type { F32 } from '../kernels/kernels.ts';
import type { Pass } from './block.ts';
import type { StepContext } from './context.ts';
import {
  type Continued,
  type EndDeferred,
  type EndSaved,
  type EndWeights,
  endBackwardInput,
  endBackwardWeight,
  endForward,
  lossesOfDepth,
  type PassRecord,
  type PassSettings,
} from './loss.ts';
import type { MicroBatch } from './microBatch.ts';
import type { Model } from './model.ts';
import {
  continuedState,
  type MtpDeferred,
  type MtpSaved,
  mtpBackward,
  mtpBackwardWeight,
  mtpForward,
} from './mtp.ts';
import type { BalanceTerm } from './router.ts';

export interface HeadSaved {
  readonly main: EndSaved;
  readonly mtp: readonly MtpSaved[];
}

export interface HeadDeferred {
  readonly main: EndDeferred;
  /** Deepest first. */
  readonly mtp: readonly MtpDeferred[];
}

export interface HeadInput {
  /** The last block's output. */
  readonly x: F32;
  readonly batch: MicroBatch;
  readonly settings: PassSettings;
  readonly record: PassRecord;
  readonly balanceOf: (layer: number) => BalanceTerm | null;
}

export function* headForward(
  context: StepContext,
  model: Model,
  end: EndWeights,
  input: HeadInput,
): Pass<HeadSaved> {
  const { x, batch, settings, record } = input;
  const { normalizers, numMtpDepths, isTraining } = settings;
  const main = endForward(context, end, {
    x,
    targets: batch.targets,
    losses: lossesOfDepth(record, 0),
    gradientScale: isTraining ? share(1, normalizers.main) : null,
    names: { normed: 'final_norm', logits: 'logits' },
  });
  yield { pass: 'forward', part: 'head', layer: null };
  const mtp: MtpSaved[] = [];
  let previous = continuedState(context, { postNorm: main.normed.out, preNorm: x });
  for (const [index, rows] of batch.mtp.slice(0, numMtpDepths).entries()) {
    const module = at(model.mtp, index);
    const weight = context.options.mtpWeight / numMtpDepths;
    const saved: MtpSaved = yield* mtpForward(context, model.shared, module, {
      previous,
      rows,
      balance: input.balanceOf(module.block.layer),
      losses: lossesOfDepth(record, index + 1),
      gradientScale: isTraining ? share(weight, normalizers.mtp[index] ?? 0) : null,
    });
    mtp.push(saved);
    previous = continuedState(context, { postNorm: saved.end.normed.out, preNorm: saved.hidden });
  }
  return { main, mtp };
}

export function* headBackward(
  context: StepContext,
  model: Model,
  end: EndWeights,
  args: { saved: HeadSaved; weights: 'now' | 'later' },
): Pass<{ dX: F32; deferred: HeadDeferred }> {
  const { saved, weights } = args;
  let continued: Continued | null = null;
  const mtp: MtpDeferred[] = [];
  for (const [index, each] of [...saved.mtp.entries()].reverse()) {
    const result: { continued: Continued; deferred: MtpDeferred } = yield* mtpBackward(
      context,
      model.shared,
      at(model.mtp, index),
      { saved: each, continued, weights },
    );
    continued = result.continued;
    mtp.push(result.deferred);
  }
  const main = endBackwardInput(context, end, { saved: saved.main, continued });
  const deferred = { main: main.deferred, mtp };
  if (weights === 'now') yield* headBackwardWeight(context, model, end, deferred);
  yield { pass: 'backwardInput', part: 'head', layer: null };
  return { dX: main.dX, deferred };
}

export function* headBackwardWeight(
  context: StepContext,
  model: Model,
  end: EndWeights,
  deferred: HeadDeferred,
): Pass<void> {
  for (const [index, each] of deferred.mtp.entries()) {
    const module = at(model.mtp, deferred.mtp.length - 1 - index);
    yield* mtpBackwardWeight(context, model.shared, module, each);
  }
  endBackwardWeight(context, end, deferred.main);
  yield { pass: 'backwardWeight', part: 'head', layer: null };
}

function share(weight: number, count: number): number {
  return count === 0 ? 0 : weight / count;
}
