/** For clocks around operations: some may wait in a queue for those behind them. */
import type { Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';

/**
 * What returns once everything that was called before has run: whoever writes a tensor waits.
 *
 * @param arena gives four bytes, for as long as this is called
 */
export function waitForQueued(kernels: Kernels, arena: Arena): () => void {
  const trifle = arena.allocate('i32', [1]);
  const zero = new Int32Array(1);
  return () => kernels.write(trifle, zero);
}
