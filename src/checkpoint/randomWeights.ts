/**
 * A checkpoint of made-up weights in a model's true shape, as fast as a disk takes it: what
 * loading, memory and speed depend on is there, what the numbers mean is not.
 *
 * Matrices are N(0, 1/columns), so that states keep their size and routing is about even; embedding
 * rows are N(0, 1), gains 1. Drawing sixteen billion normals would take half an hour: there is one
 * block of them for each dtype and deviation, and every tensor copies runs of it that begin at
 * places of the tensor's own. FP8 codes are those of normal numbers whose blocks reach to 5 σ, so
 * that as few are subnormal as in a trained model (one in ten thousand) and none is NaN.
 */
import { assert, at } from '../base/assert.ts';
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { encodeE4m3, largestValue } from '../tensor/fp8.ts';
import { numElements } from '../tensor/tensor.ts';
import { encodeTensor } from './convert.ts';
import { checkpointTensors, EMBEDDING, type TensorSpec } from './parameterNames.ts';
import type { TensorToWrite } from './safetensors.ts';
import { storedNames } from './storedDType.ts';

/** Elements of the block, and of the longest run that is copied from it. */
const BLOCK = 2 ** 21;
const RUN = 2 ** 18;
/** The largest value of an FP8 block, in deviations. */
const REACH = 5;

/** The same tensors for the same seed, on every machine. */
export function randomTensors(config: ModelConfig, seed: number): readonly TensorToWrite[] {
  const block = new NormalBlock(seed);
  const specs = [...checkpointTensors(config)];
  const columnsOf = new Map(specs.map(({ name, shape }) => [name, shape.at(-1) ?? 1]));
  return specs.map((spec) => {
    const { name, dtype, shape, of = name } = spec;
    const deviation = of === EMBEDDING ? 1 : (columnsOf.get(of) ?? 1) ** -0.5;
    const bytes = (): Uint8Array => tensorBytes(spec, { deviation, block, seed });
    return { name, dtype: storedNames[dtype], shape, bytes };
  });
}

function tensorBytes(
  { name, of = name, shape, dtype, kind }: TensorSpec,
  { deviation, block, seed }: { deviation: number; block: NormalBlock; seed: number },
): Uint8Array {
  const count = numElements(shape);
  // A copy of another tensor is made from the same places.
  const random = new Random(seed, kind === 'scale' ? name : of);
  if (kind === 'scale') {
    const exact = (deviation * REACH) / largestValue('e4m3');
    const scales = Float32Array.from(
      { length: count },
      () => exact * (0.75 + random.uniform() / 2),
    );
    return new Uint8Array(scales.buffer);
  }
  if (kind === 'routerBias') return new Uint8Array(new Float32Array(count).buffer);
  if (shape.length === 1) {
    assert(dtype !== 'f8e4m3', `the gains ${name} are no codes`);
    return encodeTensor(new Float32Array(count).fill(1), { name, dtype });
  }
  const numbers = block.bytesOf(dtype, deviation);
  const width = numbers.byteLength / BLOCK;
  const out = new Uint8Array(count * width);
  for (let from = 0; from < count; from += RUN) {
    const length = Math.min(RUN, count - from);
    const first = random.integer(BLOCK - length + 1);
    out.set(numbers.subarray(first * width, (first + length) * width), from * width);
  }
  return out;
}

/** Normal numbers, stored in every way that was asked for. */
class NormalBlock {
  readonly #normals: Float32Array;
  readonly #stored = new Map<string, Uint8Array>();

  constructor(seed: number) {
    const random = new Random(seed, 'normals');
    this.#normals = Float32Array.from({ length: BLOCK }, () => random.normal());
  }

  /** Codes know no deviation: their scales do. */
  bytesOf(dtype: TensorSpec['dtype'], deviation: number): Uint8Array {
    const key = dtype === 'f8e4m3' ? dtype : `${dtype} ${deviation}`;
    let bytes = this.#stored.get(key);
    if (bytes === undefined) {
      bytes = this.#encode(dtype, deviation);
      this.#stored.set(key, bytes);
    }
    return bytes;
  }

  #encode(dtype: TensorSpec['dtype'], deviation: number): Uint8Array {
    const normals = this.#normals;
    if (dtype !== 'f8e4m3') {
      return encodeTensor(
        normals.map((value) => deviation * value),
        { name: 'made-up weights', dtype },
      );
    }
    const factor = largestValue('e4m3') / REACH;
    return Uint8Array.from({ length: BLOCK }, (_, i) => encodeE4m3(at(normals, i) * factor));
  }
}
