/**
 * Kernels against numbers from elsewhere: the gate at real sizes, RoPE's angles, FP8 codes and
 * scales. Tolerances are those of tests/golden/README.md.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { F32, I32, Kernels, RoutingRule } from '../src/kernels/kernels.ts';
import type { Arena } from '../src/tensor/arena.ts';
import type { DType, HostArrays } from '../src/tensor/dtype.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { implementations } from './kernelContract/implementations.ts';
import { goldenJson, goldenTensor, goldenTensors, maxError } from './support/golden.ts';

interface GateCase {
  readonly n_routed_experts: number;
  readonly num_experts_per_tok: number;
  readonly n_group: number;
  readonly topk_group: number;
  readonly scoring_func: 'sigmoid' | 'softmax';
  readonly topk_method: 'noaux_tc' | 'group_limited_greedy' | 'greedy';
  readonly norm_topk_prob: boolean;
  readonly routed_scaling_factor: number;
}

interface RopeCase {
  readonly positions: readonly number[];
  readonly cos: readonly (readonly number[])[];
  readonly sin: readonly (readonly number[])[];
}

const gateCases = goldenJson('gate-cases.json') as Record<string, GateCase>;
const gateTensors = await goldenTensors('gate-cases.safetensors');
const ropeCases = goldenJson('rope.json') as Record<string, RopeCase>;
const fp8Tensors = await goldenTensors('fp8/fp8.safetensors');

function put<D extends DType>(
  kernels: Kernels,
  arena: Arena,
  stored: { readonly dtype: D; readonly shape: readonly number[]; readonly values: HostArrays[D] },
): Tensor<D> {
  const tensor = arena.allocate(stored.dtype, stored.shape);
  kernels.write(tensor, stored.values);
  return tensor;
}

for (const { name, makeKernels } of implementations) {
  for (const gate of Object.keys(gateCases)) {
    test(`${name}: routeTopK chooses and weighs as the golden ${gate} gate does`, () =>
      checkGate(makeKernels(), gate));
  }
  for (const rope of Object.keys(ropeCases)) {
    test(`${name}: rope turns by the golden ${rope} angles, and back`, () =>
      checkRope(makeKernels(), rope));
  }
  for (const scaleFormat of ['f32', 'ue8m0'] as const) {
    test(`${name}: FP8 codes, ${scaleFormat} scales and product are the golden ones`, () =>
      checkFp8(makeKernels(), scaleFormat));
  }
}

async function checkGate(kernels: Kernels, name: string): Promise<void> {
  const gate = gateCases[name];
  assert(gate);
  const { n_routed_experts: numExperts, num_experts_per_tok: perToken } = gate;
  const stored = (part: string) => goldenTensor(gateTensors, `${name}.${part}`);
  const logits = stored('logits').values as Float32Array;
  const tokens = logits.length / numExperts;
  const arena = kernels.createArena('gate');
  const floats = (shape: readonly number[], values: Float32Array): F32 =>
    put(kernels, arena, { dtype: 'f32', shape, values });
  const isGrouped = gate.topk_method !== 'greedy';
  const rule: RoutingRule = {
    scoring: gate.scoring_func,
    numGroups: isGrouped ? gate.n_group : 1,
    groupsKept: isGrouped ? gate.topk_group : 1,
    groupScore: gate.topk_method === 'noaux_tc' ? 'sumOfTopTwo' : 'max',
    expertsPerToken: perToken,
    isNormalised: gate.norm_topk_prob,
    scale: gate.routed_scaling_factor,
  };
  const bias = gateTensors.has(`${name}.bias`)
    ? (stored('bias').values as Float32Array)
    : new Float32Array(numExperts);
  const ids: I32 = arena.allocate('i32', [tokens, perToken]);
  const weights: F32 = arena.allocate('f32', [tokens, perToken]);
  const counts: I32 = arena.allocate('i32', [numExperts]);
  kernels.fill({ out: counts, value: 0 });
  kernels.routeTopK({
    scores_TE: arena.allocate('f32', [tokens, numExperts]),
    ids_TK: ids,
    weights_TK: weights,
    counts_E: counts,
    logits_TE: floats([tokens, numExperts], logits),
    bias_E: floats([numExperts], bias),
    rule,
  });
  // Both are ordered by falling choice value, so they can be compared place by place.
  assert.deepEqual(await kernels.read(ids), stored('indices').values);
  assert(maxError(await kernels.read(weights), stored('weights').values) <= 1e-5);
  const total = (await kernels.read(counts)).reduce((sum, count) => sum + count, 0);
  assert.equal(total, tokens * perToken);
}

async function checkRope(kernels: Kernels, name: string): Promise<void> {
  const rope = ropeCases[name];
  assert(rope);
  const numPositions = rope.positions.length;
  const pairs = rope.cos[0]?.length ?? 0;
  const table = Float32Array.from({ length: numPositions * pairs * 2 }, (_, i) => {
    const [position, pair] = [Math.floor(i / 2 / pairs), Math.floor(i / 2) % pairs];
    return (i % 2 === 0 ? rope.cos : rope.sin)[position]?.[pair] ?? Number.NaN;
  });
  const arena = kernels.createArena('rope');
  const shape = [numPositions, 1, 2 * pairs];
  // (1, 0) turned by an angle is (cos, sin): the table itself.
  const units = Float32Array.from(table, (_, i) => (i % 2 === 0 ? 1 : 0));
  const x = put(kernels, arena, { dtype: 'f32', shape, values: units });
  const args = {
    x_THP: x,
    positions_T: put(kernels, arena, {
      dtype: 'i32',
      shape: [numPositions],
      values: Int32Array.from({ length: numPositions }, (_, i) => i),
    }),
    table: put(kernels, arena, { dtype: 'f32', shape: [numPositions, pairs, 2], values: table }),
  };
  kernels.rope({ ...args, direction: 'forward' });
  assert(maxError(await kernels.read(x), table) <= 1e-6);
  kernels.rope({ ...args, direction: 'inverse' });
  assert(maxError(await kernels.read(x), units) <= 1e-6);
}

async function checkFp8(kernels: Kernels, scaleFormat: 'f32' | 'ue8m0'): Promise<void> {
  const suffix = scaleFormat === 'f32' ? '' : '_ue8m0';
  const arena = kernels.createArena('fp8');
  const stored = (name: string) => goldenTensor(fp8Tensors, name);
  const quantize = async (name: string, scaleName: string, tile: '1x128' | '128x128') => {
    const { shape, values } = stored(`${name}.x`);
    const x = put(kernels, arena, { dtype: 'f32', shape, values: values as Float32Array });
    const codes = arena.allocate('f8e4m3', shape);
    const [rows = 0, width = 0] = shape;
    const across = Math.ceil(width / 128);
    const scales = arena.allocate('f32', [tile === '1x128' ? rows : Math.ceil(rows / 128), across]);
    kernels.quantizeFp8({ codes, scales, x, tile, scaleFormat });
    // The committed weights are the first columns of the golden ones: the first blocks of each row.
    const expectedCodes = stored(`${name}.code${suffix}`);
    const expectedScales = stored(`${scaleName}${suffix}`);
    assert.deepEqual(await kernels.read(codes), firstColumns(expectedCodes, width));
    assert.deepEqual(await kernels.read(scales), firstColumns(expectedScales, across));
    return { codes, scales };
  };
  await quantize('act1', 'act1.scale', '1x128');
  await quantize('w', 'w.scale_inv', '128x128');
  const a = await quantize('act0', 'act0.scale', '1x128');
  const code = stored(`w.code${suffix}`);
  const scale = stored(`w.scale_inv${suffix}`);
  const expected = stored(`gemm.out${suffix}`);
  const out = arena.allocate('f32', expected.shape);
  kernels.fp8Matmul({
    out,
    a: a.codes,
    aScales: a.scales,
    b: put(kernels, arena, {
      dtype: 'f8e4m3',
      shape: code.shape,
      values: code.values as Uint8Array,
    }),
    bScales: put(kernels, arena, {
      dtype: 'f32',
      shape: scale.shape,
      values: scale.values as Float32Array,
    }),
  });
  const largest = maxError(expected.values, new Float32Array(expected.values.length));
  assert(maxError(await kernels.read(out), expected.values) <= 1e-6 * largest);
}

function firstColumns(
  { shape, values }: { readonly shape: readonly number[]; readonly values: HostArrays[DType] },
  width: number,
): HostArrays[DType] {
  const all = shape[1] ?? 0;
  return values.filter((_: number, i: number) => i % all < width);
}
