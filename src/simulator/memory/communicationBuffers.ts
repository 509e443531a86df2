/**
 * Memory that transfers need beside the tensors they move, and the reserve of what no model of
 * tensors sees.
 *
 * Dispatch and combine: DeepEP's staging rings (`csrc/config.hpp`, size hints; rings of
 * `Buffer.get_dispatch_config`), one channel for every two SMs, and what arrives. Pipeline: what
 * comes and goes at both ends of each stage. ZeRO: buckets of 40 M values, as Megatron-LM has them.
 */
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import type { RowCounts } from './layerBytes.ts';
import { bytesOfRow, bytesPerWeight, type MemoryRecipe } from './memoryRecipe.ts';

export interface DeviceFacts {
  /** SMs of the communication kernels. */
  readonly communicationSms: number;
  /** GPUs of a scale-up domain. */
  readonly domainSize: number;
}

export const defaultDevice: DeviceFacts = { communicationSms: 20, domainSize: 8 };

export interface BufferInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly recipe: MemoryRecipe;
  readonly rows: RowCounts;
  readonly device: DeviceFacts;
  readonly numStages: number;
  /** Values of the rank's parameters: a bucket holds no more than these. */
  readonly numParameters: number;
}

export interface CommunicationBytes {
  readonly dispatchCombine: number;
  readonly pipeline: number;
  readonly buckets: number;
  readonly sequenceParallel: number;
}

export function communicationBytes(input: BufferInput): CommunicationBytes {
  const { model, plan, recipe, rows, numStages } = input;
  const { pp, tp } = plan.layout;
  const state = bytesOfRow(recipe.formats.residual, model.hiddenSize) * rows.tokens;
  return {
    dispatchCombine: expertBytes(input),
    // A state in and one out, a gradient in and one out, for every stage.
    pipeline: pp > 1 ? 4 * state * numStages : 0,
    buckets: bucketBytes(input),
    // The gathered input of a parallel product and its output before the scatter.
    sequenceParallel: tp > 1 ? 2 * state * tp : 0,
  };
}

function expertBytes({ model, plan, recipe, rows, device }: BufferInput): number {
  const { ep } = plan.layout;
  if (ep === 1 || model.nRoutedExperts === 0) return 0;
  const D = model.hiddenSize;
  const arrived =
    bytesOfRow(recipe.formats.dispatched, D) * rows.routed +
    bytesOfRow(recipe.formats.returned, D) * rows.tokens;
  return arrived + stagingBytes({ hiddenSize: D, ep, device });
}

/** Bound on top-k and on scales per token that DeepEP's hints are made with. */
const MOST_TOP_K = 128;
const MOST_SCALES = 128;
/** DeepEP's `SourceMeta`: rank and mask. */
const SOURCE_BYTES = 8;

/** Size hints of DeepEP's normal kernels for a BF16 hidden row. */
export function stagingBytes(args: {
  readonly hiddenSize: number;
  readonly ep: number;
  readonly device: DeviceFacts;
}): number {
  const { hiddenSize, ep, device } = args;
  const channels = Math.floor(device.communicationSms / 2);
  const peers = Math.min(ep, device.domainSize);
  const domains = Math.max(Math.floor(ep / device.domainSize), 1);
  const token = 2 * hiddenSize + SOURCE_BYTES + MOST_TOP_K * (8 + 4) + MOST_SCALES * 4;
  const [upTokens, outTokens] = ringTokens(ep);
  const scaleUp = channels * peers * (upTokens * token + (2 * domains + 3) * 4);
  if (domains === 1) return scaleUp;
  const heads = (2 * device.domainSize + 2) * 4;
  return scaleUp + channels * domains * 2 * (outTokens * token + heads);
}

/** Tokens of a receiving ring, over NVLink and over the network: DeepEP's configurations. */
function ringTokens(ep: number): readonly [number, number] {
  if (ep <= 8) return [256, 128];
  if (ep <= 64) return [288, 128];
  return ep <= 128 ? [560, 128] : [720, 128];
}

const BUCKET_VALUES = 40e6;

/** ZeRO-1 gathers new weights bucket by bucket, ZeRO-2 and 3 scatter gradients; two at a time. */
function bucketBytes({ plan, recipe, numParameters }: BufferInput): number {
  const { zeroStage } = plan.layout;
  if (zeroStage === 0) return 0;
  const values = 2 * Math.min(BUCKET_VALUES, numParameters);
  return values * (zeroStage === 1 ? 2 : bytesPerWeight(recipe.gradients));
}

/** What the device holds beside our tensors. All of it is assumed; nothing here is V3's. */
export interface ReserveAssumptions {
  /** The driver's context and loaded kernels: 400–600 MiB is usual on Hopper. */
  readonly contextBytes: number;
  /** Channels of the collectives library, all communicators. */
  readonly collectivesBytes: number;
  /** Workspace of products: cuBLAS recommends 32 MiB on Hopper; one for each of two streams. */
  readonly workspaceBytes: number;
  /** What an allocator with growing segments loses of activations. */
  readonly fragmentation: number;
}

export const defaultReserve: ReserveAssumptions = {
  contextBytes: 500 * 2 ** 20,
  collectivesBytes: 1000 * 2 ** 20,
  workspaceBytes: 64 * 2 ** 20,
  fragmentation: 0.03,
};
