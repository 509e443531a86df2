/** Masks of all grammars are bounded together, and forgetting them changes none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testVocabulary } from '../../tests/support/grammarTexts.ts';
import { Tracker } from './configuration.ts';
import type { GrammarSpec } from './grammar.ts';
import { buildMachine } from './machine.ts';
import { indexOfTrie, MaskCache, type VocabularyIndex } from './maskCache.ts';
import { MaskMemory } from './maskMemory.ts';
import { rulesOfSpec } from './rulesOfSpec.ts';
import { buildTokenTrie } from './tokenTrie.ts';

const vocabulary = testVocabulary(['ab', 'abc', 'ba', 'cab', '12', '123', '":', '"}', '"]}']);
const trie = buildTokenTrie(vocabulary);

/** What each state of the grammar allows, twice in a row. */
function tokensOf(spec: GrammarSpec, index: VocabularyIndex): (readonly number[])[] {
  const machine = buildMachine(rulesOfSpec(spec, vocabulary), trie.maxDepth);
  const masks = new MaskCache(machine, new Tracker(machine), index);
  return Array.from({ length: 2 * machine.numStates }, (_, i) => {
    const { list, mask } = masks.ofState(i % machine.numStates).tokens;
    return [...(list ?? mask ?? [])];
  });
}

test('masks of any number of grammars are the same however often they are forgotten', () => {
  const memory = new MaskMemory(20_000);
  const index = { ...indexOfTrie(trie), memory };
  for (let i = 0; i < 40; i++) {
    const spec: GrammarSpec = { kind: 'regex', pattern: `(ab|[a-c]{${1 + i}}|12${i})+` };
    assert.deepEqual(tokensOf(spec, index), tokensOf(spec, indexOfTrie(trie)));
  }
  assert.ok(memory.generation > 10, `forgotten ${memory.generation} times`);
  assert.ok(memory.shared.size < 40, `${memory.shared.size} rules are kept`);
});

test('masks within the bound are found once', () => {
  const memory = new MaskMemory();
  const index = { ...indexOfTrie(trie), memory };
  tokensOf({ kind: 'regex', pattern: 'a[bc]' }, index);
  const { size } = memory.shared;
  tokensOf({ kind: 'regex', pattern: 'a[bc]' }, index);
  assert.deepEqual([memory.generation, memory.shared.size], [0, size]);
});

test('masks that were forgotten are found again, the same, with what follows their rules', () => {
  const index = indexOfTrie(trie);
  const ruleSet = rulesOfSpec({ kind: 'jsonObject' }, vocabulary);
  const machine = buildMachine(ruleSet, index.trie.maxDepth);
  const masks = new MaskCache(machine, new Tracker(machine), index);
  const all = (): object[] =>
    Array.from({ length: machine.numStates }, (_, state) => {
      const { tokens, exits } = masks.ofState(state);
      const behind = exits === null ? null : masks.after(exits, 0);
      return { tokens, nodes: exits?.nodes, behind: behind?.tokens };
    });
  const before = all();
  const part = masks.ofState(1);
  assert.equal(masks.ofState(1), part);
  index.memory.add(2 ** 30);
  assert.equal(index.memory.shared.size, 0);
  assert.notEqual(masks.ofState(1), part);
  assert.deepEqual(all(), before);
});
