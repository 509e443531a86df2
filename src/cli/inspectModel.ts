/**
 * What a model is made of, without reading a weight: a preset, a config or a checkpoint, whose
 * tensors are held to its config on the way. `moebius inspect` shows the figures, the library gives
 * them as they are.
 */
import { loadedBytes } from '../checkpoint/loadedSize.ts';
import { checkpointSize } from '../checkpoint/parameterNames.ts';
import { openCheckpoint } from '../checkpoint/shards.ts';
import { tensorDType } from '../checkpoint/storedDType.ts';
import { verifyCheckpoint } from '../checkpoint/verify.ts';
import { type ModuleFlops, moduleFlops, ruleOfThumbFlops } from '../config/flops.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
  type ParameterCounts,
} from '../config/modelCounts.ts';
import { openFolder } from '../runtime/files.ts';
import { readModelTarget } from './modelTarget.ts';

export interface InspectModelOptions {
  /** Context length of the FLOPs per token; 4096 by default. */
  readonly context?: number;
}

/** Counts are plain integers; without MTP unless the name says so. */
export interface ModelFigures {
  readonly kind: 'preset' | 'config' | 'checkpoint';
  readonly parameters: number;
  readonly mtpParameters: number;
  /** Parameters a token passes through, embedding and head included. */
  readonly activeParameters: number;
  readonly activeParametersWithHead: number;
  readonly activeParametersWithoutEmbedding: number;
  /** Of the latent cache in BF16, all layers. */
  readonly kvBytesPerToken: number;
  /** To train, at `context` tokens of causal attention. */
  readonly flopsPerToken: number;
  readonly flopsPerTokenWithMtp: number;
  /** With attention over the whole context. */
  readonly flopsPerTokenNonCausal: number;
  /** By rule of thumb, 6 and 8 per active parameter with the head; attention is not in it. */
  readonly flopsPerToken6N: number;
  readonly flopsPerToken8N: number;
  /** Of a forward pass, causal; `mtp` and `gate` are in no published total. */
  readonly forwardFlopsByModule: ModuleFlops;
  readonly context: number;
  readonly parts: Readonly<Record<ModelPart, number>>;
  /** What the weights take in memory to be run. */
  readonly weightBytes: number;
  /** Of the checkpoint as it is published, MTP and its copies included. */
  readonly checkpointTensors: number;
  readonly checkpointElements: number;
  readonly checkpointBytes: number;
  /** What lies on disk, for a checkpoint. */
  readonly stored?: StoredFacts;
}

export type ModelPart = Exclude<keyof ParameterCounts, 'total' | 'mtp' | 'routerBias'>;

export interface StoredFacts {
  readonly tensors: number;
  readonly bytes: number;
  readonly dtypes: readonly string[];
  readonly hasMtp: boolean;
  /** What a person should know about it, in sentences. */
  readonly notices: readonly string[];
}

export interface InspectedModel extends ModelFigures {
  readonly config: ModelConfig;
}

/**
 * @param target a preset's name, the path of a config.json or of a checkpoint's folder, or a config
 * @throws config.* for an unknown name or a config that cannot be, checkpoint.* for a folder whose
 *   tensors do not fit its config
 */
export async function inspectModel(
  target: string | ModelConfig,
  { context = 4096 }: InspectModelOptions = {},
): Promise<InspectedModel> {
  const { kind, config, stored, weightBytes: loaded } = await openTarget(target);
  const { total, mtp, routerBias: _notTrained, ...parts } = countParameters(config);
  const active = activeParameters(config);
  const size = checkpointSize(config);
  const training = { context, causal: true, training: true };
  const thumb = (flopsPerParameter: 6 | 8): number =>
    ruleOfThumbFlops({ flopsPerParameter, parameters: active.withHead, tokens: 1 });
  return {
    kind,
    config,
    parameters: total,
    mtpParameters: mtp,
    activeParameters: active.withEmbeddingAndHead,
    activeParametersWithHead: active.withHead,
    activeParametersWithoutEmbedding: active.withoutEmbedding,
    kvBytesPerToken: kvBytesPerToken(config),
    flopsPerToken: Math.round(flopsPerToken(config, { ...training, mtp: false })),
    flopsPerTokenWithMtp: Math.round(flopsPerToken(config, { ...training, mtp: true })),
    flopsPerTokenNonCausal: Math.round(
      flopsPerToken(config, { ...training, causal: false, mtp: false }),
    ),
    flopsPerToken6N: thumb(6),
    flopsPerToken8N: thumb(8),
    forwardFlopsByModule: moduleFlops(config, { sequenceLength: context, causal: true }),
    context,
    parts,
    weightBytes: loaded,
    checkpointTensors: size.tensors,
    checkpointElements: size.elements,
    checkpointBytes: size.bytes,
    ...(stored === null ? {} : { stored }),
  };
}

/** What was named, and what is known about it beyond its config. */
interface Target {
  readonly kind: ModelFigures['kind'];
  readonly config: ModelConfig;
  readonly stored: StoredFacts | null;
  readonly weightBytes: number;
}

async function openTarget(target: string | ModelConfig): Promise<Target> {
  if (typeof target !== 'string') return unstored('config', target);
  const { kind, config } = await readModelTarget(target);
  if (kind !== 'checkpoint') return unstored(kind, config);
  const checkpoint = await openCheckpoint(await openFolder(target));
  const { mtpPresent, notices } = await verifyCheckpoint(checkpoint, config);
  const tensors = [...checkpoint.tensors.values()];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  const weightBytes = loadedBytes(config, (name) => {
    const dtype = checkpoint.tensors.get(name)?.dtype;
    const known = dtype === undefined ? undefined : tensorDType(dtype);
    return known === 'i32' ? undefined : known;
  });
  const dtypes = [...new Set(tensors.map(({ dtype }) => dtype))].sort();
  return {
    kind,
    config,
    stored: { tensors: tensors.length, bytes, dtypes, hasMtp: mtpPresent, notices },
    weightBytes,
  };
}

function unstored(kind: ModelFigures['kind'], config: ModelConfig): Target {
  return { kind, config, stored: null, weightBytes: loadedBytes(config) };
}
