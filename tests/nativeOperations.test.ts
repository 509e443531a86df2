/**
 * What the contract of all kernels leaves to the C++ ones: results that do not depend on threads or
 * on company in a batch, sizes beyond every block they cut work into, faults that stay visible, and
 * wrong indices caught before memory is touched.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationCases } from '../bench/operationCases.ts';
import { at } from '../src/base/assert.ts';
import type { Kernels, Operation, OperationArgs } from '../src/kernels/kernels.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import type { Operations } from '../src/kernels/shapes.ts';
import { loadAddon } from '../src/runtime/loadAddon.ts';
import { decodeBf16 } from '../src/tensor/halfFloat.ts';
import { hostArray, slices, type Tensor } from '../src/tensor/tensor.ts';
import { goldenTensor, goldenTensors } from './support/golden.ts';
import { TensorBench } from './support/tensorBench.ts';

const loaded = loadAddon();
const isas = 'reason' in loaded ? [] : loaded.addon.isas;
if ('reason' in loaded) test('native operations', { skip: loaded.reason }, () => {});

function native(isa: string, threads: number): Kernels {
  assert(!('reason' in loaded));
  return createNativeKernels(loaded.addon, { isa, threads });
}

/** Every tensor in a call's arguments, those in objects (weights, gradients) included. */
function tensorsIn(args: object): Tensor[] {
  return Object.values(args).flatMap((value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
    return 'dtype' in value ? [value as Tensor] : tensorsIn(value);
  });
}

function run<O extends Operation>(kernels: Kernels, operation: O, args: OperationArgs<O>): void {
  const operations: Operations = kernels;
  const call: Operations[O] = operations[operation];
  call(args);
}

for (const isa of isas) {
  for (const { name, operation, lay } of operationCases) {
    test(`${isa}: ${name} has the same bits on one, two and five threads`, async () => {
      const results = [];
      for (const threads of [1, 2, 5]) {
        const kernels = native(isa, threads);
        const args = lay({ arena: kernels.createArena('same'), kernels, isTiny: true });
        run(kernels, operation, args as OperationArgs<typeof operation>);
        results.push(await Promise.all(tensorsIn(args).map((tensor) => kernels.read(tensor))));
      }
      const [one = [], ...others] = results;
      for (const other of others) {
        for (const [i, values] of one.entries()) {
          assert.deepEqual(at(other, i), values, `tensor ${i}`); // NaN is NaN, −0 is not 0
        }
      }
    });
  }

  test(`${isa}: absorbedAttention gives a row the same bits alone and in any company`, () =>
    checkCompany(new TensorBench(native(isa, 2))));

  test(`${isa}: absorbedAttention is right where positions are cut into parts of every size`, () =>
    checkLongCache(new TensorBench(native(isa, 2))));

  test(`${isa}: mlaAttentionBackward is right over sequences longer than a span of keys`, () =>
    checkLongBackward(new TensorBench(native(isa, 2))));

  test(`${isa}: mlaAttention keeps a NaN to the rows that see it`, () =>
    checkNanKey(new TensorBench(native(isa, 1))));

  test(`${isa}: mlaAttention gives softmax weights to 2e-6 of them, and zero far below`, () =>
    checkSoftmaxWeights(new TensorBench(native(isa, 1))));

  test(`${isa}: swiglu is right to 1e-6 of the value over the whole range`, () =>
    checkSwiglu(new TensorBench(native(isa, 1))));

  test(`${isa}: routeTopK chooses 32 of 512, and all there are`, () =>
    checkWideGate(new TensorBench(native(isa, 2))));

  test(`${isa}: adamw rounds bf16 moments to nearest even`, () =>
    checkBf16Moments(new TensorBench(native(isa, 1))));

  test(`${isa}: adamw passes NaN on to the parameter and both moments`, () =>
    checkNanGradient(new TensorBench(native(isa, 1))));

  test(`${isa}: quantizeFp8 has the golden code of every value up to 448, and 0x7f for NaN`, () =>
    checkCodes(new TensorBench(native(isa, 1))));

  test(`${isa}: headCrossEntropy with a gradient scale of 0 writes zeros and adds nothing`, () =>
    checkZeroScale(new TensorBench(native(isa, 2))));
}

