/** Walks that grammars share are bounded, and forgetting them changes no mask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testVocabulary } from '../../tests/support/grammarTexts.ts';
import { Tracker } from './configuration.ts';
import type { GrammarSpec } from './grammar.ts';
import { buildMachine } from './machine.ts';
import { indexOfTrie, MaskCache, SharedWalks, type VocabularyIndex } from './maskCache.ts';
import { rulesOfSpec } from './rulesOfSpec.ts';
import { buildTokenTrie } from './tokenTrie.ts';

const vocabulary = testVocabulary(['ab', 'abc', 'ba', 'cab', '12', '123']);
const trie = buildTokenTrie(vocabulary);

/** What each state of the grammar allows, found with these shared walks. */
function tokensOf(spec: GrammarSpec, index: VocabularyIndex): (readonly number[])[] {
  const machine = buildMachine(rulesOfSpec(spec, vocabulary), trie.maxDepth);
  const masks = new MaskCache(machine, new Tracker(machine), index);
  return Array.from({ length: machine.numStates }, (_, state) => {
    const { list, mask } = masks.ofState(state).tokens;
    return [...(list ?? mask ?? [])];
  });
}

test('shared walks: any number of grammars stays within the bound, with the same masks', () => {
  const maxBytes = 20_000;
  const index = { ...indexOfTrie(trie), shared: new SharedWalks(maxBytes) };
  for (let i = 0; i < 60; i++) {
    const spec: GrammarSpec = { kind: 'regex', pattern: `(ab|[a-c]{${1 + i}}|12${i})+` };
    assert.deepEqual(tokensOf(spec, index), tokensOf(spec, indexOfTrie(trie)));
    assert.ok(index.shared.numBytes <= maxBytes, `${index.shared.numBytes} after ${i}`);
  }
});

test('shared walks: rules in use stay while others come and go, 256 in all', () => {
  const index = indexOfTrie(trie);
  const used: GrammarSpec = { kind: 'regex', pattern: 'a[bc]' };
  const first = tokensOf(used, index);
  for (let i = 0; i < 600; i++) {
    tokensOf({ kind: 'regex', pattern: `b${i}` }, index);
    const before = index.shared.numBytes;
    assert.deepEqual(tokensOf(used, index), first);
    assert.equal(index.shared.numBytes, before, 'it was found');
  }
  assert.equal(index.shared.numRules, 256);
});

test('shared walks: a rule larger than the bound is walked and not kept', () => {
  const index = { ...indexOfTrie(trie), shared: new SharedWalks(1) };
  const spec: GrammarSpec = { kind: 'regex', pattern: '[a-c]{5}1' };
  assert.deepEqual(tokensOf(spec, index), tokensOf(spec, indexOfTrie(trie)));
  assert.deepEqual([index.shared.numRules, index.shared.numBytes], [0, 0]);
});
