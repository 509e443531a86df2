/**
 * A model of made-up weights in any dtype, ready within seconds: speed depends on shapes and types,
 * not on what the numbers mean, so benchmarks need no checkpoint.
 *
 * Matrices are N(0, 1/fan_in), so that states keep their size and routing is about even; embedding
 * rows are N(0, 1), gains 1, router biases 0. Drawing 400 M normals would take minutes: every
 * tensor repeats one block of 2²⁰ of them, each time from another place, and the kernels convert
 * it.
 */
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import { createModel } from '../model/model.ts';
import { EMBEDDING, wholeModel } from '../model/parameterLayout.ts';
import {
  type CheckpointTensor,
  createParameters,
  f32Values,
  SCALE_BLOCK,
  type WeightDType,
} from '../model/parameters.ts';
import { listSpecialCodes } from '../model/specialCodes.ts';
import type { Arena } from '../tensor/arena.ts';
import { elements, numColumns, numRows, reshape, slices, type Tensor } from '../tensor/tensor.ts';
import type { OpenedModel } from './openModel.ts';

export interface RandomModelOptions {
  readonly config: ModelConfig;
  readonly kernels: Kernels;
  /** Of every matrix but the router's gate, which stays f32; f8e4m3 has 128 × 128 scales. */
  readonly dtype: WeightDType;
  readonly maxPositions: number;
  readonly seed: number;
  /** Left out unless drafts are wanted: a benchmark of plain decoding has no use for them. */
  readonly mtpModules?: 'kept' | 'leftOut';
}

const BLOCK = 2 ** 20;

/** Like `openModel`, without a checkpoint. */
export function createRandomModel(options: RandomModelOptions): OpenedModel {
  const { kernels, dtype, seed } = options;
  const isWhole = options.mtpModules === 'kept';
  const config = isWhole ? options.config : { ...options.config, numNextnPredictLayers: 0 };
  const maxPositions = Math.min(options.maxPositions, config.maxPositionEmbeddings);
  const arena = kernels.createArena('weights');
  const parameters = createParameters({
    kernels,
    arena,
    config,
    stage: wholeModel(config),
    withGradients: false,
    dtypeOf: (name) => (name.endsWith('.mlp.gate.weight') ? 'f32' : dtype),
  });
  const weightBytes = arena.usedBytes;
  const normals = new Normals(kernels, seed);
  for (const parameter of [...parameters.parameters.values(), ...parameters.buffers.values()]) {
    if (parameter.initial !== 'normal') {
      kernels.fill({ out: f32Values(parameter), value: parameter.initial === 'one' ? 1 : 0 });
      continue;
    }
    for (const tensor of parameter.tensors) if (tensor.role === 'own') normals.fill(tensor);
  }
  listSpecialCodes(parameters, { kernels, arena: kernels.createArena('special codes') });
  const model = createModel({ kernels, arena, config, parameters, maxPositions });
  const loading = { progress: null, whenComplete: Promise.resolve() };
  return { config, model, parameters, maxPositions, weightBytes, notices: [], kernels, loading };
}

/** One block of normal numbers for each deviation, in the kernels' memory. */
class Normals {
  readonly #kernels: Kernels;
  readonly #arena: Arena;
  readonly #block: Float32Array;
  readonly #scaled = new Map<number, F32>();
  readonly #random: Random;

  constructor(kernels: Kernels, seed: number) {
    this.#kernels = kernels;
    this.#arena = kernels.createArena('random');
    this.#random = new Random(seed, 'block');
    this.#block = Float32Array.from({ length: BLOCK }, () => this.#random.normal());
  }

  fill({ name, view, scales }: CheckpointTensor): void {
    const width = numColumns(view);
    const deviation = name === EMBEDDING ? 1 : width ** -0.5;
    const block = this.#blockOf(deviation, 2 * width * SCALE_BLOCK);
    // Whole blocks of scales at a time, from a place that differs, so that no two rows are equal.
    const step = (Math.floor(numColumns(block) / (width * SCALE_BLOCK)) - 1) * SCALE_BLOCK;
    for (let from = 0; from < numRows(view); from += step) {
      const to = Math.min(from + step, numRows(view));
      const first = this.#random.integer(width * SCALE_BLOCK);
      const x = reshape(elements(block, first, first + (to - from) * width), [to - from, width]);
      const out = slices(view, from, to);
      if (scales === null) this.#kernels.copy({ out, x });
      else {
        this.#kernels.quantizeFp8({
          codes: out as Tensor<'f8e4m3'>,
          scales: slices(scales, from / SCALE_BLOCK, Math.ceil(to / SCALE_BLOCK)),
          x,
          tile: '128x128',
          scaleFormat: 'f32',
        });
      }
    }
  }

  /** At least `atLeast` numbers of one deviation. */
  #blockOf(deviation: number, atLeast: number): F32 {
    const made = this.#scaled.get(deviation);
    if (made !== undefined && numColumns(made) >= atLeast) return made;
    const repeats = Math.max(1, Math.ceil(atLeast / BLOCK));
    const out = this.#arena.allocate('f32', [repeats * BLOCK]);
    for (let i = 0; i < repeats; i++) {
      this.#kernels.write(elements(out, i * BLOCK, (i + 1) * BLOCK), this.#block);
    }
    this.#kernels.scale({ x: out, factor: deviation });
    this.#scaled.set(deviation, out);
    return out;
  }
}
