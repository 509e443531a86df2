/**
 * A model's weights from a checkpoint, one tensor at a time: as float32, or as they are stored, so
 * that a loader can keep BF16 and FP8. Opening verifies everything that headers can tell, and the
 * router's biases, which a broken run loses first and selection would hide.
 */
import type { ByteFolder } from '../base/byteSource.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { FP8_BLOCK } from '../tensor/fp8.ts';
import { numElements } from '../tensor/tensor.ts';
import {
  decodeTensor,
  encodeFp8,
  encodeTensor,
  float32Array,
  type RawTensor,
  refuseNonFinite,
} from './convert.ts';
import { checkpointTensors, SCALE_SUFFIX, type WeightDType } from './parameterNames.ts';
import type { StoredTensor, TensorToWrite } from './safetensors.ts';
import { type Checkpoint, noTensor, openCheckpoint, type TensorPlace } from './shards.ts';
import { storedNames, tensorDType } from './storedDType.ts';
import { type Verification, verifyCheckpoint } from './verify.ts';

export interface Weights extends Verification {
  readonly config: ModelConfig;
  has(name: string): boolean;
  shapeOf(name: string): readonly number[];
  /** What `rawTensor` gives, without reading it. */
  dtypeOf(name: string): WeightDType;
  /** The values as float32, FP8 dequantised: a new array. */
  readTensor(name: string): Promise<Float32Array>;
  /** The same into memory of the caller's, of exactly as many elements. */
  readInto(name: string, out: Float32Array): Promise<void>;
  /** As stored, without a copy where the file is mapped. */
  rawTensor(name: string): Promise<RawTensor>;
  /** Where a stored tensor lies, scales included. */
  placeOf(name: string): TensorPlace;
}

export interface OpenOptions {
  /** Refuse NaN and infinities in every tensor that is read as float32. */
  readonly checkFinite?: boolean;
}

/**
 * @throws checkpoint.routerBias when a bias is not finite, and those of `openCheckpoint` and
 *   `verifyCheckpoint`
 */
export async function openWeights(
  folder: ByteFolder,
  config: ModelConfig,
  options: OpenOptions = {},
): Promise<Weights> {
  const checkpoint = await openCheckpoint(folder);
  const verification = await verifyCheckpoint(checkpoint, config);
  const rawTensor = (name: string): Promise<RawTensor> => readRaw(checkpoint, name, config);
  const readInto = async (name: string, out: Float32Array): Promise<void> => {
    decodeTensor(out, await rawTensor(name));
    if (options.checkFinite === true) refuseNonFinite(out, name, 'nonFinite');
  };
  const readTensor = async (name: string): Promise<Float32Array> => {
    const out = new Float32Array(numElements(tensorOf(checkpoint, name).shape));
    await readInto(name, out);
    return out;
  };
  for (const { kind, name } of checkpointTensors(config)) {
    if (kind === 'routerBias' && checkpoint.tensors.has(name)) {
      refuseNonFinite(await readTensor(name), name, 'routerBias');
    }
  }
  return {
    ...verification,
    config,
    has: (name) => checkpoint.tensors.has(name),
    shapeOf: (name) => tensorOf(checkpoint, name).shape,
    dtypeOf: (name) => weightDType(tensorOf(checkpoint, name)),
    readTensor,
    readInto,
    rawTensor,
    placeOf: (name) => checkpoint.placeOf(name),
  };
}

/**
 * The tensors of a checkpoint to be written, in the layout the config asks for (dtype, FP8 scales,
 * MTP copies), from a function that gives a weight's float32 values. For `writeCheckpoint`.
 *
 * @throws checkpoint.block when the config asks for FP8 blocks other than 128 × 128
 */
export function tensorsToWrite(
  config: ModelConfig,
  read: (name: string) => Float32Array | Promise<Float32Array>,
): readonly TensorToWrite[] {
  const block = config.fp8WeightBlock;
  if (block !== null && !block.every((side) => side === FP8_BLOCK)) {
    throw new MoebiusError(
      'checkpoint.block',
      `FP8 blocks of ${block.join(' × ')} are not written`,
      {
        values: { fp8WeightBlock: block },
        hint: 'Set fp8WeightBlock to [128, 128], or to null for plain weights.',
      },
    );
  }
  const specs = [...checkpointTensors(config)];
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  return specs.map((spec) => {
    const { name, kind, shape, of = name } = spec;
    const [rows = 0, columns = 0] = shapes.get(of) ?? [];
    const bytes = async (): Promise<Uint8Array> => {
      const values = await read(of);
      if (kind === 'scale') return encodeFp8(values, { rows, columns }).scales;
      if (spec.dtype === 'f8e4m3') return encodeFp8(values, { rows, columns }).codes;
      return encodeTensor(values, { name, dtype: spec.dtype });
    };
    return { name, dtype: storedNames[spec.dtype], shape, bytes };
  });
}

async function readRaw(
  checkpoint: Checkpoint,
  name: string,
  config: ModelConfig,
): Promise<RawTensor> {
  const tensor = tensorOf(checkpoint, name);
  const { shape } = tensor;
  const dtype = weightDType(tensor);
  const bytes = await checkpoint.bytes(name);
  if (dtype !== 'f8e4m3') return { name, dtype, shape, bytes, scales: null, block: null };
  const scales = float32Array(await checkpoint.bytes(name + SCALE_SUFFIX));
  return { name, dtype, shape, bytes, scales, block: config.fp8WeightBlock };
}

function weightDType({ name, dtype: stored }: StoredTensor): WeightDType {
  const dtype = tensorDType(stored);
  if (dtype !== undefined && dtype !== 'i32') return dtype;
  throw new MoebiusError('checkpoint.dtype', `"${name}" is ${stored}, which is no weight`, {
    values: { name, dtype: stored },
    hint: 'Ask for a weight: F32, BF16, F16 or F8_E4M3.',
  });
}

function tensorOf(checkpoint: Checkpoint, name: string): StoredTensor {
  const tensor = checkpoint.tensors.get(name);
  if (tensor !== undefined) return tensor;
  throw noTensor(checkpoint.name, name);
}
