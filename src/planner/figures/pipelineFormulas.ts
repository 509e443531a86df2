/**
 * Bubbles of pipeline schedules as the report's table 2 has them, and how often a rank of DualPipe
 * runs each of its eight phases. F, B and W are a chunk's forward, whole backward and weight
 * gradient in seconds, FB its forward overlapped with a backward.
 */
import { at } from '../../base/assert.ts';

export interface ChunkSeconds {
  readonly F: number;
  readonly B: number;
  readonly W: number;
  readonly FB: number;
}

export const bubbleSeconds = {
  '1f1b': (ranks: number, { F, B }: ChunkSeconds): number => (ranks - 1) * (F + B),
  zb1p: (ranks: number, { F, B, W }: ChunkSeconds): number => (ranks - 1) * (F + B - 2 * W),
  dualpipe: (ranks: number, { B, W, FB }: ChunkSeconds): number =>
    (ranks / 2 - 1) * (FB + B - 3 * W),
} as const;

/** Times that each phase is run: F0 | F0 F1 | B1 W F1 | FB FB | B1 FB | B1 B0 | W B0 | W. */
export function dualpipePhases(options: {
  readonly ranks: number;
  readonly numMicroBatches: number;
  readonly rank: number;
}): readonly number[] {
  const { ranks, numMicroBatches, rank } = options;
  const half = ranks / 2;
  const depth = Math.min(rank, ranks - 1 - rank);
  const inner = half - depth - 1;
  const overlapped = numMicroBatches / 2 - ranks + depth + 1;
  return [2 * inner, depth + 1, inner, overlapped, inner, depth + 1, inner, depth + 1];
}

/** Chunks that a rank runs alone or in pairs over a whole step. */
export function dualpipeChunks(phases: readonly number[]): {
  readonly forward: number;
  readonly pairs: number;
  readonly backward: number;
  readonly weight: number;
} {
  const phase = (number: number): number => at(phases, number - 1);
  return {
    forward: phase(1) + 2 * phase(2) + phase(3),
    pairs: 2 * phase(4) + phase(5),
    backward: phase(3) + phase(5) + 2 * phase(6) + phase(7),
    weight: phase(3) + phase(7) + phase(8),
  };
}
