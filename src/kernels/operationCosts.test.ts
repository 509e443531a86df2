/** Costs against counts made by hand, at DeepSeek-V3's sizes where they are telling. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkArena } from '../tensor/arena.ts';
import type { DType } from '../tensor/dtype.ts';
import { columns, type Tensor } from '../tensor/tensor.ts';
import type { F32, I32 } from './kernels.ts';
import { operationCost } from './operationCosts.ts';

const arena = new ChunkArena((byteLength) => ({ byteLength, buffer: null }));
const tensor = <D extends DType>(dtype: D, ...shape: readonly number[]): Tensor<D> =>
  arena.allocate(dtype, shape);
const f32 = (...shape: readonly number[]): F32 => tensor('f32', ...shape);
const i32 = (...shape: readonly number[]): I32 => tensor('i32', ...shape);

test('cost of matmul: 2 · m · n · k in every layout, each matrix once', () => {
  const [m, n, k] = [4096, 1536, 7168];
  const shapes = { nt: [n, k], nn: [k, n], tn: [k, n] } as const;
  for (const layout of ['nt', 'nn', 'tn'] as const) {
    const a = layout === 'tn' ? f32(k, m) : f32(m, k);
    const b = { values: f32(...shapes[layout]) };
    const cost = operationCost('matmul', { out: f32(m, n), a, b, layout });
    assert.equal(cost.kind, 'compute');
    assert.equal(cost.flops, 90_194_313_216);
    assert.equal(cost.recomputedFlops, 0);
    assert.equal(cost.bytesRead, 4 * (m * k + n * k));
    assert.equal(cost.bytesWritten, 4 * m * n);
    assert.deepEqual(cost.sizes, { m, n, k });
  }
});

test('cost of matmul: adding reads the output, FP8 weights weigh a byte and their scales', () => {
  const b = { values: tensor('f8e4m3', 576, 7168), scales: f32(5, 56) };
  const args = { out: f32(8, 576), a: f32(8, 7168), b, layout: 'nt', accumulate: true } as const;
  const cost = operationCost('matmul', args);
  assert.equal(cost.bytesRead, 4 * 8 * 7168 + 576 * 7168 + 4 * 5 * 56 + 4 * 8 * 576);
  assert.equal(cost.bytesWritten, 4 * 8 * 576);
});

test('cost of matmul: a view counts what it shows', () => {
  const a = columns(f32(16, 1000), 100, 120);
  const args = { out: f32(16, 3), a, b: { values: f32(3, 20) }, layout: 'nt' } as const;
  const cost = operationCost('matmul', args);
  assert.equal(cost.flops, 2 * 16 * 3 * 20);
  assert.equal(cost.bytesRead, 4 * (16 * 20 + 3 * 20));
});

test('cost of groupedMatmul: 2 · rows · n · k, and the weights of experts in use', () => {
  const [rows, experts, n, k] = [24, 16, 6, 10];
  const offsets = i32(experts + 1);
  const b = { values: tensor('bf16', experts, n, k) };
  const args = { out: f32(rows, n), a: f32(rows, k), b, offsets, layout: 'nt' } as const;
  const unknown = operationCost('groupedMatmul', args);
  assert.equal(unknown.flops, 2 * rows * n * k);
  assert.equal(unknown.bytesRead, 4 * rows * k + 2 * experts * n * k);
  assert.equal(unknown.sizes.activeGroups, experts);

  const uneven = Int32Array.from({ length: experts + 1 }, (_, e) => (e < 3 ? 12 * e : rows));
  const known = operationCost('groupedMatmul', args, () => uneven);
  assert.equal(known.flops, 2 * rows * n * k);
  assert.equal(known.bytesRead, 4 * rows * k + 2 * 2 * n * k);
  assert.equal(known.sizes.activeGroups, 2);
});

test('cost of groupedMatmul: fewer rows than experts touch as many experts as rows', () => {
  const b = { values: f32(256, 4, 8) };
  const args = { out: f32(3, 4), a: f32(3, 8), b, offsets: i32(257), layout: 'nt' } as const;
  assert.equal(operationCost('groupedMatmul', args).bytesRead, 4 * 3 * 8 + 4 * 3 * 4 * 8);
});

test('cost of groupedMatmul: a gradient writes every expert, or adds to some', () => {
  const args = {
    out: f32(4, 8, 6),
    a: f32(10, 8),
    b: { values: f32(10, 6) },
    offsets: i32(5),
    layout: 'tn',
  } as const;
  const known = (): Int32Array => Int32Array.of(0, 10, 10, 10, 10);
  const written = operationCost('groupedMatmul', args, known);
  assert.equal(written.flops, 2 * 10 * 8 * 6);
  assert.equal(written.bytesWritten, 4 * 4 * 8 * 6);
  const added = operationCost('groupedMatmul', { ...args, accumulate: true }, known);
  assert.equal(added.bytesWritten, 4 * 8 * 6);
  assert.equal(added.bytesRead, 4 * (10 * 8 + 10 * 6) + 4 * 8 * 6);
});

test('cost of headMatmul: one product per head, and only the rows it uses', () => {
  const [tokens, heads, nope, value, latent] = [7, 128, 128, 128, 512];
  const cost = operationCost('headMatmul', {
    out: f32(tokens, heads, latent),
    a: f32(tokens, heads, nope),
    b: { values: f32(heads * (nope + value), latent) },
    rowsPerHead: nope + value,
    firstRow: 0,
    numRows: nope,
    layout: 'nn',
  });
  assert.equal(cost.flops, 2 * tokens * heads * nope * latent);
  assert.equal(cost.bytesRead, 4 * tokens * heads * nope + 4 * heads * nope * latent);
});

test('cost of mlaAttention: causal pairs exactly, per sequence', () => {
  const attention = (sequences: readonly number[]) => {
    const tokens = sequences[sequences.length - 1] ?? 0;
    const [q, kv, kPe] = [f32(tokens, 2, 24), f32(tokens, 2, 28), f32(tokens, 8)];
    const [out, lse] = [f32(tokens, 2, 12), f32(tokens, 2)];
    const inputs = { q_THD: q, kv_THD: kv, kPe_TP: kPe, sequences, scale: 1 };
    const forward = { ...inputs, out_THV: out, logSumExp_TH: lse };
    const gradients = { dQ_THD: q, dKv_THD: kv, dKPe_TP: kPe, dOut_THV: out };
    return {
      forward: operationCost('mlaAttention', forward),
      backward: operationCost('mlaAttentionBackward', { ...forward, ...gradients }),
    };
  };
  // Pairs by hand: 1 + 2 + 3 + 4 = 10; with a cut after three rows 1 + 2 + 3 + 1 = 7.
  for (const [sequences, pairs] of [
    [[0, 4], 10],
    [[0, 3, 4], 7],
    [[0, 0, 3, 3, 4], 7],
  ] as const) {
    const { forward, backward } = attention(sequences);
    // Two heads; q · k is 24 wide, p · v 12.
    assert.equal(forward.flops, 2 * pairs * 2 * (24 + 12));
    assert.equal(backward.flops, 2 * forward.flops);
    assert.equal(backward.recomputedFlops, 2 * pairs * 2 * 24);
    assert.equal(forward.bytesRead, 4 * (4 * 2 * 24 + 4 * 2 * 28 + 4 * 8));
    assert.equal(forward.bytesWritten, 4 * (4 * 2 * 12 + 4 * 2));
  }
});

test('cost of absorbedAttention: what rows see, and what sequences have in the cache', () => {
  const [heads, latent, rope] = [16, 512, 64];
  const sequence = i32(3);
  const length = i32(3);
  const args = {
    out_THC: f32(3, heads, latent),
    q_THC: f32(3, heads, latent),
    qPe_THP: f32(3, heads, rope),
    cache: f32(10, 64, latent + rope),
    blockTable: i32(2, 4),
    sequence_T: sequence,
    length_T: length,
    scale: 1,
  };
  const known = (wanted: I32): Int32Array | undefined =>
    wanted === sequence
      ? Int32Array.of(0, 0, 1)
      : wanted === length
        ? Int32Array.of(100, 101, 7)
        : undefined;
  const cost = operationCost('absorbedAttention', args, known);
  assert.equal(cost.sizes.pairs, 208);
  // Rows 0 and 1 are of one sequence: its 101 entries are read once.
  assert.equal(cost.sizes.cachedRows, 108);
  assert.equal(cost.flops, 2 * 208 * heads * (latent + rope + latent));
  const tables = 4 * (8 + 3 + 3);
  const queries = 4 * 3 * heads * (latent + rope);
  assert.equal(cost.bytesRead, queries + tables + 4 * 108 * (latent + rope));

  const unknown = operationCost('absorbedAttention', args);
  assert.equal(unknown.sizes.pairs, 3 * 4 * 64);
  assert.equal(unknown.sizes.cachedRows, 2 * 4 * 64);
});

test('cost of headCrossEntropy: one product for the loss, three with gradients', () => {
  const [m, n, k] = [10, 129, 12];
  const loss = {
    losses_T: f32(m),
    h_TD: f32(m, k),
    head_VD: { values: tensor('bf16', n, k) },
    targets_T: i32(m),
  };
  const alone = operationCost('headCrossEntropy', loss);
  assert.equal(alone.flops, 2 * m * n * k);
  assert.equal(alone.bytesRead, 4 * m * k + 2 * n * k + 4 * m);
  assert.equal(alone.bytesWritten, 4 * m);
  const gradients = { dH_TD: f32(m, k), dHead_VD: f32(n, k), gradientScale: 1 };
  const all = operationCost('headCrossEntropy', { ...loss, gradients });
  assert.equal(all.flops, 6 * m * n * k);
  assert.equal(all.bytesRead, alone.bytesRead + 4 * n * k);
  assert.equal(all.bytesWritten, 4 * m + 4 * m * k + 4 * n * k);
});

test('cost of adjustLogits: logits in and out, the mask a bit each, a sum and a product a change', () => {
  const cost = operationCost('adjustLogits', {
    out_TV: f32(2, 100),
    logits_TV: f32(2, 100),
    allowed_TW: i32(2, 4),
    ids_N: i32(3),
    factors_N: f32(3),
    addends_N: f32(3),
    offsets: [0, 3, 3],
  });
  assert.equal(cost.kind, 'memory');
  assert.equal(cost.flops, 2 * 3);
  assert.equal(cost.bytesRead, 4 * (2 * 100 + 2 * 4 + 3 * 3));
  assert.equal(cost.bytesWritten, 4 * 2 * 100);
});

test('cost of topTokens: logits once, four steps each', () => {
  const cost = operationCost('topTokens', {
    ids_TN: i32(2, 5),
    logProbabilities_TN: f32(2, 5),
    chosenLogProbabilities_T: f32(2),
    chosen_T: i32(2),
    logits_TV: f32(2, 100),
    temperatures: [1, 1],
  });
  assert.equal(cost.flops, 4 * 200);
  assert.equal(cost.bytesRead, 4 * (200 + 2));
  assert.equal(cost.bytesWritten, 4 * (2 * 10 + 2));
});

test('cost of sampleTokens: logits once, and more work where a token is drawn', () => {
  const rule = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1 };
  const cost = operationCost('sampleTokens', {
    ids_T: i32(2),
    logProbabilities_T: f32(2),
    logits_TV: f32(2, 100),
    rules: [rule, { ...rule, temperature: 1 }],
    positions: [3, 4],
  });
  assert.equal(cost.kind, 'memory');
  assert.equal(cost.flops, 100 * (4 + 8));
  assert.equal(cost.bytesRead, 4 * 2 * 100);
  assert.equal(cost.bytesWritten, 4 * (2 + 2));
});

test('cost of fp8Matmul: a byte per code', () => {
  const cost = operationCost('fp8Matmul', {
    out: f32(5, 200),
    a: tensor('f8e4m3', 5, 384),
    aScales: f32(5, 3),
    b: tensor('f8e4m3', 200, 384),
    bScales: f32(2, 3),
  });
  assert.equal(cost.flops, 2 * 5 * 200 * 384);
  assert.equal(cost.bytesRead, 5 * 384 + 4 * 15 + 200 * 384 + 4 * 6);
});

test('cost of adamw: four tensors read, three written, by their dtypes', () => {
  const [parameter, gradient] = [f32(10, 10), f32(10, 10)];
  const cost = operationCost('adamw', {
    parameter,
    gradient,
    firstMoment: tensor('bf16', 10, 10),
    secondMoment: tensor('bf16', 10, 10),
    learningRate: 1,
    beta1: 0,
    beta2: 0,
    epsilon: 0,
    weightDecay: 0,
    step: 1,
    gradientScale: 1,
  });
  assert.equal(cost.kind, 'memory');
  assert.equal(cost.bytesRead, 100 * (4 + 4 + 2 + 2));
  assert.equal(cost.bytesWritten, 100 * (4 + 2 + 2));
});

test('cost of embedding: the rows that are read, not the table', () => {
  const args = { out_TD: f32(8, 64), table_VD: { values: tensor('bf16', 1000, 64) } };
  const cost = operationCost('embedding', { ...args, ids_T: i32(8) });
  assert.equal(cost.bytesRead, 8 * 64 * 2 + 8 * 4);
  assert.equal(cost.bytesWritten, 8 * 64 * 4);
});

test('cost of moving rows to experts and back: every row once, a token’s rows once each', () => {
  const [tokens, perToken, width] = [6, 4, 10];
  const rows = tokens * perToken;
  const x = f32(tokens, width);
  const permuted = f32(rows, width);
  const permute = operationCost('permute', {
    out_RD: permuted,
    x_TD: x,
    slot_R: i32(rows),
    expertsPerToken: perToken,
  });
  assert.equal(permute.bytesRead, 4 * rows * width + 4 * rows);
  assert.equal(permute.bytesWritten, 4 * rows * width);
  const unpermute = operationCost('unpermute', {
    out_TD: x,
    x_RD: permuted,
    row_TK: i32(tokens, perToken),
    weights_TK: f32(tokens, perToken),
  });
  assert.equal(unpermute.bytesRead, 4 * rows * width + 8 * rows);
  assert.equal(unpermute.bytesWritten, 4 * tokens * width);
  assert.equal(unpermute.flops, 2 * rows * width);
});