/** Rows of four sequences with lengths up to the third part, then each row by itself. */
async function checkCompany(bench: TensorBench): Promise<void> {
  const { kernels, random } = bench;
  const [heads, latent, rope, blockSize] = [5, 24, 8, 16];
  const lengths = [1, 130, 131, 640, 64, 65];
  const sequences = [0, 1, 1, 2, 3, 3];
  const perSequence = 40;
  const blocks = random.shuffle(Array.from({ length: 4 * perSequence }, (_, i) => i));
  const shared = {
    cache: bench.floats(4 * perSequence, blockSize, latent + rope),
    blockTable: bench.ints(blocks, 4, perSequence),
    scale: 0.2,
  };
  const q_THC = bench.floats(lengths.length, heads, latent);
  const qPe_THP = bench.floats(lengths.length, heads, rope);
  const together = bench.output(lengths.length, heads, latent);
  kernels.absorbedAttention({
    ...shared,
    out_THC: together,
    q_THC,
    qPe_THP,
    sequence_T: bench.ints(sequences),
    length_T: bench.ints(lengths),
  });
  for (let row = 0; row < lengths.length; row++) {
    const alone = bench.output(1, heads, latent);
    kernels.absorbedAttention({
      ...shared,
      out_THC: alone,
      q_THC: slices(q_THC, row, row + 1),
      qPe_THP: slices(qPe_THP, row, row + 1),
      sequence_T: bench.ints([at(sequences, row)]),
      length_T: bench.ints([at(lengths, row)]),
    });
    const expected = await kernels.read(slices(together, row, row + 1));
    assert.deepEqual(await kernels.read(alone), expected, `row ${row}`);
  }
}

async function checkLongCache(bench: TensorBench): Promise<void> {
  const [heads, latent, rope, blockSize, length] = [3, 5, 2, 64, 3300];
  const numBlocks = Math.ceil(length / blockSize);
  const args = {
    q_THC: bench.floats(1, heads, latent),
    qPe_THP: bench.floats(1, heads, rope),
    cache: bench.floats(numBlocks, blockSize, latent + rope),
    blockTable: bench.ints(
      Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i),
      1,
      numBlocks,
    ),
    sequence_T: bench.ints([0]),
    length_T: bench.ints([length]),
    scale: 1,
  };
  const [out, expected] = [bench.output(1, heads, latent), bench.output(1, heads, latent)];
  bench.kernels.absorbedAttention({ ...args, out_THC: out });
  createReferenceKernels().absorbedAttention({ ...args, out_THC: expected });
  assertNear(hostArray(out), hostArray(expected), 1e-5);
}

async function checkLongBackward(bench: TensorBench): Promise<void> {
  const [tokens, heads, nope, rope, value] = [1200, 1, 4, 2, 3];
  const inputs = {
    q_THD: bench.floats(tokens, heads, nope + rope),
    kv_THD: bench.floats(tokens, heads, nope + value),
    kPe_TP: bench.floats(tokens, rope),
    sequences: [0, 30, tokens],
    scale: 0.4,
  };
  const out_THV = bench.output(tokens, heads, value);
  const logSumExp_TH = bench.output(tokens, heads);
  bench.kernels.mlaAttention({ ...inputs, out_THV, logSumExp_TH });
  const gradients = () => ({
    dQ_THD: bench.output(tokens, heads, nope + rope),
    dKv_THD: bench.output(tokens, heads, nope + value),
    dKPe_TP: bench.output(tokens, rope),
  });
  const given = { ...inputs, out_THV, logSumExp_TH, dOut_THV: bench.floats(tokens, heads, value) };
  const [actual, expected] = [gradients(), gradients()];
  bench.kernels.mlaAttentionBackward({ ...given, ...actual });
  createReferenceKernels().mlaAttentionBackward({ ...given, ...expected });
  for (const name of ['dQ_THD', 'dKv_THD', 'dKPe_TP'] as const) {
    assertNear(hostArray(actual[name]), hostArray(expected[name]), 2e-5);
  }
}

