/**
 * The order of an epoch, from nothing but seed, source and epoch: no state to save, and any epoch
 * can be reached without going through those before it. Documents are shuffled before packing and
 * sequences after it, so that neighbours in a batch are not neighbours in a text.
 */
import { Random } from '../../base/random.ts';

export interface EpochKey {
  readonly seed: number;
  /** Index of the source. */
  readonly pool: number;
  readonly epoch: number;
}

/** A permutation of 0 … length − 1. */
export function epochOrder(
  length: number,
  what: 'documents' | 'sequences',
  key: EpochKey,
): Uint32Array {
  return epochRandom(what, key).shuffle(Uint32Array.from({ length }, (_, index) => index));
}

/** The chance of one purpose in one epoch, apart from every other. */
export function epochRandom(purpose: string, { seed, pool, epoch }: EpochKey): Random {
  return new Random(seed, `${purpose}/${pool}/${epoch}`);
}
