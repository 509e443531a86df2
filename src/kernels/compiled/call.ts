/**
 * How an operation's arguments cross into compiled code: written into an array both sides share,
 * behind the operation's number and their count, then one call. No object is made per call, and its
 * cost (about 60 ns) does not grow with the arguments. The C++ side reads them in the same order
 * (`csrc/operation.h`).
 *
 *     call.begin().tensor(out).tensor(x).number(eps).run(operation)
 *
 * `queue` in place of `run` leaves an operation in the array until another one runs or the host
 * reads or writes a tensor: the layers of a decode step go over together. In a step that drags all
 * weights through the caches JavaScript finds its own code gone each time it is come back to, which
 * cost 20 µs an operation, with the other threads waiting.
 */
import { assert } from '../../base/assert.ts';
import type { DType } from '../../tensor/dtype.ts';
import { type Memory, numColumns, numRows, type Tensor } from '../../tensor/tensor.ts';
import type { I32, Weight } from '../kernels.ts';
import { needRecorded, type Recording } from '../recording.ts';
import { needIndices } from './indices.ts';
import { CompiledRecorder, type PreparedRuns } from './recorder.ts';

/** Where compiled operations run: the C++ addon, or a WebAssembly module. */
export interface KernelHost {
  /** Names of operations; `arguments` carry the index. */
  readonly operations: readonly string[];
  /**
   * Operations to run, each its number, the count of its arguments, and these. May be another view
   * after an operation has run.
   */
  readonly arguments: Float64Array;
  /**
   * Where the memory begins, as compiled code sees it.
   *
   * @throws kernels.foreignMemory when compiled code cannot reach it
   */
  addressOf(memory: Memory): number;
  /** Memory for a list of so many doubles, for as long as it is referred to. */
  allocateList(length: number): Memory;
  /** Whether `run` takes several. */
  readonly canQueue: boolean;
  /** Runs the first `operations` of `arguments`, in order. */
  run(operations: number): void;
  /** Absent where arguments have one place only. */
  readonly prepared?: Pick<PreparedRuns, 'prepare' | 'mostNumbers'>;
}

const DTYPE_NUMBERS: Record<DType, number> = { f32: 0, bf16: 1, f16: 2, f8e4m3: 3, i32: 4 };
const FIRST_LIST = 64;
/** Numbers before an operation's arguments. */
const HEAD = 2;
/** More than any queued operation takes. */
const MOST_QUEUED = 160;

/** Arguments written down, and the memory they point into. */
export interface PackedArguments {
  readonly numbers: Float64Array;
  readonly memories: readonly Memory[];
}

export class KernelCall {
  readonly #host: KernelHost;
  readonly #numbers: ReadonlyMap<string, number>;
  #arguments: Float64Array;
  /** Where the operation that is being written begins; what lies before is queued. */
  #start = 0;
  #queued = 0;
  /**
   * Memory that queued operations point into. Their tensors may be dropped before they run (a step
   * that was given up), and pages that nobody refers to go back to the system.
   */
  readonly #held = new Set<Memory>();
  #isQueuing = false;
  #packing: Memory[] | null = null;
  #next = 0;
  #listMemory: Memory | null = null;
  #hasList = false;
  #recorder: CompiledRecorder | null = null;
  #generation = 0;

  constructor(host: KernelHost) {
    this.#host = host;
    this.#arguments = host.arguments;
    this.#numbers = new Map(host.operations.map((name, index) => [name, index]));
  }

  /** The number of an operation, looked up once when the kernels are made. */
  operation(name: string): number {
    const number = this.#numbers.get(name);
    assert(number !== undefined, `the compiled kernels have no operation ${name}`);
    return number;
  }

