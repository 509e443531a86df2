/**
 * Kernels that compute nothing: they check shapes, count memory, and write down what each operation
 * costs. The simulator runs the real model on them and puts the records on a roofline.
 *
 *     const meta = createMetaKernels();
 *     model.forward(meta.kernels, …);                  // the real code, no bytes behind it
 *     meta.records                                     // { operation, kind, flops, bytesRead, … }
 *
 * Integers that the host writes (lengths, positions) are remembered, because costs of decode follow
 * from them. With `sampleRouting` the routed ids are integers from the host too, and offsets follow
 * from them. Any other number does not exist: reading one is our own mistake.
 */
import { assert, at } from '../base/assert.ts';
import { type Arena, ChunkArena } from '../tensor/arena.ts';
import type { DType, HostArrays } from '../tensor/dtype.ts';
import {
  isContiguous,
  type Memory,
  numColumns,
  numElements,
  numRows,
  type Tensor,
} from '../tensor/tensor.ts';
import type { Collectives, ExpertTransfer, Transfer } from './collectives.ts';
import type { F32, I32, Kernels, Operation, OperationArgs } from './kernels.ts';
import { type OperationCost, operationCost } from './operationCosts.ts';
import { checks, OPERATIONS, type Operations } from './shapes.ts';

export interface OperationRecord extends OperationCost {
  readonly operation: Operation | 'dispatch' | 'combine' | 'allReduce';
  /** What the caller was doing: `label` of the trace at that time. */
  readonly label: string;
  /** The call itself, for those who make it again on other kernels; none for a collective. */
  readonly args: Readonly<Record<string, unknown>> | undefined;
}

export interface OperationTrace {
  readonly records: OperationRecord[];
  /** Put on every record from now on: "layer 3 attention". */
  label: string;
}

export interface MetaKernels extends OperationTrace {
  readonly kernels: Kernels;
}

export interface MetaOptions {
  /**
   * Chooses experts in place of the gate, `[numTokens × expertsPerToken]`: made by
   * `policy/routing/gate.ts`. Without it every expert is taken to be used.
   */
  readonly sampleRouting?: (wanted: {
    readonly numTokens: number;
    readonly numExperts: number;
    readonly expertsPerToken: number;
  }) => Int32Array;
}

export function createMetaKernels(options: MetaOptions = {}): MetaKernels {
  const trace: OperationTrace = { records: [], label: '' };
  const numbers = new KnownIntegers();
  const kernels: Kernels = {
    name: 'meta',
    createArena: () => numbers.forgetting(new ChunkArena(noMemory)),
    read: async <D extends DType>(tensor: Tensor<D>): Promise<HostArrays[D]> => {
      const known = tensor.dtype === 'i32' ? numbers.get(tensor as I32) : undefined;
      assert(known, `meta kernels have no numbers to read in ${tensor.dtype}[${tensor.shape}]`);
      return known.slice() as HostArrays[D];
    },
    write: (tensor, values) => {
      assert(
        values.length === numElements(tensor.shape),
        `write of ${values.length} values to shape [${tensor.shape}]`,
      );
      if (isI32(tensor)) numbers.set(tensor, Int32Array.from(values));
    },
    ...recording(trace, numbers, options),
  };
  // One object, so that a label set here is the label the kernels see.
  return Object.assign(trace, { kernels });
}

/**
 * What other ranks would send, as shapes: every rank routes evenly, so as many rows come as go, and
 * each rank has its share of the experts. With an `imbalance` above 1 this rank is the busiest, and
 * that many times as many rows come. A rank keeps its own share of what it sends; an all-reduce is
 * a ring's, 2 (n − 1) / n of the tensor each way.
 *
 * @param arena where arriving rows are counted, a live rank needs the memory as well
 */
export function metaCollectives(
  trace: OperationTrace,
  options: {
    readonly size: number;
    readonly rank: number;
    readonly arena: Arena;
    readonly imbalance?: number;
  },
): Collectives {
  const { size, rank, arena, imbalance = 1 } = options;
  assert(rank >= 0 && rank < size, `rank ${rank} of ${size}`);
  assert(imbalance >= 1, `the busiest rank has ${imbalance} of the mean load`);
  const note = (operation: 'dispatch' | 'combine' | 'allReduce', tensor: F32): void => {
    const crossing = ((size - 1) / size) * (operation === 'allReduce' ? 2 : 1);
    const bytes = numElements(tensor.shape) * 4 * crossing;
    trace.records.push({
      operation,
      kind: 'communication',
      label: trace.label,
      flops: 0,
      recomputedFlops: 0,
      bytesRead: bytes,
      bytesWritten: bytes,
      sizes: { elements: numElements(tensor.shape), ranks: size },
      args: undefined,
    });
  };
  /** Rows that this rank sent, by the rows that came for them. */
  const sent = new Map<number, number>();
  const dispatch = (rows_RD: F32, offsets: I32): ExpertTransfer => {
    if (size === 1) return { finish: () => ({ rows_RD, offsets }) };
    note('dispatch', rows_RD);
    const numExperts = numElements(offsets.shape) - 1;
    assert(numExperts % size === 0, `${numExperts} experts on ${size} ranks`);
    const rows = Math.ceil(numRows(rows_RD) * imbalance);
    sent.set(rows, numRows(rows_RD));
    const arrived = arena.allocate('f32', [rows, numColumns(rows_RD)]);
    const own = arena.allocate('i32', [numExperts / size + 1]);
    return { finish: () => ({ rows_RD: arrived, offsets: own }) };
  };
  const combine = (rows_RD: F32): Transfer => {
    if (size === 1) return { finish: () => rows_RD };
    note('combine', rows_RD);
    const rows = sent.get(numRows(rows_RD)) ?? numRows(rows_RD);
    const arrived = arena.allocate('f32', [rows, numColumns(rows_RD)]);
    return { finish: () => arrived };
  };
  return {
    size,
    rank,
    dispatch,
    combine,
    allReduce: (tensor) => {
      if (size > 1) note('allReduce', tensor);
      return { finish: () => tensor };
    },
  };
}

