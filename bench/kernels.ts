/**
 * The native products against the limits of the machine they run on, measured in the same run.
 *
 *   node bench/kernels.ts [--isa avx2] [--threads 1] [--only tn] [--tiny] [--json]
 *   node bench/kernels.ts --backend wasm [--only 1024] [--tiny] [--json]     # see wasm.ts
 *
 * Square products, the linear layers of one v3-mini training step (4,096 tokens) forward and in
 * both gradients, its experts, and the matrix-vector products of decoding in every weight dtype on
 * a matrix beyond the caches. A product's limit is its multiply-adds at the FMA peak or, when it
 * has a few rows only, its weights at the read speed. The machine may be shared: seconds are the
 * least of several calls, and limits are measured before every group, since clocks move.
 * The last line is JSON.
 */
import { parseArgs } from 'node:util';
import { Random } from '../src/base/random.ts';
import type { F32, Kernels, Layout, Weight } from '../src/kernels/kernels.ts';
import type { Roofline } from '../src/kernels/native/addon.ts';
import { createNativeKernels, measureRoofline } from '../src/kernels/native.ts';
import { specialCodesOf } from '../src/model/specialCodes.ts';
import type { Arena } from '../src/tensor/arena.ts';
import { hostArray, numElements, type Tensor } from '../src/tensor/tensor.ts';
import { nativeOf } from './nativeOf.ts';
import { benchWasm } from './wasm.ts';

type WeightDType = Weight['values']['dtype'];

interface Case {
  readonly name: string;
  readonly layout: Layout;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly experts?: number;
  readonly dtype?: WeightDType;
}

interface Row {
  readonly name: string;
  readonly gflopsPerSecond: number;
  readonly gigabytesPerSecond: number;
  /** Of the FMA peak, or of the read speed where reading weights is the limit. */
  readonly shareOfLimit: number;
  readonly bound: 'multiply-adds' | 'memory';
}

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'native' },
    isa: { type: 'string' },
    threads: { type: 'string' },
    only: { type: 'string', default: '' },
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const { addon, options, settings } = nativeOf(values);
const kernels = createNativeKernels(addon, options);
const secondsPerCase = values.tiny ? 0.005 : 0.25;
const tokens = values.tiny ? 64 : 4096;

if (values.backend === 'wasm') {
  benchWasm(addon, values);
  process.exit();
}
if (values.backend !== 'native') throw new Error(`--backend ${values.backend}: native or wasm`);

const limits: Roofline[] = [];
const timings: { readonly each: Case; readonly seconds: number }[] = [];
for (const group of groups()) {
  const cases = group.filter(({ name }) => name.includes(values.only));
  if (cases.length === 0) continue;
  limits.push(measureRoofline(addon, { ...options, seconds: values.tiny ? 0.03 : 0.4 }));
  for (const each of cases) timings.push({ each, seconds: leastSeconds(kernels, each) });
}
const best: Roofline = {
  flopsPerSecond: Math.max(...limits.map((limit) => limit.flopsPerSecond)),
  readBytesPerSecond: Math.max(...limits.map((limit) => limit.readBytesPerSecond)),
  copyBytesPerSecond: Math.max(...limits.map((limit) => limit.copyBytesPerSecond)),
};
const rows = timings.map(({ each, seconds }) => rowOf(each, seconds, best));
if (!values.json) for (const row of rows) print(row);
console.log(
  JSON.stringify({
    ...settings,
    fmaPeakGflops: best.flopsPerSecond / 1e9,
    readGigabytesPerSecond: best.readBytesPerSecond / 1e9,
    copyGigabytesPerSecond: best.copyBytesPerSecond / 1e9,
    rows,
  }),
);

function groups(): Case[][] {
  const layouts: readonly Layout[] = ['nt', 'nn', 'tn'];
  const square = (values.tiny ? [64] : [256, 512, 1024, 2048]).map((size) =>
    layouts.map((layout) => ({ name: `${size}³ ${layout}`, layout, m: size, n: size, k: size })),
  );
  // Input and output widths of v3-mini's linear layers.
  const linear = (
    [
      ['q_a', 256, 128],
      ['q_b', 128, 384],
      ['kv_a', 256, 80],
      ['kv_b', 64, 512],
      ['o', 256, 256],
      ['dense gate_up', 256, 2048],
      ['dense down', 1024, 256],
      ['shared gate_up', 256, 512],
      ['router', 256, 16],
    ] as const
  ).map(([name, input, output]) => layersOf(name, { input, output, rows: tokens }));
  const head = layersOf('head', { input: 256, output: 8192, rows: tokens / 8 });
  const routed = { rows: (tokens * 4) / 16, experts: 16 };
  const experts = [
    layersOf('experts gate_up', { input: 256, output: 512, ...routed }),
    layersOf('experts down', { input: 256, output: 256, ...routed }),
  ];
  const side = values.tiny ? 128 : 8192;
  const decode = (['f32', 'bf16', 'f16', 'f8e4m3'] as const).map((dtype) =>
    [1, 2, 4, 8].map((m) => ({
      name: `decode ${dtype} ${m} × ${side}²`,
      layout: 'nt' as const,
      m,
      n: side,
      k: side,
      dtype,
    })),
  );
  return [...square, ...linear, head, ...experts, ...decode];
}

