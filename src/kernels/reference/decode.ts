/**
 * The two halves of a block over a few rows, as what they mean: the other operations one by one.
 *
 * Written over any kernels, so that a backend's fused form can be held to its own parts too.
 */
import { at } from '../../base/assert.ts';
import type { Arena } from '../../tensor/arena.ts';
import { columns, numColumns, numRows, reshape, type Tensor } from '../../tensor/tensor.ts';
import { mlaDecodeSizes } from '../decodeShapes.ts';
import type { F32, FeedForwardDecodeArgs, MlaDecodeArgs, Weight } from '../kernels.ts';
import type { Operations } from '../shapes.ts';

/** Kernels' operations, and where temporary tensors go. */
export interface Parts {
  readonly operations: Operations;
  readonly arena: Arena;
}

export function composeMlaDecode({ operations, arena }: Parts, args: MlaDecodeArgs): void {
  const { x_TD, positions_T, cache, table, gain, qLatent, kvGain, eps, latentEps } = args;
  const { tokens: T, heads: H, nope: N, rope: P, value: V, latent: C } = mlaDecodeSizes(args);
  const mark = arena.mark();
  const floats = (...shape: number[]): F32 => arena.allocate('f32', shape);
  const linear = (x: F32, weight: Weight): F32 => {
    const out = floats(numRows(x), at(weight.values.shape, 0));
    operations.matmul({ out, a: x, b: weight, layout: 'nt' });
    return out;
  };
  const norm = (x: F32, of: F32, by: number): F32 => {
    const out = floats(numRows(x), numColumns(x));
    operations.rmsNorm({ out, x, gain: of, eps: by });
    return out;
  };
  const normed = norm(x_TD, gain, eps);
  const qInput =
    qLatent === undefined ? normed : norm(linear(normed, qLatent.down), qLatent.gain, latentEps);
  const q_THD = reshape(linear(qInput, args.q), [T, H, N + P]);
  const kvDown = linear(normed, args.kvDown);
  const latent_TC = norm(columns(kvDown, 0, C), kvGain, latentEps);
  const kPe_TP = columns(kvDown, C, C + P);
  const turn = { positions_T, table, direction: 'forward' as const };
  operations.rope({ x_THP: columns(q_THD, N, N + P), ...turn });
  operations.rope({ x_THP: { ...kPe_TP, shape: [T, 1, P] }, ...turn });
  operations.appendCache({ cache, latent_TC, kPe_TP, slots_T: args.slots_T });
  const absorbed_THC = floats(T, H, C);
  const latents_THC = floats(T, H, C);
  const heads = floats(T, H, V);
  const up = { b: args.kv, rowsPerHead: N + V };
  const keys = { ...up, firstRow: 0, numRows: N, layout: 'nn' as const };
  const values = { ...up, firstRow: N, numRows: V, layout: 'nt' as const };
  operations.headMatmul({ out: absorbed_THC, a: columns(q_THD, 0, N), ...keys });
  operations.absorbedAttention({
    out_THC: latents_THC,
    q_THC: absorbed_THC,
    qPe_THP: columns(q_THD, N, N + P),
    cache,
    blockTable: args.blockTable,
    sequence_T: args.sequence_T,
    length_T: args.length_T,
    scale: args.scale,
  });
  operations.headMatmul({ out: heads, a: latents_THC, ...values });
  const a = reshape(heads, [T, H * V]);
  operations.matmul({ out: x_TD, a, b: args.o, layout: 'nt', accumulate: true });
  arena.release(mark);
}

export function composeFeedForwardDecode(
  { operations, arena }: Parts,
  args: FeedForwardDecodeArgs,
): void {
  const { x_TD, gain, eps, mlp, routed } = args;
  const [T, D] = [numRows(x_TD), numColumns(x_TD)];
  const mark = arena.mark();
  const floats = (...shape: number[]): F32 => arena.allocate('f32', shape);
  const ints = (...shape: number[]): Tensor<'i32'> => arena.allocate('i32', shape);
  const normed = floats(T, D);
  operations.rmsNorm({ out: normed, x: x_TD, gain, eps });
  const sum = floats(T, D);
  operations.fill({ out: sum, value: 0 });
  if (mlp !== undefined) {
    const width = numColumns(mlp.down.values);
    const [gateUp, hidden] = [floats(T, 2 * width), floats(T, width)];
    operations.matmul({ out: gateUp, a: normed, b: mlp.gateUp, layout: 'nt' });
    operations.swiglu({ out_TF: hidden, gateUp_T2F: gateUp });
    operations.matmul({ out: sum, a: hidden, b: mlp.down, layout: 'nt' });
  }
  if (routed !== undefined) {
    const { router, bias_E, counts_E, rule } = routed;
    const [E, F] = [numRows(router.values), numColumns(routed.down.values)];
    const K = rule.expertsPerToken;
    const [logits_TE, scores_TE] = [floats(T, E), floats(T, E)];
    const [ids_TK, weights_TK] = [ints(T, K), floats(T, K)];
    operations.matmul({ out: logits_TE, a: normed, b: router, layout: 'nt' });
    operations.routeTopK({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule });
    const [offsets, slot_R, row_TK] = [ints(E + 1), ints(T * K), ints(T, K)];
    operations.sortByExpert({ offsets, slot_R, row_TK, ids_TK });
    const rows_RD = floats(T * K, D);
    operations.permute({ out_RD: rows_RD, x_TD: normed, slot_R, expertsPerToken: K });
    const [gateUp, hidden, out] = [floats(T * K, 2 * F), floats(T * K, F), floats(T * K, D)];
    operations.groupedMatmul({ out: gateUp, a: rows_RD, b: routed.gateUp, offsets, layout: 'nt' });
    operations.swiglu({ out_TF: hidden, gateUp_T2F: gateUp });
    operations.groupedMatmul({ out, a: hidden, b: routed.down, offsets, layout: 'nt' });
    operations.unpermute({ out_TD: sum, x_RD: out, row_TK, weights_TK, accumulate: true });
  }
  operations.add({ out: x_TD, a: x_TD, b: sum });
  arena.release(mark);
}
