/**
 * Kernels for a model whose routed experts are still being read from disk.
 *
 * A token needs few of a layer's experts, and which ones is known once its router has run. Two
 * operations read experts; while some are missing, both first find out which ones their rows chose
 * and have those fetched. All others are passed on, and so is everything once the last expert is
 * there: the model above does not know.
 *
 *     groupedMatmul       the offsets of its rows say which experts have any
 *     feedForwardDecode   chooses inside: it is run on a copy of its rows, counting, and what comes
 *                         of experts that are not there is thrown away
 *
 * Recordings made meanwhile are the calls themselves, checks and fetching included. They are not
 * current any more once all is there, so that whoever keeps them records the quick way.
 */

import { at } from '../base/assert.ts';
import type { Arena } from '../tensor/arena.ts';
import { hostArray } from '../tensor/tensor.ts';
import { wrapCalls } from './callShape.ts';
import type { F32, I32, Kernels, Weight } from './kernels.ts';
import { needRecorded, offerRecorder, type Recording, record } from './recording.ts';

export interface ExpertSource {
  /** Whether everything is there and nothing need be asked any more. */
  readonly isComplete: boolean;
  /** Whether this is a stack of experts, `[E, …]`, that may not all be there. */
  isPartial(weight: Weight): boolean;
  /** Returns when these of its experts are there, with all else that belongs to them. */
  need(weight: Weight, experts: readonly number[]): void;
}

/**
 * @param kernels whose tensors lie in the host's memory
 * @param arena for a copy of a few rows; nobody else's
 */
export function loadingKernels(kernels: Kernels, source: ExpertSource, arena: Arena): Kernels {
  const fetching = fetchingOperations(kernels, source, arena);
  const loading: Kernels = { ...kernels, ...fetching };
  offerRecorder(loading, (work) => {
    if (source.isComplete) return record(kernels, work);
    return recordCalls(loading, source, work);
  });
  return loading;
}

function fetchingOperations(
  kernels: Kernels,
  source: ExpertSource,
  arena: Arena,
): Pick<Kernels, 'groupedMatmul' | 'feedForwardDecode'> {
  return {
    groupedMatmul(args) {
      if (!source.isComplete && source.isPartial(args.b)) {
        source.need(args.b, expertsWithRows(args.offsets));
      }
      kernels.groupedMatmul(args);
    },
    feedForwardDecode(args) {
      const { routed, x_TD } = args;
      if (routed !== undefined && !source.isComplete && source.isPartial(routed.gateUp)) {
        const mark = arena.mark();
        const copy = arena.allocate('f32', x_TD.shape);
        const counts = arena.allocate('i32', routed.counts_E.shape);
        kernels.copy({ out: copy, x: x_TD });
        kernels.fill({ out: counts, value: 0 });
        kernels.feedForwardDecode({ ...args, x_TD: copy, routed: { ...routed, counts_E: counts } });
        finish(kernels, copy);
        source.need(routed.gateUp, expertsCounted(counts));
        arena.release(mark);
      }
      kernels.feedForwardDecode(args);
    },
  };
}

/** Few-row operations may wait in a queue for those behind them; any other ends the wait. */
function finish(kernels: Kernels, x: F32): void {
  kernels.fill({ out: x, value: 0 });
}

function expertsWithRows(offsets: I32): number[] {
  const begins = hostArray(offsets);
  const experts: number[] = [];
  for (let e = 0; e + 1 < begins.length; e++) {
    if (at(begins, e + 1) > at(begins, e)) experts.push(e);
  }
  return experts;
}

function expertsCounted(counts: I32): number[] {
  const experts: number[] = [];
  for (const [e, count] of hostArray(counts).entries()) if (count > 0) experts.push(e);
  return experts;
}

/** The calls, made again as they were, and only for as long as they must be. */
function recordCalls(
  kernels: Kernels,
  source: ExpertSource,
  work: (kernels: Kernels) => void,
): Recording {
  const calls: (() => void)[] = [];
  const noting = wrapCalls(kernels, ({ operation }, run) => {
    needRecorded(operation);
    run();
    calls.push(run);
  });
  work(noting);
  return {
    get isCurrent() {
      return !source.isComplete;
    },
    run: () => {
      for (const call of calls) call();
    },
  };
}
