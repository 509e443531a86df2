/**
 * One training or evaluation step of a loaded model on a token batch, driven the plain way.
 */
import { drain } from '../../src/model/block.ts';
import {
  type LossReport,
  lossReport,
  type PassSettings,
  readRecord,
  type TargetCounts,
} from '../../src/model/loss.ts';
import { type TokenBatch, uploadMicroBatch } from '../../src/model/microBatch.ts';
import { zeroCounts } from '../../src/model/model.ts';
import { checkpointGradients, zeroGradients } from '../../src/model/parameters.ts';
import { stageBackward, stageBackwardWeight, stageForward } from '../../src/model/transformer.ts';
import type { LoadedModel } from './goldenModel.ts';

export type BackwardOrder = 'fused' | 'inputsThenWeights' | 'none';

/**
 * Runs micro-batches one after another as one step: gradients and loads are those of the step.
 *
 * @param order `inputsThenWeights`: every input half first, then the weight halves (zero bubble)
 */
export async function runStep(
  { config, model, context }: LoadedModel,
  batches: readonly TokenBatch[],
  order: BackwardOrder = 'fused',
): Promise<LossReport> {
  const { kernels, arena } = context;
  const numMtpDepths = config.numNextnPredictLayers;
  const settings: PassSettings = {
    isTraining: order !== 'none',
    numMtpDepths,
    normalizers: countTargets(batches),
    numMicroBatches: batches.length,
  };
  if (order !== 'none') zeroGradients(kernels, model.parameters);
  zeroCounts(kernels, context.counts);
  const sums = [];
  const deferred = [];
  const mark = arena.mark();
  for (const batch of batches) {
    const { vocabSize, maxPositionEmbeddings: maxPositions } = config;
    const sizes = { vocabSize, maxPositions, numMtpDepths };
    const uploaded = uploadMicroBatch({ kernels, arena, batch, ...sizes });
    const input = { batch: uploaded, hidden: null, settings };
    const { saved, record } = drain(stageForward(context, model, input));
    if (saved !== null) {
      const weights = order === 'fused' ? 'now' : 'later';
      const pass = stageBackward(context, model, { saved, dHidden: null, weights });
      deferred.push(drain(pass).deferred);
    }
    sums.push(await readRecord(kernels, record));
  }
  for (const each of deferred) {
    if (each !== null) drain(stageBackwardWeight(context, model, each));
  }
  // With a capture the caller still wants to look, so nothing is given back.
  if (context.capture === undefined) arena.release(mark);
  return lossReport(sums, settings, context.options);
}

export function countTargets(batches: readonly TokenBatch[]): TargetCounts {
  const valid = (targets: Int32Array): number => targets.filter((target) => target >= 0).length;
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  return {
    main: sum(batches.map(({ targets }) => valid(targets))),
    mtp: (batches[0]?.mtpTargets ?? []).map((_, depth) =>
      sum(batches.map(({ mtpTargets }) => valid(mtpTargets[depth] ?? new Int32Array()))),
    ),
  };
}

/** All gradients by checkpoint name, copied to the host. */
export async function readGradients({
  model,
  context,
}: LoadedModel): Promise<Map<string, Float32Array>> {
  const gradients = new Map<string, Float32Array>();
  for (const { name, view } of checkpointGradients(model.parameters)) {
    gradients.set(name, (await context.kernels.read(view)).slice());
  }
  return gradients;
}