  begin(): this {
    if (this.#queued > 0) this.flush();
    this.#arguments = this.#host.arguments;
    this.#isQueuing = false;
    this.#next = HEAD;
    this.#hasList = false;
    return this;
  }

  /** As `begin`, for an operation that will be queued behind those that are. */
  beginQueued(): this {
    if (this.#start + MOST_QUEUED > this.#arguments.length) this.flush();
    if (this.#queued === 0) this.begin();
    this.#isQueuing = true;
    this.#next = this.#start + HEAD;
    return this;
  }

  /** Read by `Args::matrix`, `vector` or `any`: address, rows, columns, row stride, dtype. */
  tensor(tensor: Tensor): this {
    this.#hold(tensor.memory);
    this.#packing?.push(tensor.memory);
    const values = this.#arguments;
    const next = this.#next;
    values[next] = this.#host.addressOf(tensor.memory) + tensor.byteOffset;
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
    return this.optionalWeight(weight);
  }

  /** Weights that may be left out. */
  optionalWeight(weight: Weight | undefined): this {
    const specials = weight?.specialCodes;
    this.optional(weight?.values).optional(weight?.scales);
    return this.#address(specials?.begins).#address(specials?.entries);
  }

  /** Where a contiguous tensor that may be left out begins. */
  #address(tensor: Tensor | undefined): this {
    if (tensor === undefined) return this.number(0);
    this.#hold(tensor.memory);
    this.#packing?.push(tensor.memory);
    return this.number(this.#host.addressOf(tensor.memory) + tensor.byteOffset);
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
    assert(this.#recorder === null, 'a list that cannot be recorded');
    return this.listOf(values.length, (place) => place.set(values));
  }

  /** A list of so many numbers as `write` writes it; a recording writes it anew each time. */
  listOf(length: number, write: (place: Float64Array) => void): this {
    assert(!this.#hasList, 'an operation takes one list at most');
    this.#hasList = true;
    const memory = this.#roomForList(length);
    const { buffer, byteOffset = 0 } = memory;
    assert(buffer !== null, 'a list lies in host memory');
    const place = new Float64Array(buffer, byteOffset, length);
    write(place);
    if (this.#recorder !== null) {
      this.#recorder.addList(place, write);
      // The recording keeps it.
      this.#listMemory = null;
    }
    return this.number(this.#host.addressOf(memory)).number(length);
  }

  /** What runs later, or again, must still be there. */
  #hold(memory: Memory): void {
    if (this.#isQueuing || this.#recorder !== null) this.#held.add(memory);
  }

  /** Arguments as `write` writes them, for `packed`; they are not passed yet. */
  pack(write: () => void): PackedArguments {
    const start = this.#next;
    const memories: Memory[] = [];
    this.#packing = memories;
    try {
      write();
    } finally {
      this.#packing = null;
    }
    const numbers = this.#arguments.slice(start, this.#next);
    this.#next = start;
    return { numbers, memories };
  }

  packed({ numbers, memories }: PackedArguments): this {
    this.#arguments.set(numbers, this.#next);
    this.#next += numbers.length;
    for (let i = 0; i < memories.length; i++) this.#hold(memories[i] as Memory);
    return this;
  }

  run(operation: number): void {
    this.#close(operation);
    this.flush();
  }

  /** Lets an operation wait for those behind it; it may not take a list. */
  queue(operation: number): void {
    assert(this.#next - this.#start <= MOST_QUEUED, 'more arguments than a queued operation has');
    this.#close(operation);
    if (!this.#host.canQueue) this.flush();
  }

  #close(operation: number): void {
    assert(this.#next <= this.#arguments.length, 'too many arguments');
    if (this.#recorder !== null) needRecorded(this.#host.operations[operation] ?? '');
    this.#arguments[this.#start] = operation;
    this.#arguments[this.#start + 1] = this.#next - this.#start - HEAD;
    this.#start = this.#next;
    this.#queued++;
  }

  /** Runs what is queued. */
  flush(): void {
    const count = this.#queued;
    if (count === 0) return;
    this.#recorder?.add(this.#arguments.subarray(0, this.#start), count, this.#held);
    this.#start = 0;
    this.#queued = 0;
    try {
      this.#host.run(count);
    } finally {
      this.#held.clear();
    }
  }

  /** Indices that the next operation follows, as `needIndices`; a recording looks again. */
  indices(what: string, indices: I32, limit: number, least = 0): void {
    needIndices(what, indices, limit, least);
    this.#recorder?.addIndices(what, indices, limit, least);
  }

  /** Before the host reads or writes a tensor. */
  wait(): void {
    assert(this.#recorder === null, 'a recording reads or writes a tensor');
    this.flush();
  }

  /** Counts up whenever memory is given back: what was packed or recorded before may be stale. */
  get generation(): number {
    return this.#generation;
  }

  /** Before memory is given back. */
  waitToGiveBack(): void {
    assert(this.#recorder === null, 'a recording gives memory back');
    // What waits may point into it.
    this.flush();
    this.#generation++;
  }

  /** Runs `work` and writes down what crosses; the host must have `prepared`. */
  record(work: () => void): Recording {
    const { prepared } = this.#host;
    assert(prepared !== undefined && this.#recorder === null, 'one recording at a time');
    this.flush();
    const call = this;
    const recorder = new CompiledRecorder({
      prepare: (numbers, operations) => prepared.prepare(numbers, operations),
      mostNumbers: prepared.mostNumbers,
      flush: () => call.flush(),
      get generation() {
        return call.#generation;
      },
    });
    this.#recorder = recorder;
    try {
      work();
      this.flush();
    } finally {
      this.#recorder = null;
    }
    return recorder.finish();
  }

  #roomForList(length: number): Memory {
    if (this.#listMemory === null || this.#listMemory.byteLength < 8 * length) {
      this.#listMemory = this.#host.allocateList(Math.max(FIRST_LIST, 2 * length));
      // Taking memory may have left the view behind; what was written to it is in the new one.
      this.#arguments = this.#host.arguments;
    }
    return this.#listMemory;
  }
}