async function checkNanKey(bench: TensorBench): Promise<void> {
  const [tokens, bad] = [100, 70];
  const kv = bench.floats(tokens, 1, 6);
  hostArray(kv)[bad * 6] = Number.NaN;
  const out = bench.output(tokens, 1, 2);
  const logSumExp = bench.output(tokens, 1);
  bench.kernels.mlaAttention({
    out_THV: out,
    logSumExp_TH: logSumExp,
    q_THD: bench.floats(tokens, 1, 6),
    kv_THD: kv,
    kPe_TP: bench.floats(tokens, 2),
    sequences: [0, tokens],
    scale: 1,
  });
  hostArray(logSumExp).forEach((value, t) => {
    assert.equal(Number.isNaN(value), t >= bad, `row ${t}`);
    assert.equal(Number.isNaN(at(hostArray(out), 2 * t)), t >= bad, `row ${t}`);
  });
}

/** Two keys, the second lower by a gap: the output is the weight of the one that has value 1. */
async function checkSoftmaxWeights(bench: TensorBench): Promise<void> {
  for (const gap of [0, 1e-3, 0.5, 1, 3, 10, 30, 60, 80, 85, 200]) {
    const out = bench.output(2, 1, 1);
    bench.kernels.mlaAttention({
      out_THV: out,
      logSumExp_TH: bench.output(2, 1),
      // Row 1 sees key 0 with score 0 and value 0, and key 1 with score −gap and value 1.
      q_THD: bench.given([0, 0, 0, 1, 0, 0], 2, 1, 3),
      kv_THD: bench.given([0, 0, -gap, 1], 2, 1, 2),
      kPe_TP: bench.given([0, 0, 0, 0], 2, 2),
      sequences: [0, 2],
      scale: 1,
    });
    const weight = at(hostArray(out), 1);
    const exact = Math.exp(-gap) / (1 + Math.exp(-gap));
    // The score itself is rounded, by 2⁻²⁴ of the gap.
    const bound = exact * (2e-6 + 4 * gap * 2 ** -24);
    if (gap > 100) assert.equal(weight, 0);
    else assert(Math.abs(weight - exact) <= bound, `gap ${gap}: ${weight} for ${exact}`);
  }
}

async function checkSwiglu(bench: TensorBench): Promise<void> {
  const gates = Array.from({ length: 4001 }, (_, i) => (i - 2000) / 23);
  const width = gates.length;
  const out = bench.output(1, width);
  const ones = new Float32Array(width).fill(1);
  const gateUp = bench.given(Float32Array.from([...gates, ...ones]), 1, 2 * width);
  bench.kernels.swiglu({ out_TF: out, gateUp_T2F: gateUp });
  hostArray(out).forEach((value, i) => {
    const gate = Math.fround(at(gates, i));
    const exact = gate / (1 + Math.exp(-gate));
    // Below −80 the result is near the smallest float32.
    const bound = Math.abs(exact) * 1e-6 + (gate < -80 ? 2 ** -126 : 0);
    assert(Math.abs(value - exact) <= bound, `silu(${gate}) = ${value}`);
  });
}

async function checkWideGate(bench: TensorBench): Promise<void> {
  for (const [experts, perToken, tokens] of [
    [512, 32, 9],
    [1, 1, 3],
    [7, 7, 4],
  ] as const) {
    const logits = bench.floats(tokens, experts);
    const ids = bench.ints(new Array(tokens * perToken).fill(-1), tokens, perToken);
    const counts = bench.ints(new Array(experts).fill(0));
    const scores = bench.output(tokens, experts);
    bench.kernels.routeTopK({
      scores_TE: scores,
      ids_TK: ids,
      weights_TK: bench.output(tokens, perToken),
      counts_E: counts,
      logits_TE: logits,
      bias_E: bench.given(new Float32Array(experts).fill(-3)),
      rule: {
        scoring: 'softmax',
        numGroups: 1,
        groupsKept: 1,
        groupScore: 'max',
        expertsPerToken: perToken,
        isNormalised: true,
        scale: 1,
      },
    });
    for (let t = 0; t < tokens; t++) {
      const row = hostArray(scores).subarray(t * experts, (t + 1) * experts);
      const order = Array.from(row.keys()).sort(
        (a, b) => choiceAt(row, b) - choiceAt(row, a) || a - b,
      );
      const chosen = hostArray(ids).subarray(t * perToken, (t + 1) * perToken);
      assert.deepEqual([...chosen], order.slice(0, perToken));
    }
  }
}

/** As float32 sees it, where small scores tie. */
function choiceAt(scores: Float32Array, expert: number): number {
  return Math.fround(at(scores, expert) - 3);
}

