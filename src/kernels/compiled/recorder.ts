/**
 * Arguments that crossed into compiled code, kept to cross again (`recording.ts` says what for).
 *
 * They are copied into arrays of their own that nothing else writes to, so that doing them again is
 * one call, whatever there is of them.
 */
import { assert } from '../../base/assert.ts';
import { hostArray, isContiguous, type Memory } from '../../tensor/tensor.ts';
import type { I32 } from '../kernels.ts';
import type { Recording } from '../recording.ts';
import { type IndexRange, needIndexRange } from './indices.ts';

/** Where arguments run from. */
export interface PreparedRuns {
  /** Counts up whenever memory is given back: addresses written down before may lead nowhere. */
  readonly generation: number;
  /** What runs so many operations, written one behind the other in `numbers`. */
  prepare(numbers: Float64Array, operations: number): () => void;
  /** The most numbers that `prepare` takes. */
  readonly mostNumbers: number;
  /** Lets operations run that wait before these. */
  flush(): void;
}

/** A list that an operation reads, and what writes it. */
interface List {
  readonly place: Float64Array;
  readonly write: (place: Float64Array) => void;
}

interface Part {
  readonly numbers: number[];
  operations: number;
}

export class CompiledRecorder {
  readonly #host: PreparedRuns;
  readonly #parts: Part[] = [];
  readonly #memories = new Set<Memory>();
  readonly #ranges: { readonly indices: I32; readonly range: IndexRange }[] = [];

  readonly #lists: List[] = [];

  constructor(host: PreparedRuns) {
    this.#host = host;
  }

  /** Operations as they are about to run, and the memory they point into. */
  add(numbers: Float64Array, operations: number, memories: Iterable<Memory>): void {
    let part = this.#parts[this.#parts.length - 1];
    if (part === undefined || part.numbers.length + numbers.length > this.#host.mostNumbers) {
      part = { numbers: [], operations: 0 };
      this.#parts.push(part);
    }
    for (const number of numbers) part.numbers.push(number);
    part.operations += operations;
    for (const memory of memories) this.#memories.add(memory);
  }

  /** Indices that were looked at for an operation, and will be again. */
  addIndices(what: string, indices: I32, limit: number, least: number): void {
    assert(isContiguous(indices), 'indices of a recording lie in one piece');
    const isKnown = this.#ranges.some(
      ({ indices: known, range }) =>
        known === indices && range.limit === limit && range.least === least,
    );
    if (isKnown) return;
    this.#ranges.push({ indices, range: { what, values: hostArray(indices), limit, least } });
  }

  addList(place: Float64Array, write: (place: Float64Array) => void): void {
    this.#lists.push({ place, write });
  }

  finish(): Recording {
    const parts = this.#parts.map(({ numbers, operations }) =>
      this.#host.prepare(Float64Array.from(numbers), operations),
    );
    const ranges = this.#ranges.map(({ range }) => range);
    const [lists, memories] = [this.#lists, [...this.#memories]];
    return new CompiledRecording(this.#host, { parts, ranges, lists, memories });
  }
}

class CompiledRecording implements Recording {
  readonly #host: PreparedRuns;
  readonly #generation: number;
  readonly #parts: readonly (() => void)[];
  readonly #ranges: readonly IndexRange[];
  readonly #lists: readonly List[];
  /** Held, so that pages stay for as long as they may be pointed into. */
  readonly memories: readonly Memory[];

  constructor(
    host: PreparedRuns,
    recorded: {
      readonly parts: readonly (() => void)[];
      readonly ranges: readonly IndexRange[];
      readonly lists: readonly List[];
      readonly memories: readonly Memory[];
    },
  ) {
    this.#host = host;
    this.#generation = host.generation;
    this.#parts = recorded.parts;
    this.#ranges = recorded.ranges;
    this.#lists = recorded.lists;
    this.memories = recorded.memories;
  }

  get isCurrent(): boolean {
    return this.#host.generation === this.#generation;
  }

  run(): void {
    assert(this.isCurrent, 'memory was given back since the recording');
    for (let i = 0; i < this.#ranges.length; i++) needIndexRange(this.#ranges[i] as IndexRange);
    for (let i = 0; i < this.#lists.length; i++) {
      const list = this.#lists[i] as List;
      list.write(list.place);
    }
    this.#host.flush();
    for (let i = 0; i < this.#parts.length; i++) (this.#parts[i] as () => void)();
  }
}