/** Every operation: check, let the known integers follow, write the cost down. */
function recording(
  trace: OperationTrace,
  numbers: KnownIntegers,
  options: MetaOptions,
): Operations {
  const result: Partial<Record<Operation, unknown>> = {};
  const known = (tensor: I32): Int32Array | undefined => numbers.get(tensor);
  const add = <O extends Operation>(operation: O): void => {
    const check: Operations[O] = checks[operation];
    const follow: ((args: OperationArgs<O>) => void) | undefined = followers(numbers, options)[
      operation
    ];
    result[operation] = (args: OperationArgs<O>): void => {
      check(args);
      follow?.(args);
      const { label } = trace;
      const call = args as Readonly<Record<string, unknown>>;
      trace.records.push({
        operation,
        label,
        ...operationCost(operation, args, known),
        args: call,
      });
    };
  };
  for (const operation of OPERATIONS) add(operation);
  return result as Operations;
}

/** The operations that write integers: what is known of their outputs, or that nothing is. */
function followers(numbers: KnownIntegers, { sampleRouting }: MetaOptions): Partial<Operations> {
  return {
    fill: ({ out, value }) => {
      if (!isI32(out)) return;
      numbers.set(out, new Int32Array(numElements(out.shape)).fill(value));
    },
    copy: ({ out, x }) => {
      if (isI32(out) && isI32(x)) numbers.set(out, numbers.get(x));
    },
    routeTopK: ({ logits_TE, ids_TK, counts_E, rule: { expertsPerToken } }) => {
      const [numTokens, numExperts] = [at(logits_TE.shape, 0), at(logits_TE.shape, 1)];
      const ids = sampleRouting?.({ numTokens, numExperts, expertsPerToken });
      assert(
        ids === undefined || ids.length === numTokens * expertsPerToken,
        `${ids?.length} sampled ids for ${numTokens} tokens × ${expertsPerToken}`,
      );
      numbers.set(ids_TK, ids);
      const counts = numbers.get(counts_E)?.slice();
      for (const id of ids ?? []) if (counts) counts[id] = at(counts, id) + 1;
      numbers.set(counts_E, ids && counts);
    },
    sampleTokens: ({ ids_T }) => numbers.set(ids_T, undefined),
    topTokens: ({ ids_TN }) => numbers.set(ids_TN, undefined),
    sortByExpert: ({ offsets, slot_R, row_TK, ids_TK }) => {
      const ids = numbers.get(ids_TK);
      const sorted = ids && sortedByExpert(ids, numColumns(offsets) - 1);
      numbers.set(offsets, sorted?.offsets);
      numbers.set(slot_R, sorted?.slots);
      numbers.set(row_TK, sorted?.rows);
    },
  };
}

function isI32(tensor: Tensor): tensor is I32 {
  return tensor.dtype === 'i32';
}

/** As `sortByExpert` does it: a counting sort. */
function sortedByExpert(
  ids: Int32Array,
  numExperts: number,
): { offsets: Int32Array; slots: Int32Array; rows: Int32Array } {
  const offsets = new Int32Array(numExperts + 1);
  for (const id of ids) {
    assert(id >= 0 && id < numExperts, `sampled expert ${id} of ${numExperts}`);
    offsets[id + 1] = at(offsets, id + 1) + 1;
  }
  for (let e = 0; e < numExperts; e++) offsets[e + 1] = at(offsets, e + 1) + at(offsets, e);
  const next = offsets.slice();
  const slots = new Int32Array(ids.length);
  const rows = new Int32Array(ids.length);
  for (let slot = 0; slot < ids.length; slot++) {
    const id = at(ids, slot);
    const row = at(next, id);
    next[id] = row + 1;
    slots[row] = slot;
    rows[slot] = row;
  }
  return { offsets, slots, rows };
}

function noMemory(byteLength: number): Memory {
  return { byteLength, buffer: null };
}

/** The integers that exist, by where they would lie. */
class KnownIntegers {
  readonly #values = new WeakMap<Memory, Map<number, Int32Array>>();

  get(tensor: I32): Int32Array | undefined {
    const values = this.#values.get(tensor.memory)?.get(tensor.byteOffset);
    const isWhole = isContiguous(tensor) && values?.length === numElements(tensor.shape);
    return isWhole ? values : undefined;
  }

  /** `undefined`: whatever was known there is no longer so. */
  set(tensor: I32, values: Int32Array | undefined): void {
    if (values === undefined) {
      this.#values.get(tensor.memory)?.delete(tensor.byteOffset);
      return;
    }
    const places = this.#values.get(tensor.memory) ?? new Map<number, Int32Array>();
    this.#values.set(tensor.memory, places);
    places.set(tensor.byteOffset, values);
  }

  /** An arena whose fresh tensors know nothing of what lay there before. */
  forgetting(arena: Arena): Arena {
    return {
      allocate: <D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> => {
        const tensor = arena.allocate(dtype, shape);
        this.#values.get(tensor.memory)?.delete(tensor.byteOffset);
        return tensor;
      },
      mark: () => arena.mark(),
      release: (mark) => arena.release(mark),
      free: () => arena.free(),
      get usedBytes() {
        return arena.usedBytes;
      },
      get peakBytes() {
        return arena.peakBytes;
      },
      get reservedBytes() {
        return arena.reservedBytes;
      },
    };
  }
}
