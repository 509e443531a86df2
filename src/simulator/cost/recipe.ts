/**
 * The kernels that a GPU runs for what the model's operations say, in two number formats.
 *
 * `fp8` is DeepSeek-V3's recipe (report, 3.3): all three products of every linear layer in FP8 but
 * the gate, the head, MTP's projection and the attention core; activations are cast by 1 × 128
 * tiles before a product and, transposed, by 128 × 1 before a weight gradient; weight gradients are
 * added in FP32; activations travel between kernels in BF16 and rows to experts in FP8. `bf16` is
 * the same without casts. Where FP8 is scaled by whole tensors (NVIDIA's recipes, which models of
 * other makers were trained with) one kernel casts for both layouts, fused where libraries fuse it,
 * and rows travel in BF16; scaled by 32 values (MXFP8) every cast is a kernel of its own, as
 * Transformer Engine's norms write such codes only through cuDNN. Operations that the meta kernels
 * fuse (SwiGLU at a product's end) and a GPU does not are kernels of their own here; whatever
 * attention kernels demand (a whole key per head) is a copy. Bytes-bound operations were recorded
 * in f32 and are halved.
 */
import { at } from '../../base/assert.ts';
import type { EngineTraits, Fp8Scaling } from '../../config/engineTraits.ts';
import type { Precision, RecomputeItems } from '../../config/parallelPlan.ts';
import type { OperationRecord } from '../../kernels/meta.ts';
import { numColumns, numElements, type Tensor } from '../../tensor/tensor.ts';
import type { KernelClass, KernelWork } from './stageWork.ts';
import type { TracedSlice } from './tracedSlices.ts';

export interface RecipeOptions {
  readonly precision: Precision;
  readonly fp8Scaling: Fp8Scaling;
  readonly engine: EngineTraits;
  readonly recompute: RecomputeItems;
}

const BF16 = 2;
const FP8 = 1;
/** 12 bits: the input of the output projection is kept finer than FP8 (report, 3.3.3). */
const E5M6 = 1.5;

/** Marks what is made of a gradient: it is made when the gradient is, not when it is needed. */
export const GRADIENT = ' gradient';

/** Products whose input no norm and no SwiGLU has just written: attention's output, routed rows. */
const CAST_ALONE: readonly string[] = ['o_proj.weight', 'mlp.experts.gate_up_proj.weight'];

/** Products that stay in BF16 (report, 3.3.1): by the end of the parameter's name. */
export const BF16_PRODUCTS: readonly string[] = ['mlp.gate.weight', 'eh_proj.weight'];

export class Recipe {
  readonly #options: RecipeOptions;
  readonly #nameOf: TracedSlice['nameOf'];
  readonly #keys: 'latent' | 'plain';
  /** Tensors that have been cast already, row-wise and transposed. */
  readonly #cast = new Set<string>();
  readonly #transposed = new Set<string>();
  readonly #memories = new Map<object, number>();

  /** @param keys `latent`: MLA's, in two parts that are joined first; `plain`: read in place */
  constructor(
    options: RecipeOptions,
    { nameOf, keys }: { nameOf: TracedSlice['nameOf']; keys: 'latent' | 'plain' },
  ) {
    this.#options = options;
    this.#nameOf = nameOf;
    this.#keys = keys;
  }

