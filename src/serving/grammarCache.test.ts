/** Grammars are kept as long as they are used, and never more of them than memory is for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileGrammar } from '../grammar/compileGrammar.ts';
import type { CompiledGrammar, GrammarSpec, GrammarVocabulary } from '../grammar/grammar.ts';
import { GrammarCache, type GrammarCacheLimits } from './grammarCache.ts';

const vocabulary: GrammarVocabulary = {
  size: 128,
  bytesOf: (id) => Uint8Array.of(id),
  controlToken: () => undefined,
  endIds: new Set([0]),
};

function choiceOf(word: string): GrammarSpec {
  return { kind: 'choice', choices: [word] };
}

function counted(limits?: GrammarCacheLimits): { cache: GrammarCache; compiled: string[] } {
  const compiled: string[] = [];
  const compile = (spec: GrammarSpec): CompiledGrammar => {
    compiled.push(JSON.stringify(spec));
    return compileGrammar(spec, vocabulary);
  };
  return { cache: new GrammarCache(compile, limits), compiled };
}

test('GrammarCache: what is used stays, what was not used for the longest goes first', () => {
  const { cache, compiled } = counted();
  const first = cache.get(choiceOf('first'));
  for (let i = 0; i < 200; i++) {
    cache.get(choiceOf(`word ${i}`));
    assert.equal(cache.get(choiceOf('first')), first);
  }
  assert.equal(compiled.length, 201);
  cache.get(choiceOf('word 199'));
  assert.equal(compiled.length, 201);
  cache.get(choiceOf('word 0'));
  assert.equal(compiled.length, 202);
});

test('GrammarCache: large tables push others out before there are many', () => {
  const { numBytes } = compileGrammar(choiceOf('a word of some length'), vocabulary);
  const { cache, compiled } = counted({ maxGrammars: 64, maxBytes: 3 * numBytes });
  const words = ['b', 'c', 'd', 'e'].map((letter) => choiceOf(`${letter} word of some length`));
  for (const word of words) cache.get(word);
  assert.equal(compiled.length, 4);
  for (const word of words.slice(2)) cache.get(word);
  assert.equal(compiled.length, 4);
  cache.get(choiceOf('b word of some length'));
  assert.equal(compiled.length, 5);
});

test('GrammarCache: what is larger than all that is kept is served all the same', () => {
  const { cache } = counted({ maxGrammars: 64, maxBytes: 1 });
  for (const word of ['a', 'b']) assert.equal(cache.get(choiceOf(word)).start().mayEnd, false);
});
