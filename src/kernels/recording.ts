/**
 * Operations done once and then again on the same tensors, whose contents may have changed: what a
 * decode step does for every token.
 *
 *     const recording = record(kernels, (kernels) => { kernels.rmsNorm(…); kernels.matmul(…); });
 *     kernels.write(x, …);
 *     recording.run();
 *
 * Checks of shapes, and the writing down of arguments, are not made again: tensors and weights do
 * not change once made. What can change is looked at each time, namely indices that operations
 * follow (the host writes them), rules and positions of `sampleTokens` (its arrays may be filled
 * anew), and whether the memory is still there.
 */
import { AssertionError, assert } from '../base/assert.ts';
import { wrapCalls } from './callShape.ts';
import type { Kernels } from './kernels.ts';

export interface Recording {
  /** Whether it may be run: no memory was given back since. */
  readonly isCurrent: boolean;
  /** The operations in their order; they have run when this returns. */
  run(): void;
}

/** Runs `work` and writes down what it does. */
type Recorder = (work: (kernels: Kernels) => void) => Recording;

const recorders = new WeakMap<Kernels, Recorder>();

/** Kernels that have a quicker way to do operations again than one by one. */
export function offerRecorder(kernels: Kernels, recorder: Recorder): void {
  recorders.set(kernels, recorder);
}

/**
 * Runs `work`, which calls nothing but operations, all of them on the kernels it is given.
 *
 * It may call `RECORDED` operations only: none of them writes integers that another one follows.
 */
export function record(kernels: Kernels, work: (kernels: Kernels) => void): Recording {
  return recorders.get(kernels)?.(work) ?? noteCalls(kernels, work);
}

/** The calls themselves, made again one by one with all their checks. */
function noteCalls(kernels: Kernels, work: (kernels: Kernels) => void): Recording {
  const calls: (() => void)[] = [];
  const noting = wrapCalls(kernels, ({ operation }, run) => {
    needRecorded(operation);
    run();
    calls.push(run);
  });
  const refuse = (): never => {
    throw new AssertionError('a recording reads or writes a tensor');
  };
  work({ ...noting, read: refuse, write: refuse });
  return {
    isCurrent: true,
    run: () => {
      for (const call of calls) call();
    },
  };
}

/** None writes integers that another one follows. */
export const RECORDED: ReadonlySet<string> = new Set([
  'embedding',
  'rmsNorm',
  'matmul',
  'mlaDecode',
  'feedForwardDecode',
  'sampleTokens',
]);

/** Refuses what cannot be done again blindly. */
export function needRecorded(operation: string): void {
  const isRecorded = RECORDED.has(operation);
  assert(isRecorded, isRecorded ? '' : `${operation} in a recording`);
}
