/** What the operations over a few rows demand of their arguments (`shapes.ts` has the others). */
import { assert, at } from '../base/assert.ts';
import { numColumns, numRows, type Tensor } from '../tensor/tensor.ts';
import { type FeedForwardDecodeArgs, MAX_DECODE_ROWS, type MlaDecodeArgs } from './kernels.ts';
import { SameParts } from './sameParts.ts';
import {
  isOverlapping,
  needApart,
  needCache,
  needRule,
  needShape,
  needWeight,
} from './shapeRules.ts';

/** The sizes of a call, as its tensors give them. */
export interface MlaDecodeSizes {
  readonly tokens: number;
  readonly hidden: number;
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly value: number;
  readonly latent: number;
}

export function mlaDecodeSizes({
  x_TD,
  kvDown,
  kv,
  q,
  o,
  numHeads,
}: MlaDecodeArgs): MlaDecodeSizes {
  const latent = numColumns(kv.values);
  const rope = numRows(kvDown.values) - latent;
  return {
    tokens: numRows(x_TD),
    hidden: numColumns(x_TD),
    heads: numHeads,
    nope: numRows(q.values) / numHeads - rope,
    rope,
    value: numColumns(o.values) / numHeads,
    latent,
  };
}

const soundAttention = new SameParts<true>();
const soundNetworks = new SameParts<true>();

export function needMlaDecode(args: MlaDecodeArgs): void {
  const { x_TD, positions_T, slots_T, cache, blockTable, sequence_T, length_T, table } = args;
  const { gain, qLatent, q, kvDown, kvGain, kv, o, numHeads } = args;
  const tokens = numRows(x_TD);
  needRows('mlaDecode', tokens);
  const [hidden, width] = [numColumns(x_TD), numColumns(cache)];
  const weights = [table, gain, qLatent?.down, qLatent?.gain, q, kvDown, kvGain, kv, o];
  const parts = [...weights, numHeads, hidden, width, cache.dtype];
  soundAttention.of(o, parts, () => needAttentionWeights(args));
  const [blocks = -1, blockSize = -1] = cache.shape;
  needShape('mlaDecode: cache', cache, [blocks, blockSize, width]);
  const [sequences = -1, blocksEach = -1] = blockTable.shape;
  needShape('mlaDecode: block table', blockTable, [sequences, blocksEach]);
  needShape('mlaDecode: positions', positions_T, [tokens]);
  needShape('mlaDecode: slots', slots_T, [tokens]);
  needShape('mlaDecode: sequence', sequence_T, [tokens]);
  needShape('mlaDecode: length', length_T, [tokens]);
  const inputs = [gain, kvGain, table, blockTable, positions_T, slots_T, sequence_T, length_T];
  const isApart = !isOverlapping(x_TD, cache) && !overlapsAny(x_TD, inputs);
  if (isApart && !overlapsAny(cache, inputs)) return;
  const perRow = { positions_T, slots_T, sequence_T, length_T };
  needApart('mlaDecode', { x_TD, cache }, { gain, kvGain, table, blockTable, ...perRow });
  needApart('mlaDecode', { x_TD }, { cache });
}

function needAttentionWeights(args: MlaDecodeArgs): true {
  const { table, gain, qLatent, q, kvDown, kvGain, kv, o } = args;
  const sizes = mlaDecodeSizes(args);
  const { hidden, heads, nope, rope, value, latent } = sizes;
  const isSound = rope > 0 && rope % 2 === 0 && isCount(nope) && isCount(value);
  assert(isSound, isSound ? '' : `mlaDecode: sizes ${JSON.stringify(sizes)}`);
  const { cache } = args;
  needCache('mlaDecode', cache, sizes);
  needShape('mlaDecode: rotations', table, [at(table.shape, 0), rope / 2, 2]);
  needShape('mlaDecode: gain', gain, [hidden]);
  needShape('mlaDecode: kvGain', kvGain, [latent]);
  const depth = qLatent === undefined ? hidden : numRows(qLatent.down.values);
  if (qLatent !== undefined) {
    needMatrixWeight('mlaDecode: qDown', qLatent.down, [depth, hidden]);
    needShape('mlaDecode: qGain', qLatent.gain, [depth]);
  }
  needMatrixWeight('mlaDecode: q', q, [heads * (nope + rope), depth]);
  needMatrixWeight('mlaDecode: kvDown', kvDown, [latent + rope, hidden]);
  needMatrixWeight('mlaDecode: kv', kv, [heads * (nope + value), latent]);
  needMatrixWeight('mlaDecode: o', o, [hidden, heads * value]);
  return true;
}

export function needFeedForwardDecode(args: FeedForwardDecodeArgs): void {
  const { x_TD, gain, mlp, routed } = args;
  needRows('feedForwardDecode', numRows(x_TD));
  const networks = [mlp?.gateUp, mlp?.down, routed?.gateUp, routed?.down];
  const routing = [routed?.router, routed?.bias_E, routed?.counts_E, routed?.rule];
  const parts = [...networks, ...routing, numColumns(x_TD)];
  soundNetworks.of(gain, parts, () => needNetworkWeights(args));
  needApart('feedForwardDecode', { x_TD }, { gain });
  if (routed === undefined) return;
  const { bias_E, counts_E } = routed;
  needApart('feedForwardDecode', { x_TD, counts_E }, { gain, bias_E });
}

function needNetworkWeights({ x_TD, gain, mlp, routed }: FeedForwardDecodeArgs): true {
  const hidden = numColumns(x_TD);
  needShape('feedForwardDecode: gain', gain, [hidden]);
  assert(mlp !== undefined || routed !== undefined, 'feedForwardDecode: neither mlp nor experts');
  if (mlp !== undefined) {
    const width = numColumns(mlp.down.values);
    needMatrixWeight('feedForwardDecode: gateUp', mlp.gateUp, [2 * width, hidden]);
    needMatrixWeight('feedForwardDecode: down', mlp.down, [hidden, width]);
  }
  if (routed === undefined) return true;
  const { router, bias_E, counts_E, gateUp, down, rule } = routed;
  const experts = numRows(router.values);
  const width = numColumns(down.values);
  needRule('feedForwardDecode', rule, experts);
  needMatrixWeight('feedForwardDecode: router', router, [experts, hidden]);
  needMatrixWeight('feedForwardDecode: experts', gateUp, [experts, 2 * width, hidden]);
  needMatrixWeight('feedForwardDecode: experts', down, [experts, hidden, width]);
  needShape('feedForwardDecode: bias', bias_E, [experts]);
  needShape('feedForwardDecode: counts', counts_E, [experts]);
  return true;
}

function overlapsAny(output: Tensor, inputs: readonly Tensor[]): boolean {
  for (const input of inputs) if (isOverlapping(output, input)) return true;
  return false;
}

function isCount(size: number): boolean {
  return Number.isInteger(size) && size > 0;
}

function needMatrixWeight(
  what: string,
  weight: MlaDecodeArgs['q'],
  shape: readonly number[],
): void {
  needWeight(what, weight);
  needShape(what, weight.values, shape);
}

function needRows(operation: string, rows: number): void {
  const isFew = rows <= MAX_DECODE_ROWS;
  assert(isFew, isFew ? '' : `${operation}: ${rows} rows, at most ${MAX_DECODE_ROWS}`);
}
