/**
 * How an operation's arguments cross into the addon: written into an array both sides share, then
 * one call with the operation's number. No object is made per call, and its cost (about 60 ns)
 * does not grow with the arguments. The C++ side reads them in the same order (`csrc/operation.h`).
 *
 *     call.begin().tensor(out).tensor(x).number(eps).run(operation)
 */
import { assert } from '../../base/assert.ts';
import type { DType } from '../../tensor/dtype.ts';
import { type Memory, numColumns, numRows, type Tensor } from '../../tensor/tensor.ts';
import type { Weight } from '../kernels.ts';
import type { NativeAddon } from './addon.ts';

/** Memory from the addon, whose address is known without asking. */
export class NativeMemory implements Memory {
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  readonly address: number;

  constructor(buffer: ArrayBuffer, address: number) {
    this.buffer = buffer;
    this.byteLength = buffer.byteLength;
    this.address = address;
  }
}

const DTYPE_NUMBERS: Record<DType, number> = { f32: 0, bf16: 1, f16: 2, f8e4m3: 3, i32: 4 };
/** The first two entries of the array: instruction set and thread count. */
const FIRST_ARGUMENT = 2;

export class NativeCall {
  readonly #addon: NativeAddon;
  readonly #arguments: Float64Array;
  readonly #isa: number;
  readonly #threads: number;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #addresses = new WeakMap<ArrayBufferLike, number>();
  #next = FIRST_ARGUMENT;
  #lists: Float64Array = new Float64Array(64);
  #listsUsed = 0;

  constructor(addon: NativeAddon, isa: number, threads: number) {
    this.#addon = addon;
    this.#arguments = addon.arguments;
    this.#isa = isa;
    this.#threads = threads;
    this.#numbers = new Map(addon.operations.map((name, index) => [name, index]));
  }

  /** The number of an operation, looked up once when the kernels are made. */
  operation(name: string): number {
    const number = this.#numbers.get(name);
    assert(number !== undefined, `the addon has no operation ${name}`);
    return number;
  }

  begin(): this {
    this.#next = FIRST_ARGUMENT;
    this.#listsUsed = 0;
    return this;
  }

  /** Read by `Args::matrix`, `vector` or `any`: address, rows, columns, row stride, dtype. */
  tensor(tensor: Tensor): this {
    const values = this.#arguments;
    const next = this.#next;
    values[next] = this.#address(tensor.memory) + tensor.byteOffset;
    values[next + 1] = numRows(tensor);
    values[next + 2] = numColumns(tensor);
    values[next + 3] = tensor.rowStride;
    values[next + 4] = DTYPE_NUMBERS[tensor.dtype];
    this.#next = next + 5;
    return this;
  }

  /** A tensor that may be left out: a null pointer on the other side. */
  optional(tensor: Tensor | undefined): this {
    if (tensor !== undefined) return this.tensor(tensor);
    this.#arguments.fill(0, this.#next, this.#next + 5);
    this.#next += 5;
    return this;
  }

  /** Read by `Args::weights`. */
  weight(weight: Weight): this {
    return this.tensor(weight.values).optional(weight.scales);
  }

  /** Weights that may be left out. */
  optionalWeight(weight: Weight | undefined): this {
    return this.optional(weight?.values).optional(weight?.scales);
  }

  /** Read by `Args::number`, `real` or `integer`. */
  number(value: number): this {
    this.#arguments[this.#next++] = value;
    return this;
  }

  /** Read by `Args::flag`. */
  flag(value: boolean | undefined): this {
    return this.number(value === true ? 1 : 0);
  }

  /** Read by `Args::list`; one list per call. */
  list(values: readonly number[]): this {
    assert(this.#listsUsed === 0, 'an operation takes one list at most');
    if (values.length > this.#lists.length) this.#lists = new Float64Array(2 * values.length);
    this.#lists.set(values);
    this.#listsUsed = values.length;
    return this.number(this.#lookUp(this.#lists.buffer)).number(values.length);
  }

  run(operation: number): void {
    assert(this.#next <= this.#arguments.length, 'too many arguments');
    this.#arguments[0] = this.#isa;
    this.#arguments[1] = this.#threads;
    this.#addon.run(operation);
  }

  #address(memory: Memory): number {
    if (memory instanceof NativeMemory) return memory.address;
    const { buffer } = memory;
    assert(buffer !== null, 'the tensor has no host memory');
    return this.#lookUp(buffer);
  }

  /** Backing stores do not move, so an address holds as long as its buffer lives. */
  #lookUp(buffer: ArrayBufferLike): number {
    let address = this.#addresses.get(buffer);
    if (address === undefined) {
      address = this.#addon.address(new Uint8Array(buffer));
      this.#addresses.set(buffer, address);
    }
    return address;
  }
}
