/**
 * The truth: every operation as the plainest loop there is, sums in doubles, on host memory. Slow
 * on purpose. One contract (`tests/kernelContract`) holds it and the other backends to oracles of
 * its own, and goldens hold it to an independent implementation.
 */
import { assert } from '../base/assert.ts';
import { type Arena, ChunkArena } from '../tensor/arena.ts';
import type { DType } from '../tensor/dtype.ts';
import { packRows, unpackRows } from '../tensor/hostRows.ts';
import { hostArray, type Tensor } from '../tensor/tensor.ts';
import type { Kernels } from './kernels.ts';
import { attention } from './reference/attention.ts';
import { composeFeedForwardDecode, composeMlaDecode, type Parts } from './reference/decode.ts';
import { elementwise } from './reference/elementwise.ts';
import { ends } from './reference/ends.ts';
import { fp8 } from './reference/fp8.ts';
import { norm } from './reference/norm.ts';
import { optimiser } from './reference/optimiser.ts';
import { products } from './reference/products.ts';
import { routing } from './reference/routing.ts';
import { sampling } from './reference/sampling.ts';
import { checked, type Operations } from './shapes.ts';

export interface ReferenceOptions {
  /** Fills fresh tensors with NaN (wild integers), so that reading what nobody wrote shows. */
  readonly poison?: boolean;
}

export function createReferenceKernels(options: ReferenceOptions = {}): Kernels {
  return {
    name: 'reference',
    createArena: () => {
      const arena = new ChunkArena(hostMemory);
      return options.poison ? poisoned(arena) : arena;
    },
    read: async (tensor) => packRows(tensor),
    write: unpackRows,
    ...checked(operations),
  };
}

const operations: Operations = {
  ...elementwise,
  ...products,
  ...norm,
  ...attention,
  ...routing,
  ...ends,
  ...sampling,
  ...optimiser,
  ...fp8,
  mlaDecode: (args) => composeMlaDecode(parts(), args),
  feedForwardDecode: (args) => composeFeedForwardDecode(parts(), args),
};

function parts(): Parts {
  return { operations, arena: new ChunkArena(hostMemory) };
}

function hostMemory(byteLength: number): { byteLength: number; buffer: ArrayBuffer } {
  return { byteLength, buffer: new ArrayBuffer(byteLength) };
}

/** All bits set is NaN in every float we have; −1 would pass for an ignored target. */
function poisoned(arena: Arena): Arena {
  return {
    allocate: <D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> => {
      const tensor = arena.allocate(dtype, shape);
      const { buffer } = tensor.memory;
      assert(buffer !== null, 'host memory');
      const values = hostArray(tensor);
      new Uint8Array(buffer, tensor.byteOffset, values.byteLength).fill(
        dtype === 'i32' ? 0x81 : 0xff,
      );
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