  /** @param record a call and its sizes; sizes may be those of the rank's share of the tokens */
  kernelsOf(record: OperationRecord): KernelWork[] {
    const { operation, args = {} } = record;
    switch (operation) {
      case 'matmul':
      case 'groupedMatmul':
        return this.#product(record);
      case 'mlaAttention':
        return this.#attention(record);
      case 'mlaAttentionBackward':
        return this.#attentionBackward(record);
      case 'permute':
        return [
          ...(this.#isByTensor ? [] : this.#castOf(tensor(args.x_TD), 'routed rows')),
          moved('permute', 'permute', 2 * sizeOf(tensor(args.out_RD)) * this.#rowBytes),
        ];
      case 'unpermuteBackwardInput':
        return [
          ...(this.#isByTensor ? [] : this.#castOf(tensor(args.dOut_TD), 'routed gradients')),
          moved('permute', 'permute', 2 * sizeOf(tensor(args.dX_RD)) * this.#rowBytes),
        ];
      case 'fill':
        return [];
      default:
        return [moved(classOf(operation), operation, halved(operation, record))];
    }
  }

  get #isFp8(): boolean {
    return this.#options.precision === 'fp8';
  }

  get #isByTensor(): boolean {
    return this.#options.fp8Scaling !== 'tiles';
  }

  /** A row on its way to an expert, or there. */
  get #rowBytes(): number {
    return this.#isFp8 && !this.#isByTensor ? FP8 : BF16;
  }

  #product(record: OperationRecord): KernelWork[] {
    const { args = {}, sizes } = record;
    const layout = args.layout as 'nt' | 'nn' | 'tn';
    const b = (args.b as { values: Tensor }).values;
    const [a, out] = [tensor(args.a), tensor(args.out)];
    const name = this.#nameOf(layout === 'tn' ? out : b) ?? '';
    const isFp8 = this.#isFp8 && !BF16_PRODUCTS.some((end) => name.endsWith(end));
    const groups = sizes.groups ?? 1;
    const what = shortName(name);
    const isShared = record.operation === 'matmul';
    const work = { what, n: sizes.n ?? 0, groups, flops: record.flops, isShared };
    const [m, n, k] = [sizes.m ?? 0, sizes.n ?? 0, sizes.k ?? 0];
    const inner = isFp8 ? FP8 : BF16;
    if (layout === 'tn') {
      // Depth is tokens: of one group, as m and n are.
      const bytes = (m * k + n * k) * inner + 2 * 4 * m * n * groups;
      const depth = k / groups;
      const product = productOf(isFp8 ? 'fp8WeightGradient' : 'bf16WeightGradient', {
        ...work,
        ...{ m, k: depth, bytes },
      });
      if (!isFp8) return [product];
      const x = { elements: n * k, what, from: this.#storedBytes(name) };
      const dOut = { elements: m * k, what: what + GRADIENT, from: gradientBytes(name) };
      return [...this.#transposedCast(b, x), ...this.#transposedCast(a, dOut), product];
    }
    const bytes = (m * k + n * k * groups) * inner + m * n * BF16;
    const isRouted = name.includes('.mlp.experts.');
    const product = productOf(classOfProduct(isFp8, isRouted), { ...work, m, k, bytes });
    const arrives = isRouted && !this.#isByTensor && cameByDispatch(name, layout);
    const casts = isFp8 && !arrives ? this.#castOf(a, what, { elements: m * k, name, layout }) : [];
    const sum =
      args.accumulate === true ? [moved('elementwise', 'sum', 3 * BF16 * m * n, true)] : [];
    return [...casts, product, ...sum, ...this.#swiglu(record, { m, n, isFp8 })];
  }

  #swiglu(
    record: OperationRecord,
    { m, n, isFp8 }: { m: number; n: number; isFp8: boolean },
  ): KernelWork[] {
    const { args = {} } = record;
    const kept = isFp8 && this.#options.recompute.swiglu ? FP8 : BF16;
    const isShared = record.operation === 'matmul';
    if (args.swiglu_TF !== undefined) {
      const keeps = moved('cast', 'swiglu input kept', m * n * (BF16 + FP8), isShared);
      const swiglu = moved('activation', 'swiglu', m * n * BF16 + (m * n * BF16) / 2, isShared);
      return kept === FP8 ? [swiglu, keeps] : [swiglu];
    }
    if (args.gateUp_T2F === undefined) return [];
    const backward = m * n * BF16 + 2 * m * n * kept + 2 * m * n * BF16;
    const again = moved('activation', 'swiglu', 2 * m * n * kept + m * n * BF16, isShared);
    const kernels = [moved('activation', 'swigluBackward', backward, isShared)];
    return this.#options.recompute.swiglu ? [again, ...kernels] : kernels;
  }

  #castOf(
    x: Tensor,
    what: string,
    more: { elements?: number; name?: string; layout?: 'nt' | 'nn' } = {},
  ): KernelWork[] {
    if (!this.#isFp8 || !this.#isNew(this.#cast, x)) return [];
    const isShared = !(more.name ?? '').includes('.mlp.experts.');
    if (this.#isByTensor) {
      const isMx = this.#options.fp8Scaling === 'mx';
      const isWritten = !CAST_ALONE.some((end) => more.name?.endsWith(end));
      const isFused = more.layout === 'nt' && isWritten && !isMx;
      const elements = more.elements ?? sizeOf(x);
      // Norms and SwiGLU write both layouts themselves; what else is cast is read once.
      const code = isMx ? FP8 + 1 / 32 : FP8;
      return isFused ? [] : [moved('cast', what, elements * (BF16 + 2 * code), isShared)];
    }
    const isKeptFiner = more.layout === 'nt' && (more.name ?? '').endsWith('o_proj.weight');
    const elements = more.elements ?? sizeOf(x);
    const bytes = elements * (BF16 + FP8 + (isKeptFiner ? E5M6 : 0));
    return [moved('cast', what, bytes, isShared), scaleColumns(what, elements, isShared)];
  }

  #transposedCast(
    x: Tensor,
    { elements, what, from }: { elements: number; what: string; from: number },
  ): KernelWork[] {
    if (this.#isByTensor || !this.#isNew(this.#transposed, x)) return [];
    const isShared = !what.startsWith('experts.');
    const bytes = elements * (from + FP8);
    return [moved('transposedCast', what, bytes, isShared), scaleColumns(what, elements, isShared)];
  }

  /** Bytes of an element of a product's input, when its weight gradient reads it. */
  #storedBytes(name: string): number {
    const { norm, swiglu } = this.#options.recompute;
    if (name.endsWith('o_proj.weight')) return E5M6;
    if (name.includes('.mlp.experts.gate_up')) return FP8;
    if (name.endsWith('down_proj.weight')) return swiglu ? BF16 : FP8;
    return norm ? BF16 : FP8;
  }

  #attention(record: OperationRecord): KernelWork[] {
    const { args = {} } = record;
    if (this.#options.engine.attention === 'unfused') return unfusedForward(record);
    const core = productOf('attentionForward', coreOf(record));
    return [...this.#wholeKeys(record, tensor(args.kv_THD)), core];
  }

  #attentionBackward(record: OperationRecord): KernelWork[] {
    const { args = {} } = record;
    if (this.#options.engine.attention === 'unfused') return this.#unfusedBackward(record);
    const core = productOf('attentionBackward', coreOf(record));
    return [core, ...this.#wholeKeys(record, tensor(args.kv_THD))];
  }

  /**
   * MLA's keys are [per head | shared by heads]: attention kernels want them whole, and give their
   * gradient whole.
   */
  #wholeKeys(record: OperationRecord, kv_THD: Tensor): KernelWork[] {
    if (this.#keys === 'plain') return [];
    const { heads = 0, qk = 0, v = 0 } = record.sizes;
    const [tokens, nope] = [at(kv_THD.shape, 0), numColumns(kv_THD) - v];
    return [moved('elementwise', 'whole keys', tokens * heads * (nope + qk) * BF16)];
  }

  /** The inside is made again (selective recomputation), unless the whole block was. */
  #unfusedBackward(record: OperationRecord): KernelWork[] {
    const again = this.#options.recompute.block ? [] : unfusedForward(record).slice(0, 3);
    const recomputed = again.map((kernel) => ({
      ...kernel,
      flops: 0,
      recomputedFlops: kernel.flops,
    }));
    return [...recomputed, ...unfusedBackward(record)];
  }

  #isNew(seen: Set<string>, { memory, byteOffset }: Tensor): boolean {
    const id = this.#memories.get(memory) ?? this.#memories.size;
    this.#memories.set(memory, id);
    const key = `${id}:${byteOffset}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  }
}

/** The head's product, its loss, and the two products of its backward pass, all in BF16. */
export function headKernels(record: OperationRecord): {
  forward: KernelWork[];
  backwardInput: KernelWork[];
  backwardWeight: KernelWork[];
} {
  const { m = 0, n = 0, k = 0 } = record.sizes;
  const flops = record.flops / 3;
  const what = 'head';
  const work = { what, groups: 1, flops, isShared: true };
  const bytes = (m * k + n * k + m * n) * BF16;
  return {
    forward: [
      productOf('bf16Gemm', { ...work, m, n, k, bytes }),
      // The logits in FP32, read for the softmax, read and written for its gradient.
      moved('loss', 'cross entropy', 3 * 4 * m * n),
    ],
    backwardInput: [productOf('bf16Gemm', { ...work, m, n: k, k: n, bytes })],
    backwardWeight: [
      productOf('bf16WeightGradient', {
        ...{ ...work, m: n, n: k, k: m, bytes: (m * k + m * n) * BF16 + 8 * n * k },
      }),
    ],
  };
}

/**
 * DeepGEMM reads the scales of its left side by columns, aligned for its copies: its README asks
 * for a transpose before each product. A float in and out for 128 elements.
 */
function scaleColumns(what: string, elements: number, isShared: boolean): KernelWork {
  return moved('cast', `${what} scales`, (2 * 4 * elements) / 128, isShared);
}

/**
 * Attention before FlashAttention (Korthikanti et al. 2022, figure 3): a product, softmax, dropout,
 * a product, each a kernel over the scores of all pairs, masked ones too. In 16 bits scores are
 * written by the product, read and written by softmax and dropout (with a mask of a byte), read.
 */
function unfusedForward(record: OperationRecord): KernelWork[] {
  const { scores, qk, v } = scoresOf(record);
  return [
    scoreProduct(record, 'scores', qk),
    moved('elementwise', 'softmax', 2 * BF16 * scores),
    moved('elementwise', 'dropout', (2 * BF16 + 1) * scores),
    scoreProduct(record, 'values', v),
  ];
}

function unfusedBackward(record: OperationRecord): KernelWork[] {
  const { scores, qk, v } = scoresOf(record);
  return [
    scoreProduct(record, 'score gradients', v),
    scoreProduct(record, 'value gradients', v),
    moved('elementwise', 'dropoutBackward', (2 * BF16 + 1) * scores),
    moved('elementwise', 'softmaxBackward', 3 * BF16 * scores),
    scoreProduct(record, 'query gradients', qk),
    scoreProduct(record, 'key gradients', qk),
  ];
}

function scoresOf({ sizes }: OperationRecord): {
  scores: number;
  length: number;
  groups: number;
  qk: number;
  v: number;
} {
  const { tokens = 0, pairs = 0, heads = 0, qk = 0, v = 0 } = sizes;
  // A sequence of T tokens has T (T + 1) / 2 pairs.
  const length = Math.max(1, Math.round((2 * pairs) / tokens - 1));
  return { scores: tokens * length * heads, length, groups: (heads * tokens) / length, qk, v };
}

/** One product for each head and sequence, of all its scores. */
function scoreProduct(record: OperationRecord, what: string, width: number): KernelWork {
  const { scores, length, groups } = scoresOf(record);
  const bytes = BF16 * (scores + 2 * groups * length * width);
  const flops = 2 * scores * width;
  const sizes = { m: length * groups, n: length, k: width, groups };
  return productOf('bf16GroupedGemm', { what, ...sizes, flops, bytes, isShared: false });
}

export function moved(
  kernelClass: KernelClass,
  what: string,
  bytes: number,
  isShared = false,
): KernelWork {
  const sizes = { m: 0, n: 0, k: 0, groups: 1 };
  return { class: kernelClass, what, ...sizes, flops: 0, recomputedFlops: 0, bytes, isShared };
}

function productOf(
  kernelClass: KernelClass,
  work: Omit<KernelWork, 'class' | 'recomputedFlops'> & { recomputedFlops?: number },
): KernelWork {
  return { class: kernelClass, recomputedFlops: 0, ...work };
}

function classOfProduct(isFp8: boolean, isRouted: boolean): KernelClass {
  if (isRouted) return isFp8 ? 'fp8GroupedGemm' : 'bf16GroupedGemm';
  return isFp8 ? 'fp8Gemm' : 'bf16Gemm';
}

/** Rows are cast before they are sent: forward into gate and up, backward into down. */
function cameByDispatch(name: string, layout: 'nt' | 'nn'): boolean {
  return name.endsWith(layout === 'nt' ? 'gate_up_proj.weight' : 'down_proj.weight');
}

/** Gradients of routed rows came in FP8, all others are fresh from a kernel. */
function gradientBytes(name: string): number {
  return name.includes('.mlp.experts.down') ? FP8 : BF16;
}

/** Sizes of the core: m tokens of the batch, n pairs, k the joint width, groups heads. */
function coreOf(record: OperationRecord): Omit<KernelWork, 'class'> {
  const { tokens = 0, pairs = 0, heads = 0, qk = 0, v = 0 } = record.sizes;
  return {
    what: 'attention core',
    ...{ m: tokens, n: pairs, k: qk + v, groups: heads },
    flops: record.flops,
    recomputedFlops: record.recomputedFlops,
    bytes: (record.bytesRead + record.bytesWritten) / 2,
    isShared: false,
  };
}

function classOf(operation: OperationRecord['operation']): KernelClass {
  switch (operation) {
    case 'rmsNorm':
    case 'rmsNormBackwardInput':
    case 'rmsNormBackwardWeight':
      return 'norm';
    case 'rope':
      return 'rope';
    case 'unpermute':
    case 'unpermuteBackwardWeights':
      return 'permute';
    case 'routeTopK':
    case 'routeTopKBackward':
    case 'balanceLoss':
    case 'sortByExpert':
      return 'routing';
    case 'embedding':
    case 'embeddingBackward':
      return 'embedding';
    default:
      return 'elementwise';
  }
}

/** Scores and indices are as wide as they were recorded, activations half. */
function halved(operation: OperationRecord['operation'], record: OperationRecord): number {
  const bytes = record.bytesRead + record.bytesWritten;
  return classOf(operation) === 'routing' ? bytes : bytes / 2;
}

function shortName(name: string): string {
  return name
    .replace(/^model\.layers\.\d+\./, '')
    .replace(/^(self_attn|mlp)\./, '')
    .replace(/\.weight$/, '');
}

function tensor(value: unknown): Tensor {
  return value as Tensor;
}

function sizeOf(value: Tensor): number {
  return numElements(value.shape);
}
