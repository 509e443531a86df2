/**
 * The weights of a stage: where they lie, their gradients, and the checkpoint tensors in them.
 *
 * A trained parameter is f32 and has a gradient. One that only runs keeps the dtype it was stored
 * in (bf16, f16, or f8e4m3 with its block scales): products read those as they are, so a checkpoint
 * needs no second copy in f32. Two things are always f32: norm gains and router biases, whose
 * kernels take nothing else.
 */
import { assert } from '../base/assert.ts';
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32, Kernels, Weight } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import type { DType } from '../tensor/dtype.ts';
import { numElements, reshape, slices, type Tensor } from '../tensor/tensor.ts';
import {
  type ParameterSpec,
  type Piece,
  type PieceRole,
  parameterLayout,
  type Stage,
} from './parameterLayout.ts';

/** Rows and columns that share one scale in an f8e4m3 matrix. */
export const SCALE_BLOCK = 128;

export type WeightDType = Exclude<DType, 'i32'>;

/** A checkpoint tensor as a view into a parameter. */
export interface CheckpointTensor {
  readonly name: string;
  readonly view: Tensor<WeightDType>;
  /** Block scales of an f8e4m3 view, `[ceil(rows/128), ceil(columns/128)]`. */
  readonly scales: F32 | null;
  readonly role: PieceRole;
}

export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly weight: Weight;
  readonly gradient: F32 | null;
  /** Matrices decay, norm gains do not. */
  readonly isDecayed: boolean;
  readonly initial: ParameterSpec['initial'];
  readonly tensors: readonly CheckpointTensor[];
}

export interface ParameterSet {
  readonly stage: Stage;
  /** Learned by gradient, by name, in checkpoint order. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Router biases: f32, moved by `updateRouterBias` alone, saved like parameters. */
  readonly buffers: ReadonlyMap<string, Parameter>;
}

export interface ParameterOptions {
  readonly kernels: Kernels;
  readonly arena: Arena;
  readonly config: ModelConfig;
  readonly stage: Stage;
  readonly withGradients: boolean;
  /** The stored dtype of a checkpoint tensor, where weights stay as they are; f32 when left out. */
  readonly dtypeOf?: (tensorName: string) => WeightDType;
}

/** Allocates a stage's parameters; their contents are whatever was there. */
export function createParameters(options: ParameterOptions): ParameterSet {
  const parameters = new Map<string, Parameter>();
  const buffers = new Map<string, Parameter>();
  for (const spec of parameterLayout(options.config, options.stage)) {
    (spec.isTrained ? parameters : buffers).set(spec.name, createParameter(options, spec));
  }
  return { stage: options.stage, parameters, buffers };
}

function createParameter(options: ParameterOptions, spec: ParameterSpec): Parameter {
  const { arena, kernels } = options;
  const dtype = packedDType(options, spec);
  const values = arena.allocate(dtype, spec.shape);
  const scales = dtype === 'f8e4m3' ? arena.allocate('f32', scaleShape(spec.shape)) : null;
  let gradient: F32 | null = null;
  if (options.withGradients && spec.isTrained) {
    assert(dtype === 'f32', `${spec.name} is trained, hence f32, not ${dtype}`);
    gradient = arena.allocate('f32', spec.shape);
    kernels.fill({ out: gradient, value: 0 });
  }
  return {
    name: spec.name,
    shape: spec.shape,
    weight: scales === null ? { values } : { values, scales },
    gradient,
    isDecayed: spec.shape.length > 1,
    initial: spec.initial,
    tensors: spec.pieces.map((piece) => ({
      name: piece.name,
      view: pieceView(values, piece),
      scales: scales === null ? null : pieceScales(scales, spec.shape, piece),
      role: piece.role,
    })),
  };
}

/**
 * The dtype all pieces share, or f32. Packed f8e4m3 pieces must begin on a block of scales: where
 * an expert's width is no multiple of 128 (no published model), they are kept dequantised instead.
 */
function packedDType(options: ParameterOptions, spec: ParameterSpec): WeightDType {
  if (options.dtypeOf === undefined || spec.shape.length === 1) return 'f32';
  const own = spec.pieces.filter((piece) => piece.role === 'own');
  const dtypes = new Set(own.map((piece) => options.dtypeOf?.(piece.name) ?? 'f32'));
  const [dtype = 'f32'] = dtypes;
  if (dtypes.size > 1) return 'f32';
  return dtype === 'f8e4m3' && !own.every((piece) => isOnBlock(spec.shape, piece)) ? 'f32' : dtype;
}

function isOnBlock(shape: readonly number[], piece: Piece): boolean {
  const rowsPerEntry = shape[shape.length - 2] ?? 1;
  return (piece.firstRow % rowsPerEntry) % SCALE_BLOCK === 0;
}

function scaleShape(shape: readonly number[]): number[] {
  const split = shape.length - 2;
  return [...shape.slice(0, split), ...shape.slice(split).map(numBlocks)];
}

