/**
 * Decodes more rows than the decode kernels take at once: group after group, so that every row has
 * the bits it would have alone, also where one sequence has many rows (positions that were
 * generated before and are run again).
 */
import { at } from '../base/assert.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { slices } from '../tensor/tensor.ts';
import { allocateF32, type StepContext } from './context.ts';
import type { DecodePasses } from './decodePasses.ts';
import type { States } from './inference.ts';
import type { SequenceRows } from './servingRows.ts';

/** Sequences in their order, cut where a group of `mostRows` is full. */
export function decodeGroups(
  sequences: readonly SequenceRows[],
  mostRows: number,
): SequenceRows[][] {
  const groups: SequenceRows[][] = [];
  let free = 0;
  for (const { ids, firstPosition, blocks } of sequences) {
    for (let from = 0; from < ids.length; ) {
      if (free === 0) {
        groups.push([]);
        free = mostRows;
      }
      const part = ids.slice(from, from + free);
      at(groups, groups.length - 1).push({
        ids: part,
        firstPosition: firstPosition + from,
        blocks,
      });
      from += part.length;
      free -= part.length;
    }
  }
  return groups;
}

/** States of all rows, sequence after sequence; rows of a group wait for those before. */
export function runDecodeGroups(
  context: StepContext,
  passes: DecodePasses,
  groups: readonly (readonly SequenceRows[])[],
): States {
  const total = groups.reduce((sum, group) => sum + numRowsOf(group), 0);
  const { hiddenSize } = passes.config;
  const all = {
    postNorm: allocateF32(context, total, hiddenSize),
    preNorm: allocateF32(context, total, hiddenSize),
  };
  let row = 0;
  for (const group of groups) {
    const { states } = passes.run(group);
    const end = row + numRowsOf(group);
    context.kernels.copy({ out: slices(all.postNorm, row, end), x: states.postNorm });
    context.kernels.copy({ out: slices(all.preNorm, row, end), x: states.preNorm });
    row = end;
  }
  return all;
}

export function numRowsOf(sequences: readonly SequenceRows[]): number {
  return sequences.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** Kernels whose products give a row the same bits however many there are. */
export function tiledKernels(kernels: Kernels): Kernels {
  return {
    ...kernels,
    matmul: (args) => kernels.matmul({ order: 'tiled', ...args }),
    groupedMatmul: (args) => kernels.groupedMatmul({ order: 'tiled', ...args }),
  };
}
