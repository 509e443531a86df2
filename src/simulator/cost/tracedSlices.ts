/**
 * Runs one slice of the model on the meta kernels, part by part, and keeps what each part recorded:
 * the embedding, one dense layer, one layer with experts, or the head with its MTP modules. Layers
 * alike are the same slice, so a stage of any length costs four traces at most.
 */
import { assert } from '../../base/assert.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { createMetaKernels, metaCollectives, type OperationRecord } from '../../kernels/meta.ts';
import type { PartDone, Pass } from '../../model/block.ts';
import type { StepContext } from '../../model/context.ts';
import { type TokenBatch, uploadMicroBatch } from '../../model/microBatch.ts';
import { createModel, createRoutingCounts } from '../../model/model.ts';
import type { Stage } from '../../model/parameterLayout.ts';
import { createParameters, type ParameterSet } from '../../model/parameters.ts';
import { stageBackward, stageBackwardWeight, stageForward } from '../../model/transformer.ts';
import type { Memory, Tensor } from '../../tensor/tensor.ts';

/** A part as the model ran it, and the operations of it. */
export interface TracedPart extends PartDone {
  readonly records: readonly OperationRecord[];
}

export interface TracedSlice {
  readonly forward: readonly TracedPart[];
  readonly backwardInput: readonly TracedPart[];
  readonly backwardWeight: readonly TracedPart[];
  /** The parameter that a weight or a gradient belongs to. */
  readonly nameOf: (tensor: Tensor) => string | undefined;
}

export interface SliceArgs {
  /** As the rank holds it (`rankModel.ts`). */
  readonly config: ModelConfig;
  readonly stage: Stage;
  readonly numSequences: number;
  readonly sequenceLength: number;
  readonly mtp: boolean;
  readonly ep: number;
  readonly imbalance: number;
}

export function traceSlice(args: SliceArgs): TracedSlice {
  const { ep, imbalance, sequenceLength, numSequences } = args;
  const config = args.mtp ? args.config : { ...args.config, numNextnPredictLayers: 0 };
  const numLocal = config.nRoutedExperts / ep;
  const stage: Stage =
    config.nRoutedExperts > 0
      ? { ...args.stage, experts: { first: 0, last: numLocal } }
      : args.stage;
  const meta = createMetaKernels();
  const { kernels } = meta;
  const weights = kernels.createArena('parameters');
  const withGradients = true;
  const set = createParameters({ kernels, arena: weights, config, stage, withGradients });
  const maxPositions = sequenceLength;
  // Nobody reads the table of rotations, and 4,096 rows of it took more than all the rest.
  const model = createModel({ kernels, arena: weights, config, parameters: set, maxPositions: 1 });
  const arena = kernels.createArena('activations');
  const context: StepContext = {
    kernels,
    arena,
    collectives: metaCollectives(meta, { size: ep, rank: 0, arena, imbalance }),
    options: {
      mtpWeight: 0.3,
      balanceCoefficient: 1e-4,
      balanceForm: 'paper',
      mtpHidden: 'postNorm',
    },
    counts: createRoutingCounts({ kernels, arena: weights, config, stage }),
  };
  const depths = config.numNextnPredictLayers;
  const batch = uploadMicroBatch({
    kernels,
    arena,
    batch: anyTokens(depths, { numSequences, sequenceLength }),
    vocabSize: config.vocabSize,
    maxPositions,
    numMtpDepths: depths,
  });
  const tokens = numSequences * sequenceLength;
  const normalizers = { main: tokens, mtp: new Array<number>(depths).fill(tokens) };
  const settings = { isTraining: true, numMtpDepths: depths, normalizers, numMicroBatches: 1 };
  const hidden = (): Tensor<'f32'> => arena.allocate('f32', [tokens, config.hiddenSize]);
  const run = <Result>(pass: Pass<Result>): { parts: TracedPart[]; result: Result } => {
    const parts: TracedPart[] = [];
    meta.records.length = 0;
    for (let step = pass.next(); ; step = pass.next()) {
      const records = meta.records.splice(0);
      if (step.done === true) return { parts, result: step.value };
      parts.push({ ...step.value, records });
    }
  };
  const forward = run(
    stageForward(context, model, {
      batch,
      hidden: stage.hasEmbedding ? null : hidden(),
      settings,
    }),
  );
  const { saved } = forward.result;
  assert(saved !== null, 'a training pass keeps what backward needs');
  const dHidden = stage.hasHead ? null : hidden();
  const input = run(stageBackward(context, model, { saved, dHidden, weights: 'later' }));
  const { deferred } = input.result;
  assert(deferred !== null, 'weights come later');
  const weight = run<void>(stageBackwardWeight(context, model, deferred));
  return {
    forward: forward.parts,
    backwardInput: input.parts,
    backwardWeight: weight.parts,
    nameOf: parameterNames(set),
  };
}

/** Ids decide nothing: all are the first token, and so are all targets. */
function anyTokens(
  depths: number,
  { numSequences, sequenceLength: length }: Pick<SliceArgs, 'numSequences' | 'sequenceLength'>,
): TokenBatch {
  const zeros = (kept: number): Int32Array => new Int32Array(numSequences * Math.max(0, kept));
  return {
    ...{ numSequences, length },
    ids: zeros(length),
    targets: zeros(length),
    mtpTargets: Array.from({ length: depths }, (_, depth) => zeros(length - depth - 1)),
  };
}

function parameterNames(set: ParameterSet): TracedSlice['nameOf'] {
  const names = new Map<Memory, Map<number, string>>();
  const add = ({ memory, byteOffset }: Tensor, name: string): void => {
    const places = names.get(memory) ?? new Map<number, string>();
    names.set(memory, places);
    places.set(byteOffset, name);
  };
  for (const [name, { weight, gradient }] of set.parameters) {
    add(weight.values, name);
    if (gradient !== null) add(gradient, name);
  }
  return ({ memory, byteOffset }) => names.get(memory)?.get(byteOffset);
}
