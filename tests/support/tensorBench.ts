/** Tensors with known or chance numbers, for tests that call kernels by hand. */
import { Random } from '../../src/base/random.ts';
import type { F32, I32, Kernels } from '../../src/kernels/kernels.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { hostArray } from '../../src/tensor/tensor.ts';

export class TensorBench {
  readonly kernels: Kernels;
  readonly arena: Arena;
  readonly random: Random;

  constructor(kernels: Kernels, seed = 1) {
    this.kernels = kernels;
    this.arena = kernels.createArena('test');
    this.random = new Random(seed);
  }

  /** Standard normal numbers. */
  floats(...shape: readonly number[]): F32 {
    const tensor = this.arena.allocate('f32', shape);
    const values = hostArray(tensor);
    for (let i = 0; i < values.length; i++) values[i] = this.random.normal();
    return tensor;
  }

  given(values: ArrayLike<number>, ...shape: readonly number[]): F32 {
    const tensor = this.arena.allocate('f32', shape.length === 0 ? [values.length] : shape);
    hostArray(tensor).set(values);
    return tensor;
  }

  ints(values: readonly number[], ...shape: readonly number[]): I32 {
    const tensor = this.arena.allocate('i32', shape.length === 0 ? [values.length] : shape);
    hostArray(tensor).set(values);
    return tensor;
  }

  /** NaN everywhere, so that what is left unwritten shows. */
  output(...shape: readonly number[]): F32 {
    const tensor = this.arena.allocate('f32', shape);
    hostArray(tensor).fill(Number.NaN);
    return tensor;
  }
}
