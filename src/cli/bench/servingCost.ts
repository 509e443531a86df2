/**
 * What a pass must read and compute at least: every weight that its tokens need once, and the
 * caches that they attend to. Activations stay in the processor's caches and are not counted.
 */
import { isMoeLayer, type ModelConfig } from '../../config/modelConfig.ts';
import { flopsPerToken } from '../../config/modelCounts.ts';
import { EMBEDDING, HEAD } from '../../model/parameterLayout.ts';
import type { Parameter, ParameterSet } from '../../model/parameters.ts';
import { bytesPerElement } from '../../tensor/dtype.ts';
import { numElements, type Tensor } from '../../tensor/tensor.ts';

export interface Pass {
  readonly numTokens: number;
  /** Cached positions that are read, over all sequences. */
  readonly cachedPositions: number;
  /** Of the routed experts in a layer, how many the pass's tokens chose. */
  readonly expertsPerLayer: number;
}

/** Bytes of weights and caches that a pass reads. MTP layers are left out. */
export function bytesOfPass(config: ModelConfig, set: ParameterSet, pass: Pass): number {
  const cached = config.numHiddenLayers * (config.kvLoraRank + config.qkRopeHeadDim) * 4;
  let bytes = pass.cachedPositions * cached;
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    bytes += bytesOf(parameter) * shareRead(config, parameter.name, pass);
  }
  return bytes;
}

/**
 * Bytes that one pass of an MTP module reads, with the head that its drafts come from.
 *
 * @param module counts from 1
 */
export function bytesOfDraft(
  config: ModelConfig,
  set: ParameterSet,
  { module, ...pass }: Pass & { readonly module: number },
): number {
  const layer = `model.layers.${config.numHiddenLayers + module - 1}.`;
  let bytes = pass.cachedPositions * (config.kvLoraRank + config.qkRopeHeadDim) * 4;
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    const { name } = parameter;
    if (name === EMBEDDING || name === HEAD)
      bytes += bytesOf(parameter) * shareRead(config, name, pass);
    else if (name.startsWith(layer)) bytes += bytesOf(parameter) * expertShare(config, name, pass);
  }
  return bytes;
}

function expertShare(config: ModelConfig, name: string, { expertsPerLayer }: Pass): number {
  return name.includes('.experts.') ? expertsPerLayer / config.nRoutedExperts : 1;
}

function shareRead(config: ModelConfig, name: string, pass: Pass): number {
  const rows = pass.numTokens / config.vocabSize;
  if (name === EMBEDDING) return config.tieWordEmbeddings ? 1 + rows : rows;
  if (name === HEAD) return 1;
  const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
  if (layer >= config.numHiddenLayers) return 0;
  return expertShare(config, name, pass);
}

function bytesOf({ weight }: Parameter): number {
  return (
    tensorBytes(weight.values) + (weight.scales === undefined ? 0 : tensorBytes(weight.scales))
  );
}

function tensorBytes(tensor: Tensor): number {
  return numElements(tensor.shape) * bytesPerElement(tensor.dtype);
}

/** Distinct experts that `numTokens` tokens choose in a layer if all are chosen equally often. */
export function expectedExperts(config: ModelConfig, numTokens: number): number {
  const { nRoutedExperts: E, numExpertsPerTok: K } = config;
  const hasExperts = Array.from({ length: config.numHiddenLayers }, (_, i) => i).some((layer) =>
    isMoeLayer(config, layer),
  );
  return hasExperts ? E * (1 - (1 - K / E) ** numTokens) : 0;
}

/** FLOPs per decoded token with `context` positions behind it (attention in its plain form). */
export function decodeFlopsPerToken(config: ModelConfig, context: number): number {
  return flopsPerToken(config, { context, causal: false, mtp: false, training: false });
}

/** FLOPs per token of a prompt; only its last token goes through the head. */
export function prefillFlopsPerToken(config: ModelConfig, length: number): number {
  const all = flopsPerToken(config, { context: length, causal: true, mtp: false, training: false });
  return all - 2 * config.vocabSize * config.hiddenSize * (1 - 1 / length);
}
