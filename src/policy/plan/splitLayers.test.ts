/** Layers over stages: nothing lost, the busiest rank as light as an exhaustive search makes it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../base/assert.ts';
import { type SplitArgs, splitLayers } from './splitLayers.ts';

const oneChunk = (ranks: number): number[][] => Array.from({ length: ranks }, (_, j) => [j]);
const dualPipe = (ranks: number): number[][] =>
  Array.from({ length: ranks }, (_, j) => [j, ranks - 1 - j]);

function busiest(counts: readonly number[], args: SplitArgs): number {
  let layer = 0;
  const costs = counts.map((count, stage) => {
    let cost = stage === 0 ? args.embeddingCost : 0;
    if (stage === counts.length - 1) cost += args.headCost;
    for (let i = 0; i < count; i++) cost += at(args.layerCosts, layer++);
    return cost;
  });
  return Math.max(
    ...args.stagesOfRank.map((stages) => stages.reduce((sum, s) => sum + at(costs, s), 0)),
  );
}

function* everySplit(layers: number, stages: number, isFirst = true): Generator<number[]> {
  if (stages === 1) {
    yield [layers];
    return;
  }
  for (let count = isFirst ? 0 : 1; count <= layers; count++) {
    for (const rest of everySplit(layers - count, stages - 1, false)) yield [count, ...rest];
  }
}

test('splitLayers: no split of a small model has a lighter busiest rank', () => {
  const cost = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(
      fc.array(cost, { minLength: 4, maxLength: 9 }),
      fc.record({ embedding: cost, head: cost, isDual: fc.boolean() }),
      (layerCosts, { embedding, head, isDual }) => {
        const args = {
          layerCosts,
          embeddingCost: embedding,
          headCost: head,
          stagesOfRank: isDual ? dualPipe(4) : oneChunk(4),
        };
        const split = splitLayers(args);
        const counts = split.map(({ first, last }) => last - first);
        const least = Math.min(
          ...[...everySplit(layerCosts.length, 4)].map((each) => busiest(each, args)),
        );
        // Local moves end within one layer of the best; with layers alike they end at it.
        const slack = new Set(layerCosts).size === 1 ? 0 : Math.max(...layerCosts);
        assert.ok(busiest(counts, args) <= least + slack);
      },
    ),
  );
});

test('splitLayers: with layers alike the busiest rank is the lightest there is', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4, max: 10 }),
      fc.double({ min: 0, max: 4, noNaN: true }),
      fc.double({ min: 0, max: 4, noNaN: true }),
      fc.boolean(),
      (numLayers, embeddingCost, headCost, isDual) => {
        const layerCosts = new Array<number>(numLayers).fill(1);
        const stagesOfRank = isDual ? dualPipe(4) : oneChunk(4);
        const args = { layerCosts, embeddingCost, headCost, stagesOfRank };
        const counts = splitLayers(args).map(({ first, last }) => last - first);
        const least = Math.min(...[...everySplit(numLayers, 4)].map((each) => busiest(each, args)));
        assert.ok(busiest(counts, args) <= least + 1e-6);
      },
    ),
  );
});

test('splitLayers: 96 layers on eight ranks of three chunks are four everywhere', () => {
  // GPT-3 as Megatron cuts it; a sum over each rank alone would also take 7 + 2 + 3 layers.
  const [ranks, chunks] = [8, 3];
  const stagesOfRank = Array.from({ length: ranks }, (_, rank) =>
    Array.from({ length: chunks }, (_, chunk) => rank + chunk * ranks),
  );
  const liveChunksOfRank = stagesOfRank.map((_, rank) => [8, 8, Math.max(1, 15 - 2 * rank)]);
  const layerCosts = new Array<number>(96).fill(1);
  const ends = { embeddingCost: 0, headCost: 0.35 };
  const rounds = 'together' as const;
  const split = splitLayers({ layerCosts, ...ends, stagesOfRank, liveChunksOfRank, rounds });
  assert.deepEqual(new Set(split.map(({ first, last }) => last - first)), new Set([4]));
});

test('splitLayers: every layer is in one stage, in order, and only ends may have none', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 16 }),
      fc.integer({ min: 0, max: 50 }),
      fc.double({ min: 0, max: 20, noNaN: true }),
      (numStages, extra, headCost) => {
        const layerCosts = new Array<number>(numStages + extra).fill(1);
        const split = splitLayers({
          layerCosts,
          embeddingCost: 0.1,
          headCost,
          stagesOfRank: oneChunk(numStages),
        });
        assert.equal(split[0]?.first, 0);
        assert.equal(split.at(-1)?.last, layerCosts.length);
        for (let i = 1; i < split.length; i++) {
          assert.equal(at(split, i).first, at(split, i - 1).last);
        }
        assert.ok(split.slice(1, -1).every(({ first, last }) => last > first));
      },
    ),
  );
});

test('splitLayers: more inner stages than layers are refused', () => {
  assert.throws(
    () =>
      splitLayers({
        layerCosts: [1, 1],
        embeddingCost: 0,
        headCost: 0,
        stagesOfRank: oneChunk(8),
      }),
    /2 layers for 8 stages/,
  );
});

test('splitLayers: of splits with equal work one whose ranks keep evenly many activations', () => {
  // DualPipeV as V3 would cut it: 61 layers, a head worth three and a half, 16 stages on 8 ranks.
  const ranks = Array.from({ length: 8 }, (_, j) => j);
  const split = splitLayers({
    layerCosts: Array.from({ length: 61 }, (_, layer) => (layer < 3 ? 28.5 : 34.09)),
    embeddingCost: 0.16,
    headCost: 119.53,
    stagesOfRank: ranks.map((j) => [j, 15 - j]),
    liveChunksOfRank: ranks.map((j) => [16 - j, j + 1]),
  });
  assert.deepEqual(
    split.map(({ first, last }) => last - first),
    [...new Array<number>(15).fill(4), 1],
  );
});

test('splitLayers: with a layer for each inner stage, an end gives its own away', () => {
  // A cheap head draws a layer to the last stage, which an inner one needs.
  const ranks = Array.from({ length: 4 }, (_, j) => [j, 7 - j]);
  for (const headCost of [0, 0.5, 1, 8]) {
    for (const embeddingCost of [0, 0.5, 1, 8]) {
      const costs = { embeddingCost, headCost, layerCosts: new Array<number>(6).fill(1) };
      const split = splitLayers({ ...costs, stagesOfRank: ranks });
      const counts = split.map(({ first, last }) => last - first);
      assert.ok(
        counts.slice(1, -1).every((count) => count === 1),
        counts.join(' '),
      );
    }
  }
});