/** With β = 0 the moments are g and g²: here values between two bf16 numbers, and ties. */
async function checkBf16Moments(bench: TensorBench): Promise<void> {
  const gradients = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -1 - 2 ** -8, 0, 1e30];
  const size = gradients.length;
  const first = bench.arena.allocate('bf16', [size]);
  const second = bench.arena.allocate('bf16', [size]);
  bench.kernels.fill({ out: first, value: 5 });
  bench.kernels.fill({ out: second, value: 5 });
  bench.kernels.adamw({
    parameter: bench.floats(size),
    gradient: bench.given(gradients),
    firstMoment: first,
    secondMoment: second,
    learningRate: 1e-3,
    beta1: 0,
    beta2: 0,
    epsilon: 1e-8,
    weightDecay: 0,
    step: 1,
    gradientScale: 1,
  });
  const rounded = Array.from(hostArray(first), decodeBf16);
  assert.deepEqual(rounded.slice(0, 5), [1, 1 + 2 ** -6, 1 + 2 ** -7, -1, 0]);
  assert.equal(decodeBf16(at(hostArray(second), 5)), Number.POSITIVE_INFINITY);
}

async function checkNanGradient(bench: TensorBench): Promise<void> {
  const args = {
    parameter: bench.floats(20),
    gradient: bench.given(Array.from({ length: 20 }, (_, i) => (i === 7 ? Number.NaN : 1))),
    firstMoment: bench.given(new Float32Array(20)),
    secondMoment: bench.given(new Float32Array(20)),
  };
  const rates = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };
  bench.kernels.adamw({ ...args, ...rates, step: 3, gradientScale: 1 });
  for (const tensor of [args.parameter, args.firstMoment, args.secondMoment]) {
    hostArray(tensor).forEach((value, i) => {
      assert.equal(Number.isNaN(value), i === 7);
    });
  }
}

/** A tile whose largest value is 448 has scale 1: its codes are the plain cast. */
async function checkCodes(bench: TensorBench): Promise<void> {
  const tensors = await goldenTensors('fp8/fp8.safetensors');
  const all = goldenTensor(tensors, 'cast.x').values;
  const allCodes = goldenTensor(tensors, 'cast.code').values;
  const x: number[] = [];
  const expected: number[] = [];
  all.forEach((value: number, i: number) => {
    if (Math.abs(value) > 448) return;
    if (x.length % 128 === 0) {
      x.push(448);
      expected.push(0x7e);
    }
    x.push(value);
    expected.push(Number.isNaN(value) ? 0x7f : at(allCodes, i));
  });
  assert(x.some(Number.isNaN) && x.length > 1000, 'the golden cast has NaN and a thousand values');
  const codes = bench.arena.allocate('f8e4m3', [1, x.length]);
  bench.kernels.quantizeFp8({
    codes,
    scales: bench.output(1, Math.ceil(x.length / 128)),
    x: bench.given(x, 1, x.length),
    tile: '1x128',
    scaleFormat: 'f32',
  });
  assert.deepEqual([...hostArray(codes)], expected);
}

async function checkZeroScale(bench: TensorBench): Promise<void> {
  const [tokens, vocabulary, width] = [20, 50, 8];
  const dH = bench.output(tokens, width);
  const dHead = bench.given(new Float32Array(vocabulary * width).fill(3), vocabulary, width);
  const losses = bench.output(tokens);
  bench.kernels.headCrossEntropy({
    losses_T: losses,
    h_TD: bench.floats(tokens, width),
    head_VD: { values: bench.floats(vocabulary, width) },
    targets_T: bench.ints(new Array(tokens).fill(4)),
    gradients: { dH_TD: dH, dHead_VD: dHead, gradientScale: 0 },
  });
  assert(hostArray(dH).every((value) => value === 0));
  assert(hostArray(dHead).every((value) => value === 3));
  assert(hostArray(losses).every((value) => value > 0));
}

/** Within a share of the largest. */
function assertNear(actual: Float32Array, expected: Float32Array, share: number): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  actual.forEach((value, i) => {
    const wanted = at(expected, i);
    assert(Math.abs(value - wanted) <= share * largest, `at ${i}: ${value} for ${wanted}`);
  });
}