/** A linear layer forward, its input gradient and its weight gradient. */
function layersOf(
  name: string,
  sizes: { input: number; output: number; rows: number; experts?: number },
): Case[] {
  const { input, output, rows: m, experts } = sizes;
  const rest = experts === undefined ? {} : { experts };
  return [
    { name: `${name} nt`, layout: 'nt', m, n: output, k: input, ...rest },
    { name: `${name} nn`, layout: 'nn', m, n: input, k: output, ...rest },
    { name: `${name} tn`, layout: 'tn', m: output, n: input, k: m, ...rest },
  ];
}

function leastSeconds(kernels: Kernels, each: Case): number {
  const arena = kernels.createArena('bench');
  const run = callOf(kernels, arena, each);
  run();
  let least = Number.POSITIVE_INFINITY;
  const end = performance.now() + secondsPerCase * 1e3;
  for (let calls = 0; calls < 3 || performance.now() < end; calls++) {
    const start = performance.now();
    run();
    least = Math.min(least, (performance.now() - start) / 1e3);
  }
  return least;
}

function rowOf(each: Case, seconds: number, limit: Roofline): Row {
  const { m, n, k, experts = 1, dtype = 'f32' } = each;
  const flops = 2 * m * n * k * experts;
  const weightBytes = n * k * experts * { f32: 4, bf16: 2, f16: 2, f8e4m3: 1 }[dtype];
  const computeSeconds = flops / limit.flopsPerSecond;
  const readSeconds = each.name.startsWith('decode') ? weightBytes / limit.readBytesPerSecond : 0;
  return {
    name: each.name,
    gflopsPerSecond: flops / seconds / 1e9,
    gigabytesPerSecond: weightBytes / seconds / 1e9,
    shareOfLimit: Math.max(computeSeconds, readSeconds) / seconds,
    bound: computeSeconds >= readSeconds ? 'multiply-adds' : 'memory',
  };
}

function callOf(kernels: Kernels, arena: Arena, each: Case): () => void {
  const { layout, m, n, k, experts, dtype = 'f32' } = each;
  const groups = experts === undefined ? [] : [experts];
  const isTransposed = layout === 'tn';
  // Rows of all experts lie behind one another in what has a row per token.
  const perToken = (width: number, count: number): number[] => [count * (experts ?? 1), width];
  const a = isTransposed ? perToken(m, k) : perToken(k, m);
  const b = isTransposed ? perToken(n, k) : [...groups, ...(layout === 'nt' ? [n, k] : [k, n])];
  const out = arena.allocate('f32', isTransposed ? [...groups, m, n] : perToken(n, m));
  const args = {
    out,
    a: randomTensor(arena, a),
    b: randomWeight(kernels, arena, b, dtype),
    layout,
  };
  if (experts === undefined) return () => kernels.matmul(args);
  const offsets = arena.allocate('i32', [experts + 1]);
  kernels.write(
    offsets,
    Int32Array.from({ length: experts + 1 }, (_, e) => e * (isTransposed ? k : m)),
  );
  return () => kernels.groupedMatmul({ ...args, offsets });
}

function randomTensor(arena: Arena, shape: readonly number[]): F32 {
  const tensor = arena.allocate('f32', shape);
  const random = new Random(numElements(shape));
  const values = hostArray(tensor);
  for (let i = 0; i < values.length; i++) values[i] = random.uniform() - 0.5;
  return tensor;
}

function randomWeight(
  kernels: Kernels,
  arena: Arena,
  shape: readonly number[],
  dtype: WeightDType,
): Weight {
  const exact = randomTensor(arena, shape);
  if (dtype === 'f32') return { values: exact };
  const values = arena.allocate(dtype, shape);
  if (dtype !== 'f8e4m3') {
    kernels.copy({ out: values, x: exact });
    return { values };
  }
  const [rows = 0, columns = 0] = shape;
  const scales = arena.allocate('f32', [Math.ceil(rows / 128), Math.ceil(columns / 128)]);
  const codes = values as Tensor<'f8e4m3'>;
  kernels.quantizeFp8({ codes, scales, x: exact, tile: '128x128', scaleFormat: 'f32' });
  return { values, scales, specialCodes: specialCodesOf(codes, { kernels, arena }) };
}

function print(row: Row): void {
  const share = `${(row.shareOfLimit * 100).toFixed(1)} % of ${row.bound}`;
  const speed = `${row.gflopsPerSecond.toFixed(1)} GFLOP/s`;
  const read = `${row.gigabytesPerSecond.toFixed(1)} GB/s`;
  console.log(`${row.name.padEnd(26)} ${speed.padStart(16)} ${read.padStart(12)}   ${share}`);
}
