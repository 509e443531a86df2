/**
 * Recompute policy `auto`: every rank makes again what costs the fewest FLOPs and lets it fit. What
 * there is to choose comes from the memory model, the choice from the policy, and the result is
 * estimated again as a whole, so that what is said to fit does.
 */

import { at } from '../../base/assert.ts';
import { chooseRecompute, type RecomputeChoice } from '../../policy/recompute/chooseRecompute.ts';
import {
  estimateMemory,
  type LayerRecompute,
  type MemoryInput,
  type RankMemory,
} from '../../simulator/memory/estimateMemory.ts';
import {
  layerChoices,
  type RankOptions,
  recomputeOptions,
} from '../../simulator/memory/recomputeOptions.ts';

export interface AutoRecompute {
  readonly recompute: LayerRecompute;
  readonly ranks: readonly RankMemory[];
}

/** @returns null when some rank does not fit even with everything made again */
export function autoRecompute(input: MemoryInput, capBytes: number): AutoRecompute | null {
  const options = recomputeOptions(input, capBytes);
  const choices: RecomputeChoice[] = [];
  // Ranks with the same layers alive have the same choice: DualPipe's come in pairs.
  const made = new Map<string, RecomputeChoice>();
  for (const rank of options) {
    const key = rankKey(rank);
    const choice = made.get(key) ?? chooseRecompute(rank.groups, rank.room);
    if (choice === null) return null;
    made.set(key, choice);
    choices.push(choice);
  }
  const known = new Map<number, RankOptions>(options.entries());
  for (;;) {
    const recompute = layerChoices(
      choices.map(({ counts }, rank) => ({ counts, groups: at(options, rank).groups })),
    );
    const ranks = estimateMemory({ ...input, recompute });
    const over = ranks.filter(({ peak }) => peak.total > capBytes);
    if (over.length === 0) return { recompute, ranks };
    // A layer's work may be largest in forward and another's in backward: less room, once more.
    for (const { rank, peak } of over) {
      const { room, groups } = known.get(rank) ?? at(options, rank);
      const less = { groups, room: room - (peak.total - capBytes) };
      const choice = chooseRecompute(groups, less.room);
      if (choice === null) return null;
      known.set(rank, less);
      choices[rank] = choice;
    }
  }
}

function rankKey({ room, groups }: RankOptions): string {
  const sizes = groups.map(({ numLayers, options }) => [numLayers, ...options.map(bytesOf)]);
  return `${room}:${sizes.join(';')}`;
}

function bytesOf({ bytes }: { readonly bytes: number }): number {
  return bytes;
}
