/**
 * Weights between a checkpoint's tensors and the parameters they lie in. Reading keeps what is
 * stored where the parameter has the same dtype, and widens to f32 where it is f32; writing gives
 * float32 values. The checkpoint room checks names, shapes and copies before anything is read.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import type { HostArrays } from '../tensor/dtype.ts';
import { numElements, type Tensor } from '../tensor/tensor.ts';
import {
  type CheckpointTensor,
  type ParameterSet,
  SCALE_BLOCK,
  type WeightDType,
} from './parameters.ts';

/** A tensor as a checkpoint has it (the shape of the checkpoint room's `RawTensor`). */
export interface StoredWeight {
  readonly name: string;
  readonly dtype: WeightDType;
  readonly shape: readonly number[];
  /** Little-endian elements; may be unaligned. */
  readonly bytes: Uint8Array;
  /** For f8e4m3: one factor per block of `block` rows and columns. */
  readonly scales: Float32Array | null;
  readonly block: readonly [rows: number, columns: number] | null;
}

/**
 * Fills every parameter and buffer of a set.
 *
 * @param arena for what is converted, one tensor at a time
 * @param read gives a tensor by its checkpoint name
 */
export async function loadParameters(args: {
  kernels: Kernels;
  arena: Arena;
  set: ParameterSet;
  read: (name: string) => Promise<StoredWeight>;
}): Promise<void> {
  const { kernels, arena, set, read } = args;
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    // A bias that no checkpoint has is zero (V2's gate).
    if (parameter.tensors.length === 0) kernels.fill({ out: parameter.weight.values, value: 0 });
    for (const tensor of parameter.tensors) {
      if (tensor.role === 'own') {
        storeTensor({ kernels, arena, tensor, stored: await read(tensor.name) });
      }
    }
  }
}

/**
 * @throws model.tensorShape when the stored tensor is not what the config asks for
 * @throws model.scaleBlock when its scales are not per 128 × 128 block
 */
export function storeTensor(args: {
  kernels: Kernels;
  arena: Arena;
  tensor: CheckpointTensor;
  stored: StoredWeight;
}): void {
  const { kernels, arena, tensor, stored } = args;
  const { view } = tensor;
  checkStored(tensor, stored);
  const values = hostValues(stored.dtype, stored.bytes);
  if (view.dtype === stored.dtype) {
    kernels.write(view, values);
    if (tensor.scales !== null && stored.scales !== null) {
      kernels.write(tensor.scales, stored.scales);
    }
    return;
  }
  const mark = arena.mark();
  const staged = arena.allocate(stored.dtype, stored.shape);
  kernels.write(staged, values);
  if (isF8(staged)) {
    const scales = arena.allocate('f32', stored.shape.map(numBlocks));
    kernels.write(scales, stored.scales ?? new Float32Array());
    kernels.dequantizeFp8({ out: view as F32, codes: staged, scales, tile: '128x128' });
  } else {
    kernels.copy({ out: view, x: staged });
  }
  arena.release(mark);
}

/** The values of a checkpoint tensor as float32, for saving. */
export async function readTensor(args: {
  kernels: Kernels;
  arena: Arena;
  tensor: CheckpointTensor;
}): Promise<Float32Array> {
  const { kernels, arena, tensor } = args;
  const { view, scales } = tensor;
  if (isF32(view)) return kernels.read(view);
  const mark = arena.mark();
  const wide = arena.allocate('f32', view.shape);
  if (isF8(view) && scales !== null) {
    kernels.dequantizeFp8({ out: wide, codes: view, scales, tile: '128x128' });
  } else {
    kernels.copy({ out: wide, x: view });
  }
  const values = await kernels.read(wide);
  arena.release(mark);
  return values;
}

/** Copies all values of one set into another of the same layout: averages, snapshots. */
export function copyParameters(
  kernels: Kernels,
  args: { out: ParameterSet; from: ParameterSet },
): void {
  const { out, from } = args;
  for (const kind of ['parameters', 'buffers'] as const) {
    for (const [name, parameter] of out[kind]) {
      const source = from[kind].get(name);
      assert(source !== undefined, `no parameter ${name} to copy from`);
      kernels.copy({ out: parameter.weight.values, x: source.weight.values });
    }
  }
}

function checkStored(tensor: CheckpointTensor, stored: StoredWeight): void {
  const { shape } = tensor.view;
  const isSame =
    shape.length === stored.shape.length && shape.every((dim, i) => dim === stored.shape[i]);
  if (!isSame) {
    throw new MoebiusError('model.tensorShape', `"${stored.name}" has another shape`, {
      values: { stored: stored.shape, expected: shape },
      hint: 'Use the config.json that came with these weights.',
    });
  }
  if (stored.dtype !== 'f8e4m3') return;
  const numScales = numElements(shape.map(numBlocks));
  const isSquare = stored.block?.every((side) => side === SCALE_BLOCK);
  if (shape.length === 2 && isSquare && stored.scales?.length === numScales) return;
  throw new MoebiusError('model.scaleBlock', `"${stored.name}" has scales of an unknown form`, {
    values: { block: stored.block, scales: stored.scales?.length ?? 0, expected: numScales },
    hint: 'Store FP8 weights with one scale per 128 × 128 block, or as BF16.',
  });
}

function hostValues(dtype: WeightDType, bytes: Uint8Array): HostArrays[WeightDType] {
  if (dtype === 'f8e4m3') return bytes;
  const size = dtype === 'f32' ? 4 : 2;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const length = aligned.byteLength / size;
  return dtype === 'f32'
    ? new Float32Array(aligned.buffer, aligned.byteOffset, length)
    : new Uint16Array(aligned.buffer, aligned.byteOffset, length);
}

function numBlocks(count: number): number {
  return Math.ceil(count / SCALE_BLOCK);
}

function isF8(tensor: Tensor): tensor is Tensor<'f8e4m3'> {
  return tensor.dtype === 'f8e4m3';
}

function isF32(tensor: Tensor): tensor is F32 {
  return tensor.dtype === 'f32';
}
