/**
 * What tensor parallelism sends (Megatron-LM's, with sequence parallelism: arXiv 2205.05198):
 * an all-gather before a sharded pair of products, a reduce-scatter behind it, backward the other
 * way round, and once more a gather for the weights' gradients.
 *
 * MLA with a query latent gathers latents, since the products into them see a share of the tokens;
 * routed experts need nothing, and an embedding split by words only scatters its sums.
 */
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import type { PartDone } from '../../model/block.ts';
import type { TensorTransferWork } from './stageWork.ts';

interface SplitShape {
  readonly model: PlannedModel;
  readonly tp: number;
  readonly microBatchSize: number;
  readonly sequenceLength: number;
}

export function tensorTransfersOf(
  { tp, microBatchSize, sequenceLength, model }: SplitShape,
  { pass, part }: Pick<PartDone, 'pass' | 'part'>,
): TensorTransferWork[] {
  if (tp === 1) return [];
  const { hiddenSize } = model;
  const of = (kind: TensorTransferWork['kind'], width = hiddenSize): TensorTransferWork => ({
    kind,
    bytes: 2 * microBatchSize * sequenceLength * width,
  });
  switch (part) {
    case 'embedding':
      if (pass === 'backwardInput') return [];
      return [of(pass === 'forward' ? 'reduceScatter' : 'allGather')];
    case 'head':
      return [of(pass === 'backwardInput' ? 'reduceScatter' : 'allGather')];
    case 'attention': {
      const width = latentWidth(model);
      if (pass === 'backwardWeight') return [of('allGather', width)];
      return pass === 'forward'
        ? [of('allGather', width), of('reduceScatter')]
        : [of('allGather'), of('reduceScatter', width)];
    }
    case 'experts':
      return pass === 'backwardWeight' ? [of('allGather')] : [of('allGather'), of('reduceScatter')];
    case 'dispatch':
    case 'combine':
      return [];
    default:
      return part satisfies never;
  }
}

/** Of what the sharded products of an attention begin from. */
function latentWidth(model: PlannedModel): number {
  if (isGqa(model) || model.qLoraRank === null) return model.hiddenSize;
  return model.qLoraRank + model.kvLoraRank + model.qkRopeHeadDim;
}
