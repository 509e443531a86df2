/**
 * Reads the golden files: numbers from an independent implementation (tests/golden/README.md). The
 * committed cut is the default; `MOEBIUS_GOLDEN` names the full set, which has the same layout and
 * keeps every gradient whole where the cut keeps sketches.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type ByteFolder, type ByteSource, byteSourceOf } from '../../src/base/byteSource.ts';
import { openSafetensors, readTensorBytes } from '../../src/checkpoint/safetensors.ts';
import { projectRoot } from './projectFiles.ts';

export const goldenRoot: string =
  process.env.MOEBIUS_GOLDEN ?? join(projectRoot, 'tests', 'golden');

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array | Uint8Array;
}

export type GoldenTensors = ReadonlyMap<string, GoldenTensor>;

/** A JSON file of the set, such as `v3-tiny/expected.json`. */
export function goldenJson(path: string): unknown {
  return JSON.parse(readFileSync(join(goldenRoot, path), 'utf8'));
}

/** A model folder, such as `v3-tiny`, as a checkpoint loader is given it. */
export function goldenFolder(name: string): ByteFolder {
  const path = join(goldenRoot, name);
  return {
    name,
    list: async () => readdirSync(path),
    open: async (file) => goldenSource(join(name, basename(file))),
  };
}

/** Every tensor of a safetensors file of the set. */
export async function goldenTensors(path: string): Promise<GoldenTensors> {
  const file = await openSafetensors(goldenSource(path));
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, stored] of file.tensors) {
    const bytes = (await readTensorBytes(file.source, stored)).slice();
    const values =
      stored.dtype === 'F32'
        ? new Float32Array(bytes.buffer)
        : stored.dtype === 'I32'
          ? new Int32Array(bytes.buffer)
          : bytes;
    tensors.set(name, { shape: stored.shape, values });
  }
  return tensors;
}

/** A tensor that the file must have. */
export function goldenTensor(tensors: GoldenTensors, name: string): GoldenTensor {
  const tensor = tensors.get(name);
  assert(tensor !== undefined, `the golden file has "${name}"`);
  return tensor;
}

/** Largest absolute difference. */
export function maxError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    // A NaN anywhere must not pass as "not larger".
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return worst;
}

/**
 * How far a gradient is from the golden one: largest error over largest value, of the gradient
 * itself or of its two sketches, whichever the file has.
 *
 * @param name of the parameter, as in a checkpoint
 * @param gradient `[out, in]` or `[length]`
 */
export function gradientError(
  tensors: GoldenTensors,
  name: string,
  gradient: Float32Array,
): number {
  const whole = tensors.get(`grad.${name}`);
  if (whole !== undefined) return relativeError(gradient, whole.values);
  const expert = /\.experts\.(\d+)\./.exec(name)?.[1];
  const stacked = `grad_sketch.${name.replace(/\.experts\.\d+\./, '.experts.*.')}`;
  const entry = (part: string): ArrayLike<number> => {
    const { shape, values } = goldenTensor(tensors, `${stacked}.${part}`);
    if (expert === undefined) return values;
    const width = shape[1] ?? 0;
    return values.subarray(Number(expert) * width, (Number(expert) + 1) * width);
  };
  const [rows, columns] = [entry('rows'), entry('columns')];
  assert.equal(gradient.length, rows.length * columns.length, `the size of ${name}`);
  const sketch = sketchGradient(tensors, gradient, rows.length);
  return Math.max(relativeError(sketch.rows, rows), relativeError(sketch.columns, columns));
}

/** G · s and s · G with the sign vectors of the file. */
export function sketchGradient(
  tensors: GoldenTensors,
  gradient: Float32Array,
  numRows: number,
): { rows: Float64Array; columns: Float64Array } {
  const numColumns = gradient.length / numRows;
  const rowSigns = goldenTensor(tensors, `sketch_signs.${numRows}`).values;
  const columnSigns = goldenTensor(tensors, `sketch_signs.${numColumns}`).values;
  const rows = new Float64Array(numRows);
  const columns = new Float64Array(numColumns);
  for (let row = 0; row < numRows; row++) {
    for (let column = 0; column < numColumns; column++) {
      const value = gradient[row * numColumns + column] ?? Number.NaN;
      rows[row] = (rows[row] ?? 0) + value * (columnSigns[column] ?? 0);
      columns[column] = (columns[column] ?? 0) + value * (rowSigns[row] ?? 0);
    }
  }
  return { rows, columns };
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const error = maxError(actual, expected);
  const largest = maxError(expected, new Float32Array(expected.length));
  // An expert that saw no token has a gradient of zeros, exactly.
  return error === 0 ? 0 : error / largest;
}

function goldenSource(path: string): ByteSource {
  return byteSourceOf(new Uint8Array(readFileSync(join(goldenRoot, path))), path);
}
