/**
 * Where the time of real passes goes: the same kernels with a clock around every operation, priced
 * in FLOPs and bytes by its shapes, and by the routing and cache lengths that it was given.
 *
 * These kernels finish before they return, those that would queue up too. A clock costs a tenth of
 * a microsecond or two a call, so passes that are timed as a whole run without it. Integers that a
 * price needs are read from host memory after the call.
 */
import type { Clock } from '../base/clock.ts';
import { callShape, isTensor, type OperationCall, wrapCalls } from '../kernels/callShape.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { operationCost } from '../kernels/operationCosts.ts';
import { hostArray, type Tensor } from '../tensor/tensor.ts';
import { waitForQueued } from './waitForQueued.ts';

/** Calls of one operation, layout and types (or of one shape), summed. */
export interface OperationTotals {
  readonly operation: string;
  readonly calls: number;
  readonly seconds: number;
  /** What is computed again in backward included. */
  readonly flops: number;
  readonly bytes: number;
}

export class OperationProfile {
  readonly kernels: Kernels;
  readonly #totals = new Map<string, OperationTotals>();
  /** Distinct experts of every routing, summed, and how many routings there were. */
  #distinctExperts = 0;
  #numRoutings = 0;
  #isOn = false;
  #seconds = 0;
  #spentHere = 0;
  readonly #clock: Clock;
  readonly #by: 'family' | 'key';

  /** @param by one line for each family of calls, or for each shape (`callShape`) */
  constructor(kernels: Kernels, clock: Clock, by: 'family' | 'key' = 'family') {
    this.#clock = clock;
    this.#by = by;
    const wait = waitForQueued(kernels, kernels.createArena('profile'));
    this.kernels = wrapCalls(kernels, (call, run) => {
      if (!this.#isOn) return run();
      const before = loadOf(call)?.slice();
      const start = clock.now();
      run();
      wait();
      const end = clock.now();
      this.#add(call, end - start);
      this.#countExperts(call, before);
      this.#spentHere += clock.now() - end;
    });
  }

  /** Counts what `work` calls; outside of it calls pass through. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const start = this.#clock.now();
    this.#isOn = true;
    try {
      return await work();
    } finally {
      this.#isOn = false;
      this.#seconds += this.#clock.now() - start;
    }
  }

  /** What passed in `during`, operations and what lies between them, less our own sums. */
  get seconds(): number {
    return this.#seconds - this.#spentHere;
  }

  get totals(): readonly OperationTotals[] {
    return [...this.#totals.values()].toSorted((a, b) => b.seconds - a.seconds);
  }

  /** Experts that the tokens of one pass chose in one layer, on average; null without routing. */
  get expertsPerRouting(): number | null {
    return this.#numRoutings === 0 ? null : this.#distinctExperts / this.#numRoutings;
  }

  #add(call: OperationCall, seconds: number): void {
    const operation = callShape(call)[this.#by];
    const cost = operationCost(call.operation, call.args as never, hostArray);
    const sum = this.#totals.get(operation);
    this.#totals.set(operation, {
      operation,
      calls: (sum?.calls ?? 0) + 1,
      seconds: (sum?.seconds ?? 0) + seconds,
      flops: (sum?.flops ?? 0) + cost.flops + cost.recomputedFlops,
      bytes: (sum?.bytes ?? 0) + cost.bytesRead + cost.bytesWritten,
    });
  }

  /** Of whoever is given a routing (if several are, each counts the same again), or makes one. */
  #countExperts({ args }: OperationCall, before: Int32Array | undefined): void {
    if (before !== undefined) {
      const after = loadOf({ args });
      this.#distinctExperts += before.filter((count, expert) => count !== after?.[expert]).length;
    } else if (isTensor(args.ids_TK)) {
      this.#distinctExperts += new Set(hostArray(args.ids_TK as Tensor<'i32'>)).size;
    } else {
      return;
    }
    this.#numRoutings++;
  }
}

/** How many tokens each expert has had, where an operation routes and computes in one. */
function loadOf({ args }: Pick<OperationCall, 'args'>): Int32Array | undefined {
  const routed = args.routed as { readonly counts_E?: Tensor<'i32'> } | undefined;
  return routed?.counts_E && hostArray(routed.counts_E);
}