function numBlocks(count: number): number {
  return Math.ceil(count / SCALE_BLOCK);
}

function pieceView<D extends DType>(tensor: Tensor<D>, piece: Piece): Tensor<D> {
  if (piece.shape.length === 1) return tensor;
  const [rows = 0, columns = 0] = piece.shape;
  const flat = reshape(tensor, [numElements(tensor.shape) / columns, columns]);
  return slices(flat, piece.firstRow, piece.firstRow + rows);
}

/** The piece's own scales: its rows counted in blocks, which restart in every entry. */
function pieceScales(scales: F32, shape: readonly number[], piece: Piece): F32 {
  const [rows = 0, columns = 0] = piece.shape.map(numBlocks);
  const rowsPerEntry = shape[shape.length - 2] ?? 1;
  const entryIndex = Math.floor(piece.firstRow / rowsPerEntry);
  const blockInEntry = (piece.firstRow % rowsPerEntry) / SCALE_BLOCK;
  const first = entryIndex * numBlocks(rowsPerEntry) + blockInEntry;
  const flat = reshape(scales, [numElements(scales.shape) / columns, columns]);
  return slices(flat, first, first + rows);
}

export function parameterNamed(set: ParameterSet, name: string): Parameter {
  const parameter = set.parameters.get(name) ?? set.buffers.get(name);
  assert(parameter !== undefined, `the stage has no parameter ${name}`);
  return parameter;
}

/** The values of a parameter that is f32: norm gains, biases, everything that is trained. */
export function f32Values(parameter: Parameter): F32 {
  const { values } = parameter.weight;
  assert(isF32(values), `${parameter.name} is ${values.dtype}, not f32`);
  return values;
}

export function gradientOf(parameter: Parameter): F32 {
  assert(parameter.gradient !== null, `${parameter.name} has no gradient: it was loaded to run`);
  return parameter.gradient;
}

/** What the optimiser works on (`optim/` knows no model and states the same shape). */
export interface TrainedTensor {
  readonly name: string;
  readonly value: F32;
  readonly gradient: F32;
  readonly isDecayed: boolean;
}

export function trainedTensors(set: ParameterSet): TrainedTensor[] {
  return [...set.parameters.values()].map((parameter) => ({
    name: parameter.name,
    value: f32Values(parameter),
    gradient: gradientOf(parameter),
    isDecayed: parameter.isDecayed,
  }));
}

export function zeroGradients(kernels: Kernels, set: ParameterSet): void {
  for (const parameter of set.parameters.values()) {
    kernels.fill({ out: gradientOf(parameter), value: 0 });
  }
}

/** Every tensor a checkpoint of this stage holds, shared ones also under their second names. */
export function checkpointTensors(set: ParameterSet): CheckpointTensor[] {
  return [...set.parameters.values(), ...set.buffers.values()].flatMap((parameter) =>
    parameter.tensors.filter((tensor) => tensor.role !== 'alias'),
  );
}

/** Gradients under checkpoint names, experts one by one; shared parameters once. */
export function checkpointGradients(set: ParameterSet): { name: string; view: F32 }[] {
  return [...set.parameters.values()].flatMap((parameter) => {
    const { values } = parameter.weight;
    const gradient = gradientOf(parameter);
    return parameter.tensors
      .filter((tensor) => tensor.role === 'own')
      .map(({ name, view }) => ({
        name,
        // Values and gradient have one layout, so a piece lies equally far into both.
        view: {
          ...gradient,
          shape: view.shape,
          byteOffset: gradientOffset(gradient, values, view),
        },
      }));
  });
}

function gradientOffset(gradient: F32, values: Tensor, view: Tensor): number {
  return gradient.byteOffset + (view.byteOffset - values.byteOffset);
}

/**
 * Fresh weights: matrices normal with deviation `initializerRange`, gains 1, router biases 0.
 *
 * Each checkpoint tensor draws from a stream of its own name, so the weights do not depend on how
 * layers and experts are spread over ranks.
 */
export function initializeParameters(args: {
  kernels: Kernels;
  set: ParameterSet;
  config: ModelConfig;
  seed: number;
}): void {
  const { kernels, set, config, seed } = args;
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    if (parameter.initial !== 'normal') {
      kernels.fill({ out: f32Values(parameter), value: parameter.initial === 'one' ? 1 : 0 });
      continue;
    }
    f32Values(parameter);
    for (const { name, view, role } of parameter.tensors) {
      if (role !== 'own') continue;
      const random = new Random(seed, name);
      const values = new Float32Array(numElements(view.shape));
      for (let i = 0; i < values.length; i++) values[i] = config.initializerRange * random.normal();
      kernels.write(view as F32, values);
    }
  }
}

function isF32(tensor: Tensor): tensor is F32 {
  return tensor.dtype === 'f32';
}
