/**
 * Cuts the full golden set down to what tests/golden keeps (see the README there):
 *
 *     node scripts/updateGolden.ts FULL_SET
 *
 * Byte for byte reproducible: run on the same set it changes nothing.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { byteSourceOf } from '../src/base/byteSource.ts';
import {
  openSafetensors,
  readTensorBytes,
  type TensorInfo,
  writeSafetensors,
} from '../src/checkpoint/safetensors.ts';

interface Tensor extends TensorInfo {
  readonly data: Uint8Array;
}

interface File {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: readonly Tensor[];
}

const fullSet = process.argv[2];
if (fullSet === undefined) throw new Error('usage: node scripts/updateGolden.ts FULL_SET');
const target = join(import.meta.dirname, '..', 'tests', 'golden');

const VERBATIM = [
  'rope.json',
  'gate-cases.json',
  'gate-cases.safetensors',
  ...['config', 'inputs', 'expected', 'train', 'decode'].map((name) => `v3-tiny/${name}.json`),
  ...['config', 'inputs', 'expected'].map((name) => `v3-tiny-fp8/${name}.json`),
  'v3-tiny-trained/config.json',
  'v3-tiny-trained/decode.json',
  'v3-tiny-trained/model.safetensors',
  'pipeline/dualpipe-makespan.json',
  ...['dualpipe-pp4-mb10', 'dualpipe-pp8-mb20', 'dualpipev-pp4-mb10'].flatMap((name) => [
    `pipeline/${name}.json`,
    `pipeline/${name}-comm.json`,
  ]),
];

for (const path of VERBATIM) {
  mkdirSync(dirname(join(target, path)), { recursive: true });
  copyFileSync(join(fullSet, path), join(target, path));
}
const isMtpCopy = /layers\.\d+\.(embed_tokens|shared_head\.head)\.weight$/;
await rewrite('v3-tiny/model.safetensors', without(isMtpCopy));
await rewrite('v3-tiny/expected.safetensors', sketched);
await rewrite('v3-tiny-fp8/model.safetensors', without(/^model\.layers\.2\./));
await rewrite('v3-tiny-fp8/expected.safetensors', without(/^mtp_|^router\.2\./));
await rewrite('fp8/fp8.safetensors', firstBlockColumn);

async function rewrite(path: string, cut: (tensors: readonly Tensor[]) => readonly Tensor[]) {
  const { metadata, tensors } = await readFile(path);
  const parts: Uint8Array[] = [];
  mkdirSync(dirname(join(target, path)), { recursive: true });
  await writeSafetensors(
    {
      write: async (bytes) => void parts.push(bytes),
      close: async () => writeFileSync(join(target, path), Buffer.concat(parts)),
    },
    cut(tensors).map((tensor) => ({ ...tensor, bytes: () => tensor.data })),
    metadata,
  );
}

async function readFile(path: string): Promise<File> {
  const bytes = new Uint8Array(readFileSync(join(fullSet ?? '', path)));
  const file = await openSafetensors(byteSourceOf(bytes, path));
  const tensors: Tensor[] = [];
  for (const stored of file.tensors.values()) {
    const { name, dtype, shape } = stored;
    const data = (await readTensorBytes(file.source, stored)).slice();
    tensors.push({ name, dtype, shape, data });
  }
  return { metadata: file.metadata, tensors };
}

function without(names: RegExp): (tensors: readonly Tensor[]) => readonly Tensor[] {
  return (tensors) => tensors.filter(({ name }) => !names.test(name));
}

/** `w.x` by its first 128 columns; its dequantised forms follow from codes and scales. */
function firstBlockColumn(tensors: readonly Tensor[]): readonly Tensor[] {
  const columns = 128;
  return without(/^w\.dequant/)(tensors).map((tensor) => {
    if (tensor.name !== 'w.x') return tensor;
    const [rows = 0, width = 0] = tensor.shape;
    const values = floats(tensor);
    const kept = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++) {
      kept.set(values.subarray(row * width, row * width + columns), row * columns);
    }
    return floatTensor('w.x', [rows, columns], kept);
  });
}

/** Routed experts, dense MLPs, embedding and head: the bulk of the gradients. */
function isSketched({ name, shape }: Tensor): boolean {
  if (!name.startsWith('grad.') || shape.length !== 2) return false;
  if (name.includes('embed_tokens') || name.includes('lm_head')) return true;
  return /\.mlp\.(experts\.\d+\.)?(gate|up|down)_proj\.weight$/.test(name);
}

function sketched(tensors: readonly Tensor[]): readonly Tensor[] {
  const kept = without(/^debug\.|^alt\./)(tensors);
  const whole = kept.filter((tensor) => !isSketched(tensor));
  const stacks = new Map<string, { rows: Float32Array[]; columns: Float32Array[] }>();
  const lengths = new Set<number>();
  for (const tensor of kept.filter(isSketched)) {
    const name = tensor.name.replace('grad.', 'grad_sketch.').replace(/experts\.\d+/, 'experts.*');
    const stack = stacks.get(name) ?? { rows: [], columns: [] };
    const { rows, columns } = sketch(tensor);
    stack.rows.push(rows);
    stack.columns.push(columns);
    stacks.set(name, stack);
    for (const dim of tensor.shape) lengths.add(dim);
  }
  return [
    ...whole,
    ...[...stacks].flatMap(([name, { rows, columns }]) => [
      stacked(`${name}.rows`, rows),
      stacked(`${name}.columns`, columns),
    ]),
    ...[...lengths]
      .sort((a, b) => a - b)
      .map((length) => floatTensor(`sketch_signs.${length}`, [length], signs(length))),
  ];
}

function sketch(tensor: Tensor): { rows: Float32Array; columns: Float32Array } {
  const [numRows = 0, numColumns = 0] = tensor.shape;
  const [values, left, right] = [floats(tensor), signs(numRows), signs(numColumns)];
  const rows = new Float64Array(numRows);
  const columns = new Float64Array(numColumns);
  for (const [i, value] of values.entries()) {
    const [row, column] = [Math.floor(i / numColumns), i % numColumns];
    rows[row] = (rows[row] ?? 0) + value * (right[column] ?? 0);
    columns[column] = (columns[column] ?? 0) + value * (left[row] ?? 0);
  }
  return { rows: Float32Array.from(rows), columns: Float32Array.from(columns) };
}

function stacked(name: string, parts: readonly Float32Array[]): Tensor {
  const width = parts[0]?.length ?? 0;
  const values = new Float32Array(parts.length * width);
  for (const [index, part] of parts.entries()) values.set(part, index * width);
  return floatTensor(name, parts.length === 1 ? [width] : [parts.length, width], values);
}

/** ±1 from the bits of a hash: the same for ever. */
function signs(length: number): Float32Array {
  const result = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const digest = createHash('sha256')
      .update(`golden sketch ${length} ${i >> 8}`)
      .digest();
    result[i] = ((digest[(i & 255) >> 3] ?? 0) >> (i & 7)) & 1 ? 1 : -1;
  }
  return result;
}

function floats(tensor: Tensor): Float32Array {
  return new Float32Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength / 4);
}

function floatTensor(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return { name, dtype: 'F32', shape, data: new Uint8Array(values.buffer) };
}
