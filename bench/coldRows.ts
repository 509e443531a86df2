/**
 * Products of a few rows with weights that come from memory, as decoding meets them, against the
 * read speed of the same run.
 *
 *   node bench/coldRows.ts [--isa avx2] [--threads 1] [--only f8] [--mib 4] [--tiny] [--json]
 *
 * Half a GiB of weights, more than caches keep, is read matrix by matrix, `--mib` of them to a
 * product, in rows of 256 and of 1024 columns. Products begin and end in what is timed, so small
 * matrices show what a beginning costs. The machine may be shared and clocks move: all cases and
 * the read speed are measured in turns, and the best of all rounds counts. The last line is JSON.
 */
import { parseArgs } from 'node:util';
import type { Weight } from '../src/kernels/kernels.ts';
import { createNativeKernels, measureRoofline } from '../src/kernels/native.ts';
import { specialCodesOf } from '../src/model/specialCodes.ts';
import { hostArray, type Tensor } from '../src/tensor/tensor.ts';
import { nativeOf } from './nativeOf.ts';

const DTYPES = ['f32', 'bf16', 'f8e4m3'] as const;
type ColdDType = (typeof DTYPES)[number];
const BYTES: Readonly<Record<ColdDType, number>> = { f32: 4, bf16: 2, f8e4m3: 1 };

interface Row {
  readonly name: string;
  readonly dtype: ColdDType;
  readonly rows: number;
  readonly columns: number;
  readonly gigabytesPerSecond: number;
  readonly shareOfReadSpeed: number;
}

const { values } = parseArgs({
  options: {
    isa: { type: 'string' },
    threads: { type: 'string' },
    only: { type: 'string', default: '' },
    mib: { type: 'string', default: '4' },
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const { addon, options, settings } = nativeOf(values);
const kernels = createNativeKernels(addon, options);
const matrixBytes = values.tiny ? 2 ** 18 : Number(values.mib) * 2 ** 20;
const numMatrices = Math.floor((values.tiny ? 2 ** 20 : 2 ** 29) / matrixBytes);
if (!(matrixBytes >= 2 ** 18 && numMatrices > 0)) throw new Error(`--mib ${values.mib}: 1 to 512`);

const arena = kernels.createArena('bench');
// The same bytes for every dtype: 0.5 in bf16, close to it in f32, 0 and 1.875 in f8.
const memory = Array.from({ length: numMatrices }, () => {
  const block = arena.allocate('i32', [matrixBytes / 4]);
  hostArray(block).fill(0x3f003f00);
  return block;
});
const cases = DTYPES.flatMap((dtype) =>
  [256, 1024].flatMap((columns) =>
    [1, 4].map((numRows) => {
      const name = `${dtype} ${numRows} × ${columns}`;
      const run = sweep({ dtype, numRows, columns });
      return { name, dtype, rows: numRows, columns, run, seconds: Number.POSITIVE_INFINITY };
    }),
  ),
).filter(({ name }) => name.includes(values.only));

let readSpeed = 0;
for (let round = 0; round < (values.tiny ? 2 : 12); round++) {
  const { readBytesPerSecond } = measureRoofline(addon, {
    ...options,
    seconds: values.tiny ? 0.03 : 0.3,
  });
  readSpeed = Math.max(readSpeed, readBytesPerSecond);
  for (const each of cases) {
    const start = performance.now();
    each.run();
    each.seconds = Math.min(each.seconds, (performance.now() - start) / 1e3);
  }
}
const readGigabytesPerSecond = readSpeed / 1e9;
const rows: Row[] = cases.map(({ run: _, seconds, ...each }) => {
  const gigabytesPerSecond = (numMatrices * matrixBytes) / seconds / 1e9;
  const shareOfReadSpeed = gigabytesPerSecond / readGigabytesPerSecond;
  return { ...each, gigabytesPerSecond, shareOfReadSpeed };
});
if (!values.json) {
  for (const row of rows) print(row);
  console.log(`read speed ${readGigabytesPerSecond.toFixed(1)} GB/s`);
}
console.log(JSON.stringify({ ...settings, matrixBytes, readGigabytesPerSecond, rows }));

/** Every matrix once. */
function sweep(args: { dtype: ColdDType; numRows: number; columns: number }): () => void {
  const { dtype, numRows, columns } = args;
  const height = matrixBytes / BYTES[dtype] / columns;
  const a = arena.allocate('f32', [numRows, columns]);
  hostArray(a).fill(0.5);
  const out = arena.allocate('f32', [numRows, height]);
  const scales = arena.allocate('f32', [Math.ceil(height / 128), Math.ceil(columns / 128)]);
  hostArray(scales).fill(1);
  const matrices = memory.map((block): Weight => {
    const values = { ...block, dtype, shape: [height, columns], rowStride: columns };
    if (values.dtype !== 'f8e4m3') return { values };
    const codes = values as Tensor<'f8e4m3'>;
    return { values, scales, specialCodes: specialCodesOf(codes, { kernels, arena }) };
  });
  return () => {
    for (const b of matrices) kernels.matmul({ out, a, b, layout: 'nt' });
  };
}

function print({ name, gigabytesPerSecond, shareOfReadSpeed }: Row): void {
  const share = `${(100 * shareOfReadSpeed).toFixed(0)} % of the read speed`;
  console.log(`${name.padEnd(18)} ${gigabytesPerSecond.toFixed(1).padStart(6)} GB/s   ${share}`);
}
