/**
 * A checkpoint's linear projections and experts to FP8, as DeepSeek-V3 is published: E4M3 codes
 * with one scale per 128 × 128 block. Embedding, head, norms, gates, router biases and an MTP
 * module's `eh_proj` stay the bytes they are.
 *
 * Tensor by tensor, so that memory is that of the largest one whatever the model's size; shards
 * keep their names and tensors. Scales lie before codes in a file (wider types come first), so
 * every weight is read and quantised twice, which costs less than keeping a shard's codes.
 */
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { RawTensor } from '../checkpoint/convert.ts';
import { checkpointTensors } from '../checkpoint/parameterNames.ts';
import {
  type TensorToWrite,
  tensorByteLength,
  writeSafetensors,
} from '../checkpoint/safetensors.ts';
import { INDEX_FILE, shardIndexText } from '../checkpoint/shardIndex.ts';
import { storedNames } from '../checkpoint/storedDType.ts';
import { openWeights, type Weights } from '../checkpoint/weights.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import { serializeModelConfig } from '../config/serializeModelConfig.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { blockGrid, FP8_BLOCK } from '../tensor/fp8.ts';
import { numElements, type Tensor } from '../tensor/tensor.ts';
import { type FolderDraft, type MapFile, openFolder, writeFolder } from './files.ts';
import { readJson } from './openModel.ts';

export interface QuantizeOptions {
  readonly from: string;
  readonly to: string;
  readonly kernels: Kernels;
  readonly mapFile?: MapFile;
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

export interface QuantizedCheckpoint {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly classes: readonly QuantizationError[];
}

/** Of all weights of one name, over layers and experts. */
export interface QuantizationError {
  /** `experts.down_proj`, `self_attn.o_proj`, … */
  readonly name: string;
  readonly tensors: number;
  readonly elements: number;
  /** √(Σ (x − x̂)² / Σ x²). */
  readonly relativeRms: number;
  /** The largest |x − x̂|. */
  readonly largest: number;
}

/**
 * @throws quantize.isFp8 when the weights are FP8 already, and those of opening a checkpoint; the
 *   result was opened and verified when this returns
 */
export async function quantizeCheckpoint(options: QuantizeOptions): Promise<QuantizedCheckpoint> {
  const { from, to, mapFile } = options;
  const raw = (await readJson(join(from, 'config.json'))) as Record<string, unknown>;
  const before = parseModelConfig(raw, join(from, 'config.json'));
  const folder = await openFolder(from, mapFile);
  const weights = await openWeights(folder, before);
  refuseFp8(weights, before);
  const config: ModelConfig = { ...before, fp8WeightBlock: [FP8_BLOCK, FP8_BLOCK] };
  const { quantization_config: quantization } = serializeModelConfig(config);
  const work = new QuantizeWork(options, weights, config);
  const others = (await folder.list()).filter((file) => !isWeights(file) && file !== 'config.json');
  const bytesAfter = await writeFolder(to, async (draft) => {
    const text = JSON.stringify({ ...raw, quantization_config: quantization }, null, 2);
    await draft.writeText('config.json', `${text}\n`);
    await work.writeShards(draft);
  });
  for (const file of others) await copyFile(join(from, file), join(to, file));
  const written = parseModelConfig(await readJson(join(to, 'config.json')), to);
  await openWeights(await openFolder(to, mapFile), written);
  return { bytesBefore: work.bytesBefore, bytesAfter, classes: work.errors };
}

function refuseFp8(weights: Weights, config: ModelConfig): void {
  const name = [...checkpointTensors(config)].find(
    (spec) => weights.has(spec.name) && weights.dtypeOf(spec.name) === 'f8e4m3',
  )?.name;
  if (name === undefined && config.fp8WeightBlock === null) return;
  throw new MoebiusError('quantize.isFp8', 'the checkpoint is FP8 already', {
    values: { weight_block_size: config.fp8WeightBlock, example: name },
    hint: 'Serve it as it is, or quantize the BF16 weights it was made from.',
  });
}

function isWeights(file: string): boolean {
  return file === INDEX_FILE || file.endsWith('.safetensors');
}

class QuantizeWork {
  readonly bytesBefore: number;
  readonly #options: QuantizeOptions;
  readonly #weights: Weights;
  readonly #arena: Arena;
  /** Tensors of each file, in the order of the config. */
  readonly #shards = new Map<string, TensorToWrite[]>();
  readonly #sums = new Map<string, ErrorSums>();
  readonly #totalBytes: number;
  #bytesMade = 0;

