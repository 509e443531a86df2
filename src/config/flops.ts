/**
 * FLOPs of a forward pass, module by module, from a model's numbers alone: what a token costs on
 * the mean of a sequence. A product of m × k by k × n is 2·m·n·k; norms, softmax, rotations and
 * activations are not counted, as in the papers. The meta kernels record the same numbers for the
 * real model code (tests/simulator/moduleFlops.test.ts).
 *
 *     MLA                                         GQA
 *     queryDown   2·H·q                           –
 *     queryUp     2·q·h·(n + p), or of H          2·H·h·d
 *     kvDown      2·H·(c + p)                     –
 *     kvUp        2·c·h·(n + v)                   2·H·2·g·d
 *     scores      2·seen·h·(n + p)                2·seen·h·d
 *     values      2·seen·h·v                      2·seen·h·d
 *     output      2·h·v·H                         2·h·d·H
 *
 * Letters: H hidden, h heads, g key-value heads, d head dim, n nope dim, p rope dim, v value dim,
 * c KV latent, q query latent. `seen` is the mean number of positions that a token attends to:
 * half the sequence when attention is causal, else all of it (ISCA 2025, tables 2 and 4).
 */
import { type GqaModelConfig, isGqa, type PlannedModel } from './gqaModelConfig.ts';
import { isMoeLayer } from './modelConfig.ts';

/** FLOPs per token of one forward pass; `mtp` is all that MTP modules add, their head included. */
export interface ModuleFlops {
  /** A row is looked up: nothing is multiplied. */
  readonly embedding: number;
  readonly queryDown: number;
  readonly queryUp: number;
  readonly kvDown: number;
  readonly kvUp: number;
  readonly scores: number;
  readonly values: number;
  readonly output: number;
  readonly denseMlp: number;
  readonly sharedExperts: number;
  readonly routedExperts: number;
  /** Left out of every published total, since it is small. */
  readonly gate: number;
  readonly head: number;
  readonly mtp: number;
}

export interface SequenceShape {
  /** Tokens of a sequence. */
  readonly sequenceLength: number;
  /** Whether attention is counted over the past only: half the square. */
  readonly causal: boolean;
}

/** Per token and forward pass, mean over a sequence. */
export function moduleFlops(model: PlannedModel, sequence: SequenceShape): ModuleFlops {
  const { numHiddenLayers } = model;
  const layers = blockFlops(model, sequence, { from: 0, to: numHiddenLayers });
  const head = 2 * model.vocabSize * model.hiddenSize;
  const numMtp = isGqa(model) ? 0 : model.numNextnPredictLayers;
  const mtpRange = { from: numHiddenLayers, to: numHiddenLayers + numMtp };
  const { gate: _mtpGate, ...mtp } = blockFlops(model, sequence, mtpRange);
  // A module projects two normed inputs to one (report 2.2) and uses the main model's head.
  const perModule = 2 * 2 * model.hiddenSize ** 2 + head;
  return { embedding: 0, ...layers, head, mtp: sum(Object.values(mtp)) + numMtp * perModule };
}

/** The sum that papers print: without the gate, and without MTP unless it is asked for. */
export function publishedFlops(modules: ModuleFlops, options: { readonly mtp: boolean }): number {
  const { gate: _gate, mtp, ...main } = modules;
  return sum(Object.values(main)) + (options.mtp ? mtp : 0);
}

/** Backward makes two products for each of forward's. */
export const trainingFactor = 3;

/** Every module times a number: tokens of a step, or `trainingFactor`, or both. */
export function scaleFlops(modules: ModuleFlops, factor: number): ModuleFlops {
  const scaled = Object.entries(modules).map(([name, flops]) => [name, flops * factor]);
  return Object.fromEntries(scaled) as ModuleFlops;
}

/**
 * The rule of thumb: 2 FLOPs per parameter and token forward, 4 backward, and 2 more where the
 * forward pass is made again; attention's products are not in it.
 */
export function ruleOfThumbFlops(rule: {
  readonly flopsPerParameter: 6 | 8;
  readonly parameters: number;
  readonly tokens: number;
}): number {
  return rule.flopsPerParameter * rule.parameters * rule.tokens;
}

type BlockFlops = Omit<ModuleFlops, 'embedding' | 'head' | 'mtp'>;

function blockFlops(
  model: PlannedModel,
  sequence: SequenceShape,
  { from, to }: { readonly from: number; readonly to: number },
): BlockFlops {
  const numLayers = to - from;
  const numMoe = countMoeLayers(model, { from, to });
  const { hiddenSize: H, moeIntermediateSize } = model;
  const expert = 2 * 3 * H * moeIntermediateSize;
  const attention = isGqa(model) ? gqaFlops(model, sequence) : mlaFlops(model, sequence);
  const all = Object.entries(attention).map(([name, flops]) => [name, flops * numLayers]);
  return {
    ...(Object.fromEntries(all) as AttentionFlops),
    denseMlp: (numLayers - numMoe) * 2 * 3 * H * model.intermediateSize,
    sharedExperts: numMoe * model.nSharedExperts * expert,
    routedExperts: numMoe * model.numExpertsPerTok * expert,
    gate: numMoe * 2 * H * model.nRoutedExperts,
  };
}

type AttentionFlops = Pick<
  ModuleFlops,
  'queryDown' | 'queryUp' | 'kvDown' | 'kvUp' | 'scores' | 'values' | 'output'
>;

function mlaFlops(
  model: Exclude<PlannedModel, GqaModelConfig>,
  sequence: SequenceShape,
): AttentionFlops {
  const { hiddenSize: H, numAttentionHeads: h, qLoraRank: q, kvLoraRank: c } = model;
  const { qkNopeHeadDim: n, qkRopeHeadDim: p, vHeadDim: v } = model;
  const seen = positionsSeen(sequence);
  return {
    queryDown: q === null ? 0 : 2 * H * q,
    queryUp: 2 * (q ?? H) * h * (n + p),
    kvDown: 2 * H * (c + p),
    kvUp: 2 * c * h * (n + v),
    scores: 2 * seen * h * (n + p),
    values: 2 * seen * h * v,
    output: 2 * h * v * H,
  };
}

function gqaFlops(model: GqaModelConfig, sequence: SequenceShape): AttentionFlops {
  const { hiddenSize: H, numAttentionHeads: h, numKeyValueHeads: g, headDim: d } = model;
  const seen = positionsSeen(sequence);
  return {
    queryDown: 0,
    queryUp: 2 * H * h * d,
    kvDown: 0,
    kvUp: 2 * H * 2 * g * d,
    scores: 2 * seen * h * d,
    values: 2 * seen * h * d,
    output: 2 * h * d * H,
  };
}

function positionsSeen({ sequenceLength, causal }: SequenceShape): number {
  return causal ? sequenceLength / 2 : sequenceLength;
}

/** Whether a layer of any model that the planner accepts has experts. */
export function hasExperts(model: PlannedModel, layer: number): boolean {
  if (!isGqa(model)) return isMoeLayer(model, layer);
  return model.nRoutedExperts > 0 && layer >= model.firstKDenseReplace;
}

export function countMoeLayers(
  model: PlannedModel,
  { from, to }: { readonly from: number; readonly to: number },
): number {
  let count = 0;
  for (let layer = from; layer < to; layer++) count += hasExperts(model, layer) ? 1 : 0;
  return count;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
