/**
 * Where one case of the contract is laid out: tensors with known numbers, and what must come out.
 *
 * A case is built twice from the same seed. The first time its outputs are compared with an oracle;
 * the second time they must have the same bits. Both times inputs and the gaps between strided rows
 * must be untouched, and every output starts as NaN, so that an element left unwritten shows.
 *
 * Nothing here is bound to Node: a browser can run the cases too.
 */
import { assert, at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import type { F32, I32, Kernels, SpecialCodes, Weight } from '../../src/kernels/kernels.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import {
  bytesPerElement,
  type DType,
  type HostArray,
  type HostArrays,
} from '../../src/tensor/dtype.ts';
import { FP8_BLOCK } from '../../src/tensor/fp8.ts';
import { columns, numElements, numRows, type Tensor } from '../../src/tensor/tensor.ts';
import { decode, encode, isSame, normalNumbers } from './codes.ts';
import type { Expectation } from './oracle.ts';

export type WeightDType = Weight['values']['dtype'];

/** A tensor and the numbers that were put into it. */
export interface Operand<D extends DType> {
  readonly tensor: Tensor<D>;
  readonly values: HostArrays[D];
}

export interface WeightOperand {
  readonly weight: Weight;
  /** What the weight stands for, scales multiplied in. */
  readonly values: Float64Array;
}

/**
 * Oracles are slow and every backend is asked the same, so answers are kept for as long as a case
 * is being verified, by shape, seed and place.
 */
export type OracleMemory = Map<string, Expectation>;

/** Asked only when the case is compared. */
export type Oracle = () => Expectation;

interface Laid {
  readonly name: string;
  /** The tensor with its gaps and margins. */
  readonly whole: Tensor;
  readonly view: Tensor;
  readonly before: HostArray;
  readonly isInput: boolean;
}

/** Far from anything computed; exact in every dtype. */
const SENTINEL = 96;

export class Workbench {
  readonly kernels: Kernels;
  readonly random: Random;
  readonly #arena: Arena;
  readonly #isStrided: boolean;
  readonly #laid: Laid[] = [];
  readonly #expected: { readonly tensor: Tensor; readonly oracle: Oracle }[] = [];

  readonly #memory: OracleMemory;
  readonly #key: string;

  constructor(args: {
    readonly kernels: Kernels;
    readonly arena: Arena;
    readonly seed: number;
    readonly isStrided: boolean;
    readonly memory: OracleMemory;
    /** Equal for benches on which the same case is laid out. */
    readonly key: string;
  }) {
    this.kernels = args.kernels;
    this.#arena = args.arena;
    this.random = new Random(args.seed);
    this.#isStrided = args.isStrided;
    this.#memory = args.memory;
    this.#key = args.key;
  }

  /** Standard normal numbers, or the ones given. */
  floats(shape: readonly number[], values?: ArrayLike<number>): Operand<'f32'> {
    return this.#operand('f32', shape, Float32Array.from(values ?? this.normal(shape)), true);
  }

  ints(shape: readonly number[], values: ArrayLike<number>): Operand<'i32'> {
    return this.#operand('i32', shape, Int32Array.from(values), true);
  }

  /** Values as near as the dtype comes to them. */
  codes<D extends DType>(dtype: D, shape: readonly number[], values: Float32Array): Operand<D> {
    return this.#operand(dtype, shape, encode(dtype, values), true);
  }

  /** Raw codes. */
  raw<D extends DType>(dtype: D, shape: readonly number[], values: HostArrays[D]): Operand<D> {
    return this.#operand(dtype, shape, values, true);
  }

  /** A matrix `[rows, columns]`, or one per expert. */
  weight(dtype: WeightDType, shape: readonly number[]): WeightOperand {
    const width = at(shape, shape.length - 1);
    const rows = at(shape, shape.length - 2);
    if (dtype !== 'f8e4m3') {
      const { tensor, values } = this.codes(dtype, shape, this.normal(shape));
      return { weight: { values: tensor }, values: decode(dtype, values) };
    }
    const { tensor, values } = this.codes(dtype, shape, this.normal(shape));
    const [down, across] = [Math.ceil(rows / FP8_BLOCK), Math.ceil(width / FP8_BLOCK)];
    const grid = [...shape.slice(0, -2), down, across];
    const factors = Float32Array.from({ length: numElements(grid) }, () => this.random.uniform());
    const scales = this.floats(grid, factors);
    const decoded = decode(dtype, values);
    for (let i = 0; i < decoded.length; i++) {
      const [column, row] = [i % width, Math.floor(i / width) % rows];
      const matrix = Math.floor(i / (width * rows));
      const block = Math.floor(row / FP8_BLOCK) * across + Math.floor(column / FP8_BLOCK);
      decoded[i] = at(decoded, i) * at(factors, matrix * down * across + block);
    }
    const weight: Weight = { values: tensor, scales: scales.tensor };
    if (this.random.integer(2) === 1) weight.specialCodes = this.specialCodes(tensor);
    return { weight, values: decoded };
  }