  constructor(options: QuantizeOptions, weights: Weights, config: ModelConfig) {
    this.#options = options;
    this.#weights = weights;
    this.#arena = options.kernels.createArena('quantizing');
    let bytesBefore = 0;
    for (const { name, dtype, kind, shape, of = name } of checkpointTensors(config)) {
      // Copies may be missing, and MTP layers as a whole.
      if (!weights.has(of) || !weights.has(kind === 'scale' ? of : name)) continue;
      const { file, byteLength } = weights.placeOf(kind === 'scale' ? of : name);
      if (kind !== 'scale') bytesBefore += byteLength;
      const stored = dtype === 'f8e4m3' ? dtype : kind === 'scale' ? 'f32' : weights.dtypeOf(name);
      const tensor = { name, dtype: storedNames[stored], shape };
      const bytes = (): Promise<Uint8Array> => this.#bytesOf(of, kind, stored === 'f8e4m3');
      const shard = this.#shards.get(basename(file)) ?? [];
      this.#shards.set(basename(file), shard);
      shard.push({ ...tensor, bytes: () => this.#counted(tensorByteLength(tensor), bytes) });
    }
    this.bytesBefore = bytesBefore;
    const all = [...this.#shards.values()].flat();
    this.#totalBytes = all.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
  }

  get errors(): QuantizationError[] {
    return [...this.#sums].map(([name, { tensors, elements, error, square, largest }]) => ({
      name,
      tensors,
      elements,
      relativeRms: square === 0 ? 0 : Math.sqrt(error / square),
      largest,
    }));
  }

  async writeShards({ create, writeText }: FolderDraft): Promise<void> {
    for (const [file, tensors] of this.#shards) {
      await writeSafetensors(await create(file), tensors, { format: 'pt' });
    }
    if (this.#shards.size > 1) await writeText(INDEX_FILE, shardIndexText(this.#shards));
  }

  #counted(bytes: number, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
    this.#bytesMade += bytes;
    this.#options.onProgress?.(this.#bytesMade, this.#totalBytes);
    return make();
  }

  /** A weight as it is, or its codes, or the scales of these. */
  async #bytesOf(name: string, kind: string, isCodes: boolean): Promise<Uint8Array> {
    const raw = await this.#weights.rawTensor(name);
    if (kind !== 'scale' && !isCodes) return raw.bytes;
    const { kernels } = this.#options;
    const mark = this.#arena.mark();
    const x = await this.#widen(raw);
    const { codes, scales } = quantize(kernels, this.#arena, x);
    const wanted = isCodes ? codes : scales;
    if (isCodes) await this.#note(name, { x, codes, scales });
    const values = await kernels.read(wanted as Tensor<'f32' | 'f8e4m3'>);
    this.#arena.release(mark);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }

  async #widen({ name, dtype, shape, bytes }: RawTensor): Promise<F32> {
    const { kernels } = this.#options;
    assert(dtype !== 'f8e4m3', `${name} is not FP8 yet`);
    const values = bytes.slice();
    const stored = this.#arena.allocate(dtype, shape);
    if (dtype === 'f32') kernels.write(stored as F32, new Float32Array(values.buffer));
    else kernels.write(stored as Tensor<'bf16' | 'f16'>, new Uint16Array(values.buffer));
    if (dtype === 'f32') return stored as F32;
    const x = this.#arena.allocate('f32', shape);
    kernels.copy({ out: x, x: stored });
    return x;
  }

  async #note(name: string, { x, codes, scales }: Quantized & { readonly x: F32 }): Promise<void> {
    const { kernels } = this.#options;
    const arena = this.#arena;
    const sum = arena.allocate('f32', [1]);
    const difference = arena.allocate('f32', x.shape);
    kernels.sumOfSquares({ out: sum, x });
    const square = at(await kernels.read(sum), 0);
    kernels.dequantizeFp8({ out: difference, codes, scales, tile: '128x128' });
    kernels.scale({ x: difference, factor: -1 });
    kernels.add({ out: difference, a: difference, b: x });
    kernels.sumOfSquares({ out: sum, x: difference });
    const error = at(await kernels.read(sum), 0);
    const values = await kernels.read(difference);
    const known = this.#sums.get(classOf(name)) ?? NOTHING;
    this.#sums.set(classOf(name), {
      tensors: known.tensors + 1,
      elements: known.elements + numElements(x.shape),
      error: known.error + error,
      square: known.square + square,
      largest: largestOf(values, known.largest),
    });
  }
}

interface ErrorSums {
  readonly tensors: number;
  readonly elements: number;
  readonly error: number;
  readonly square: number;
  readonly largest: number;
}

const NOTHING: ErrorSums = { tensors: 0, elements: 0, error: 0, square: 0, largest: 0 };

interface Quantized {
  readonly codes: Tensor<'f8e4m3'>;
  readonly scales: F32;
}

function quantize(kernels: Kernels, arena: Arena, x: F32): Quantized {
  const [rows = 0, columns = 0] = x.shape;
  const shape = { rows, columns, blockRows: FP8_BLOCK, blockColumns: FP8_BLOCK };
  const codes = arena.allocate('f8e4m3', x.shape);
  const scales = arena.allocate('f32', blockGrid(shape));
  kernels.quantizeFp8({ codes, scales, x, tile: '128x128', scaleFormat: 'f32' });
  return { codes, scales };
}

/** A weight's name without its layer and its expert. */
function classOf(name: string): string {
  return name
    .replace(/^model\.layers\.\d+\./, '')
    .replace(/\.weight$/, '')
    .replace(/\.\d+\./, '.');
}

function largestOf(values: Float32Array, atLeast: number): number {
  let largest = atLeast;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] as number);
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}
