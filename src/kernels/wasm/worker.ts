/** What a worker of the WebAssembly kernels does with the seat that it was sent: all its life. */
import { assert } from '../../base/assert.ts';
import type { WorkerSeat } from './instance.ts';
import { instantiate } from './webAssembly.ts';

export function runWorker({ module, memory, stackTop }: WorkerSeat): void {
  const exports = instantiate(module, memory, () => {
    assert(false, 'scratch is for whole operations, not for one thread');
  });
  exports.__stack_pointer.value = stackTop;
  try {
    exports.work();
  } catch (error) {
    // The others wait for this share: they must learn that nobody does it.
    exports.abandon();
    throw error;
  }
}