  /** Results must not depend on whether special codes are listed. */
  specialCodes(codes: Tensor<'f8e4m3'>): SpecialCodes {
    const most = numElements(codes.shape);
    const begins = this.#arena.allocate('i32', [numRows(codes) + 1]);
    const entries = this.#arena.allocate('i32', [most]);
    this.kernels.findSpecialCodes({ codes, begins, entries });
    return { begins, entries };
  }

  /** To be written in full. */
  output(shape: readonly number[]): F32 {
    const poison = new Float32Array(numElements(shape)).fill(Number.NaN);
    return this.#operand('f32', shape, poison, false).tensor;
  }

  outputInts(shape: readonly number[]): I32 {
    const poison = new Int32Array(numElements(shape)).fill(-0x7f7f7f7f);
    return this.#operand('i32', shape, poison, false).tensor;
  }

  outputCodes<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const poison = new Float32Array(numElements(shape)).fill(Number.NaN);
    return this.#operand(dtype, shape, encode(dtype, poison), false).tensor;
  }

  /** To be added to, or changed in place. */
  changed<D extends DType>(dtype: D, shape: readonly number[], values?: HostArrays[D]): Operand<D> {
    return this.#operand(dtype, shape, values ?? encode(dtype, this.normal(shape)), false);
  }

  normal(shape: readonly number[]): Float32Array {
    return normalNumbers(this.random, numElements(shape));
  }

  /** What a tensor must hold in the end. Not asked the second time. */
  expect(tensor: Tensor, oracle: Oracle): void {
    this.#expected.push({ tensor, oracle });
  }

  /** An oracle's answer that the case itself needs: what an earlier pass has left behind. */
  answer(place: string, oracle: () => Expectation): Expectation {
    const key = `${this.#key} ${place}`;
    const expectation = this.#memory.get(key) ?? oracle();
    this.#memory.set(key, expectation);
    return expectation;
  }

  /** Everything that the case may have changed, after checking all that it may not have. */
  async finish({ compares }: { readonly compares: boolean }): Promise<HostArray[]> {
    const outputs: HostArray[] = [];
    for (const laid of this.#laid) {
      const view = await this.kernels.read(laid.view);
      await this.#checkGaps(laid);
      if (laid.isInput) assert(isSame(view, laid.before), `${laid.name} was changed`);
      else outputs.push(view);
    }
    if (compares) {
      for (const [place, { tensor, oracle }] of this.#expected.entries()) {
        const name = this.#laid.find(({ view }) => view === tensor)?.name ?? '';
        const expectation = this.answer(`${place}`, oracle);
        compare(name, decode(tensor.dtype, await this.kernels.read(tensor)), expectation);
      }
    }
    return outputs;
  }

  #operand<D extends DType>(
    dtype: D,
    shape: readonly number[],
    values: HostArrays[D],
    isInput: boolean,
  ): Operand<D> {
    assert(values.length === numElements(shape), `${values.length} values for [${shape}]`);
    const isPadded = this.#isStrided && shape.length > 1 && numElements(shape) > 0;
    const width = at(shape, shape.length - 1);
    const [left, right] = isPadded ? [this.random.integer(6), 1 + this.random.integer(9)] : [0, 0];
    const wholeShape = [...shape.slice(0, -1), left + width + right];
    const whole = this.#arena.allocate(dtype, wholeShape);
    if (isPadded) this.kernels.fill({ out: whole, value: SENTINEL });
    const view = columns(whole, left, left + width);
    this.kernels.write(view as Tensor, values);
    const name = `${isInput ? 'input' : 'output'} ${this.#laid.length} ${dtype}[${shape}]`;
    this.#laid.push({ name, whole, view, before: values, isInput });
    return { tensor: view, values };
  }

  async #checkGaps({ name, whole, view }: Laid): Promise<void> {
    const width = at(whole.shape, whole.shape.length - 1);
    const inside = at(view.shape, view.shape.length - 1);
    if (width === inside) return;
    const left = (view.byteOffset - whole.byteOffset) / bytesPerElement(whole.dtype);
    const all = await this.kernels.read(whole);
    const sentinel = at(encode(whole.dtype, Float32Array.of(SENTINEL)), 0);
    for (let i = 0; i < all.length; i++) {
      if (i % width === left) i += inside;
      if (i < all.length) assert(all[i] === sentinel, `the gap of ${name} was written`);
    }
  }
}

function compare(name: string, actual: Float64Array, { values, bounds }: Expectation): void {
  assert(actual.length === values.length, `${name}: the oracle gives ${values.length} values`);
  for (let i = 0; i < actual.length; i++) {
    const got = at(actual, i);
    const wanted = at(values, i);
    // NaN is near nothing but NaN, and a bound of 0 asks for equality.
    if (got === wanted || (Number.isNaN(got) && Number.isNaN(wanted))) continue;
    const bound = typeof bounds === 'number' ? bounds : at(bounds, i);
    const isNear = Math.abs(got - wanted) <= bound;
    assert(isNear, isNear ? '' : `${name} at ${i}: ${got} instead of ${wanted} ± ${bound}`);
  }
}
