/** Merging, short and long, held to the definition: lowest rank first, leftmost among equals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type MergeTable, WordMerger } from './mergeWord.ts';
import { PairTable } from './pairTable.ts';

/** A random but sound set of rules over the symbols 0 … 2: each rule joins tokens made before. */
const rules = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }).map((choices) => {
  let numTokens = 3;
  return choices.map(([a, b]) => {
    const rule = { left: a % numTokens, right: b % numTokens, merged: numTokens };
    numTokens++;
    return rule;
  });
});

type Rules = readonly { left: number; right: number; merged: number }[];

function tableOf(list: Rules): MergeTable {
  const pairs = new PairTable(list.length);
  list.forEach(({ left, right }, rank) => {
    pairs.set(left, right, rank);
  });
  return { pairs, mergedIds: Int32Array.from(list, (rule) => rule.merged) };
}

function mergedByDefinition(
  symbols: readonly number[],
  { pairs, mergedIds }: MergeTable,
): number[] {
  const word = [...symbols];
  for (;;) {
    let best = { rank: Number.POSITIVE_INFINITY, at: -1 };
    for (let at = 0; at + 1 < word.length; at++) {
      const rank = pairs.find(word[at] as number, word[at + 1] as number);
      if (rank >= 0 && rank < best.rank) best = { rank, at };
    }
    if (best.at < 0) return word;
    word.splice(best.at, 2, mergedIds[best.rank] as number);
  }
}

test('WordMerger: short words and long ones merge as the definition says', () => {
  const length = fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 95, max: 400 }));
  const word = length.chain((n) => fc.array(fc.nat(2), { minLength: n, maxLength: n }));
  fc.assert(
    fc.property(rules, word, (list, symbols) => {
      const table = tableOf(list);
      const scratch = Int32Array.from(symbols);
      const count = new WordMerger(table).merge(scratch, symbols.length);
      assert.deepEqual([...scratch.subarray(0, count)], mergedByDefinition(symbols, table));
    }),
  );
});

test('WordMerger: one long run merges from the left, in pairs', () => {
  const merger = new WordMerger(tableOf([{ left: 0, right: 0, merged: 3 }]));
  const symbols = new Int32Array(201);
  const count = merger.merge(symbols, 201);
  assert.deepEqual([...symbols.subarray(0, count)], [...Array(100).fill(3), 0]);
});
