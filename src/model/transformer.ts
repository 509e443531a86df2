/**
 * One micro-batch through a stage of the model: some layers, with the embedding before them or the
 * ends after them. The whole model is the stage that has both.
 *
 *     ids ─ embedding ─ block … block ─┬─ norm ─ head ─ main loss
 *                                      └─ MTP 1 ─┬─ norm ─ head ─ loss
 *                                                └─ MTP 2 …
 *
 * Each pass is a generator that stops after every part (see `block.ts`); `drain` runs it through.
 * `stageForward`, then `stageBackward`; or its halves apart, with weights 'later' and then
 * `stageBackwardWeight`. The ends take their losses' gradients, and add the head's, in forward.
 */
import { assert, at } from '../base/assert.ts';
import type { F32 } from '../kernels/kernels.ts';
import { elements } from '../tensor/tensor.ts';
import {
  type BlockDeferred,
  type BlockSaved,
  blockBackward,
  blockBackwardWeight,
  blockForward,
  type Pass,
} from './block.ts';
import { allocateF32, type StepContext } from './context.ts';
import { embeddingBackwardWeight, embeddingForward } from './embedding.ts';
import { createRecord, type PassRecord, type PassSettings } from './loss.ts';
import type { MicroBatch } from './microBatch.ts';
import { type Model, moeLayers } from './model.ts';
import type { BalanceTerm } from './router.ts';
import {
  type HeadDeferred,
  type HeadSaved,
  headBackward,
  headBackwardWeight,
  headForward,
} from './stageHead.ts';

export interface StageInput {
  readonly batch: MicroBatch;
  /** What the stage before gave, `[rows, D]`; null where the stage has the embedding. */
  readonly hidden: F32 | null;
  readonly settings: PassSettings;
}

export interface StageForward {
  /** The residual stream after the stage's last block. */
  readonly hidden: F32;
  readonly record: PassRecord;
  /** null when not training. */
  readonly saved: StageSaved | null;
}

export interface StageSaved {
  readonly batch: MicroBatch;
  readonly blocks: readonly BlockSaved[];
  readonly head: HeadSaved | null;
}

export interface StageDeferred {
  readonly head: HeadDeferred | null;
  /** Last block first. */
  readonly blocks: readonly BlockDeferred[];
  /** Gradient of the embedding's output; null where the stage has none. */
  readonly dEmbedding: F32 | null;
  readonly batch: MicroBatch;
}

export function* stageForward(
  context: StepContext,
  model: Model,
  input: StageInput,
): Pass<StageForward> {
  const { batch, settings } = input;
  const { stage, shared } = model;
  const layers = moeLayers(shared.config, stage);
  const depths = Math.min(batch.mtp.length, settings.numMtpDepths);
  const lossRows = [batch.rows, ...batch.mtp.slice(0, depths).map((each) => each.rows)];
  const record = createRecord(context.arena, {
    lossRows: stage.hasHead ? lossRows.map((rows) => rows.count) : [],
    numMoeLayers: layers.length,
  });
  // Depths that did not run leave no balance loss behind.
  if (record.balance !== null) context.kernels.fill({ out: record.balance, value: 0 });
  const coefficient = settings.isTraining
    ? context.options.balanceCoefficient / settings.numMicroBatches
    : 0;
  const balanceOf = (layer: number): BalanceTerm | null => {
    const index = layers.indexOf(layer);
    if (index < 0 || record.balance === null) return null;
    return { loss: elements(record.balance, index, index + 1), coefficient };
  };
  const x = yield* embed(context, model, input);
  const { out, saved: blocks } = yield* blocksForward(context, model, { x, input, balanceOf });
  if (model.end === null) return { hidden: out, record, saved: savedIf(settings, batch, blocks) };
  const head: HeadSaved = yield* headForward(context, model, model.end, {
    x: out,
    batch,
    settings,
    record,
    balanceOf,
  });
  return { hidden: out, record, saved: savedIf(settings, batch, blocks, head) };
}

function savedIf(
  settings: PassSettings,
  batch: MicroBatch,
  blocks: readonly BlockSaved[],
  head: HeadSaved | null = null,
): StageSaved | null {
  return settings.isTraining ? { batch, blocks, head } : null;
}

function* embed(context: StepContext, model: Model, input: StageInput): Pass<F32> {
  if (!model.stage.hasEmbedding) {
    assert(input.hidden !== null, 'a later stage needs the hidden state of the one before');
    return input.hidden;
  }
  assert(model.embedding !== null, 'the first stage has an embedding');
  const x = embeddingForward(context, model.embedding, input.batch.ids);
  context.capture?.('embed', x);
  yield { pass: 'forward', part: 'embedding', layer: null };
  return x;
}

