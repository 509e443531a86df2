/**
 * Ends of the model and their losses.
 *
 *     total = main + λ · mean over depths of mtp_k + α · Σ over MoE layers of balance_l
 *
 * main and mtp_k are means over the *valid* targets of the whole step (DeepSeek-V3 report, 2.2,
 * divides by T instead; the difference is a constant). An end, of the main model or of an MTP
 * module, is a norm and the shared head. Logits never exist whole: when training, the head's kernel
 * takes the loss, its gradient and the head's weight gradient from one chunk of logits after
 * another.
 */
import { assert } from '../base/assert.ts';
import type { F32, I32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { elements } from '../tensor/tensor.ts';
import { allocateF32, type LossOptions, type StepContext } from './context.ts';
import { gatherRowsBackward } from './embedding.ts';
import { linearForward } from './linear.ts';
import { gradientOf, type Parameter } from './parameters.ts';
import { type Normed, normBackwardInput, normBackwardWeight, normForward } from './rmsNorm.ts';

/** How many targets count, for the main head and per MTP depth (`program/microBatch.ts`). */
export interface TargetCounts {
  readonly main: number;
  readonly mtp: readonly number[];
}

/** How one micro-batch takes part in its step. */
export interface PassSettings {
  /** Whether the pass keeps what backward needs and takes the losses' gradients. */
  readonly isTraining: boolean;
  /** MTP modules to run: all in training, none where only the main loss is wanted. */
  readonly numMtpDepths: number;
  /** Of the whole step, over all micro-batches. */
  readonly normalizers: TargetCounts;
  readonly numMicroBatches: number;
}

/** The numbers of one pass, small enough to be read at the end of the step. */
export interface PassRecord {
  /** −log p per row: the main rows, then each depth's; null on a stage without the head. */
  readonly losses: F32 | null;
  /** Rows of each of them. */
  readonly lossRows: readonly number[];
  /** Unscaled balance loss per MoE layer of the stage; null without MoE layers. */
  readonly balance: F32 | null;
}

export function createRecord(
  arena: Arena,
  args: { lossRows: readonly number[]; numMoeLayers: number },
): PassRecord {
  const { lossRows, numMoeLayers } = args;
  const rows = lossRows.reduce((sum, count) => sum + count, 0);
  return {
    losses: rows > 0 ? arena.allocate('f32', [rows]) : null,
    lossRows,
    balance: numMoeLayers > 0 ? arena.allocate('f32', [numMoeLayers]) : null,
  };
}

/** The losses of depth `depth` (0: main) as a view. */
export function lossesOfDepth(record: PassRecord, depth: number): F32 {
  assert(record.losses !== null, 'the stage has no head');
  const first = record.lossRows.slice(0, depth).reduce((sum, count) => sum + count, 0);
  return elements(record.losses, first, first + (record.lossRows[depth] ?? 0));
}

/** Sums over one micro-batch's rows; `balance` is summed over layers. */
export interface LossSums {
  readonly main: number;
  readonly mtp: readonly number[];
  readonly balance: number;
}

/** Reads a pass's numbers; sums are taken in float64. */
export async function readRecord(kernels: Kernels, record: PassRecord): Promise<LossSums> {
  const losses = record.losses === null ? new Float32Array() : await kernels.read(record.losses);
  const balance = record.balance === null ? new Float32Array() : await kernels.read(record.balance);
  let first = 0;
  const sums = record.lossRows.map((rows) => {
    first += rows;
    return sum(losses.subarray(first - rows, first));
  });
  return { main: sums[0] ?? 0, mtp: sums.slice(1), balance: sum(balance) };
}

export interface LossReport {
  readonly total: number;
  readonly main: number;
  /** Mean over depths. */
  readonly mtp: number;
  readonly mtpPerDepth: readonly number[];
  /** Unscaled, summed over layers, averaged over micro-batches. */
  readonly balance: number;
}

/** The step's losses from those of its micro-batches. */
export function lossReport(
  passes: readonly LossSums[],
  settings: Pick<PassSettings, 'normalizers' | 'numMicroBatches' | 'numMtpDepths'>,
  options: LossOptions,
): LossReport {
  const { normalizers, numMicroBatches, numMtpDepths } = settings;
  const mean = (sumOf: (pass: LossSums) => number, count: number): number =>
    count === 0 ? 0 : sum(passes.map(sumOf)) / count;
  const main = mean((pass) => pass.main, normalizers.main);
  const mtpPerDepth = Array.from({ length: numMtpDepths }, (_, depth) =>
    mean((pass) => pass.mtp[depth] ?? 0, normalizers.mtp[depth] ?? 0),
  );
  const mtp = numMtpDepths === 0 ? 0 : sum(mtpPerDepth) / numMtpDepths;
  const balance = mean((pass) => pass.balance, numMicroBatches);
  const total = main + options.mtpWeight * mtp + options.balanceCoefficient * balance;
  return { total, main, mtp, mtpPerDepth, balance };
}

// One end

export interface EndWeights {
  readonly norm: Parameter;
  readonly head: Parameter;
  readonly eps: number;
}

export interface EndSaved {
  readonly normed: Normed;
  /** Gradient of the normed state from this end's own loss; null when not training. */
  readonly dNormed: F32 | null;
}

/** @param gradientScale what multiplies the gradient of each row's loss; null takes none */
export function endForward(
  context: StepContext,
  weights: EndWeights,
  args: {
    x: F32;
    targets: I32;
    losses: F32;
    gradientScale: number | null;
    names: { normed: string | null; logits: string };
  },
): EndSaved {
  const { x, targets, losses, gradientScale, names } = args;
  const { kernels, capture } = context;
  const normed = normForward(context, weights.norm, { x, eps: weights.eps });
  if (capture !== undefined) {
    if (names.normed !== null) capture(names.normed, normed.out);
    capture(names.logits, linearForward(context, weights.head, normed.out));
  }
  const inputs = { losses_T: losses, h_TD: normed.out, head_VD: weights.head.weight };
  if (gradientScale === null) {
    kernels.headCrossEntropy({ ...inputs, targets_T: targets });
    return { normed, dNormed: null };
  }
  const dNormed = allocateF32(context, ...x.shape);
  kernels.headCrossEntropy({
    ...inputs,
    targets_T: targets,
    gradients: { dH_TD: dNormed, dHead_VD: gradientOf(weights.head), gradientScale },
  });
  return { normed, dNormed };
}

/** What the next MTP depth sends back: gradients of the rows it continued. */
export interface Continued {
  readonly dRows: F32;
  readonly rows: I32;
  readonly from: LossOptions['mtpHidden'];
}

export interface EndDeferred {
  readonly normed: Normed;
  readonly dNormed: F32;
}

export function endBackwardInput(
  context: StepContext,
  weights: EndWeights,
  args: { saved: EndSaved; continued: Continued | null },
): { dX: F32; deferred: EndDeferred } {
  const { saved, continued } = args;
  const { normed, dNormed } = saved;
  assert(dNormed !== null, 'backward through a pass that was not training');
  const dX = allocateF32(context, ...normed.x.shape);
  if (continued?.from === 'postNorm') addContinued(context, dNormed, continued);
  normBackwardInput(context, weights.norm, { normed, dOut: dNormed, dX });
  if (continued?.from === 'preNorm') addContinued(context, dX, continued);
  return { dX, deferred: { normed, dNormed } };
}

export function endBackwardWeight(
  context: StepContext,
  weights: EndWeights,
  deferred: EndDeferred,
): void {
  const { normed, dNormed } = deferred;
  normBackwardWeight(context, weights.norm, { normed, dOut: dNormed });
}

function addContinued(context: StepContext, dX: F32, continued: Continued): void {
  gatherRowsBackward(context, { dX, dOut: continued.dRows, rows_T: continued.rows });
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0;
  return total;
}