/** When nothing is kept for backward, each block's memory is given back behind it. */
function* blocksForward(
  context: StepContext,
  model: Model,
  args: { x: F32; input: StageInput; balanceOf: (layer: number) => BalanceTerm | null },
): Pass<{ out: F32; saved: BlockSaved[] }> {
  const { input, balanceOf } = args;
  const { rows } = input.batch;
  const isKept = input.settings.isTraining || context.capture !== undefined;
  const stream = isKept ? null : allocateF32(context, ...args.x.shape);
  const saved: BlockSaved[] = [];
  let x = args.x;
  for (const block of model.blocks) {
    const mark = context.arena.mark();
    const balance = balanceOf(block.layer);
    const done: { out: F32; saved: BlockSaved } = yield* blockForward(
      context,
      model.shared,
      block,
      { x, rows, balance },
    );
    x = done.out;
    context.capture?.(`hidden.${block.layer}`, x);
    if (stream === null) {
      saved.push(done.saved);
      continue;
    }
    context.kernels.copy({ out: stream, x });
    context.arena.release(mark);
    x = stream;
  }
  return { out: x, saved };
}

/**
 * @param dHidden gradient of the stage's output; null on the last stage, which begins at the losses
 * @returns the gradient for the stage before (null on the first), and with weights 'later' what
 *   `stageBackwardWeight` needs
 */
export function* stageBackward(
  context: StepContext,
  model: Model,
  args: { saved: StageSaved; dHidden: F32 | null; weights: 'now' | 'later' },
): Pass<{ dHidden: F32 | null; deferred: StageDeferred | null }> {
  const { saved, weights } = args;
  const { batch } = saved;
  let dX = args.dHidden;
  let head: HeadDeferred | null = null;
  if (model.end !== null && saved.head !== null) {
    const done: { dX: F32; deferred: HeadDeferred } = yield* headBackward(
      context,
      model,
      model.end,
      { saved: saved.head, weights },
    );
    dX = done.dX;
    head = done.deferred;
  }
  assert(dX !== null, 'backward needs the gradient of the stage’s output');
  const { dX: dInput, deferred: blocks } = yield* blocksBackward(context, model, {
    saved,
    dOut: dX,
    weights,
  });
  const { hasEmbedding } = model.stage;
  const deferred = { head, blocks, dEmbedding: hasEmbedding ? dInput : null, batch };
  const dHidden = hasEmbedding ? null : dInput;
  if (weights === 'later') return { dHidden, deferred };
  yield* embeddingBackward(context, model, deferred);
  return { dHidden, deferred: null };
}

/** With weights 'now' each block's memory is given back behind it, and one buffer carries dX on. */
function* blocksBackward(
  context: StepContext,
  model: Model,
  args: { saved: StageSaved; dOut: F32; weights: 'now' | 'later' },
): Pass<{ dX: F32; deferred: BlockDeferred[] }> {
  const { saved, weights } = args;
  const deferred: BlockDeferred[] = [];
  const stream = allocateF32(context, ...args.dOut.shape);
  let dX = args.dOut;
  for (const [index, block] of [...model.blocks.entries()].reverse()) {
    const mark = context.arena.mark();
    const done: { dX: F32; deferred: BlockDeferred } = yield* blockBackward(
      context,
      model.shared,
      block,
      { saved: at(saved.blocks, index), dOut: dX, weights },
    );
    dX = done.dX;
    if (weights === 'later') {
      deferred.push(done.deferred);
      continue;
    }
    context.kernels.copy({ out: stream, x: dX });
    context.arena.release(mark);
    dX = stream;
  }
  return { dX, deferred };
}

/** The weight half, in the order in which the input half met the weights. */
export function* stageBackwardWeight(
  context: StepContext,
  model: Model,
  deferred: StageDeferred,
): Pass<void> {
  if (model.end !== null && deferred.head !== null) {
    yield* headBackwardWeight(context, model, model.end, deferred.head);
  }
  for (const [index, each] of deferred.blocks.entries()) {
    const block = at(model.blocks, model.blocks.length - 1 - index);
    yield* blockBackwardWeight(context, block, each);
  }
  yield* embeddingBackward(context, model, deferred);
}

function* embeddingBackward(
  context: StepContext,
  model: Model,
  deferred: StageDeferred,
): Pass<void> {
  if (deferred.dEmbedding === null || model.embedding === null) return;
  const { batch, dEmbedding } = deferred;
  embeddingBackwardWeight(context, model.embedding, { ids_T: batch.ids, dOut: dEmbedding });
  yield { pass: 'backwardWeight', part: 'embedding', layer: null };
}
