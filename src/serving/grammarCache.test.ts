/** Grammars are kept within bounds, whatever is asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testVocabulary } from '../../tests/support/grammarTexts.ts';
import { compileGrammar } from '../grammar/compileGrammar.ts';
import type { CompiledGrammar, GrammarSpec } from '../grammar/grammar.ts';
import { GRAMMAR_LIMITS, GrammarCache, type GrammarLimits } from './grammarCache.ts';

const vocabulary = testVocabulary(['ab', 'ba']);

function cacheOf(limits: Partial<GrammarLimits>): { cache: GrammarCache; compiled: string[] } {
  const compiled: string[] = [];
  const compile = (spec: GrammarSpec): CompiledGrammar => {
    compiled.push(spec.kind === 'regex' ? spec.pattern : spec.kind);
    return compileGrammar(spec, vocabulary);
  };
  return { cache: new GrammarCache(compile, { ...GRAMMAR_LIMITS, ...limits }), compiled };
}

const regex = (pattern: string): GrammarSpec => ({ kind: 'regex', pattern });

test('grammars: one is compiled once, and the longest unused is forgotten first', () => {
  const { cache, compiled } = cacheOf({ maxKept: 2 });
  const first = cache.get(regex('a'), []);
  assert.equal(cache.get(regex('a'), []), first);
  for (const pattern of ['b', 'a', 'c', 'a', 'b']) cache.get(regex(pattern), []);
  assert.deepEqual(compiled, ['a', 'b', 'c', 'b']);
});

test('grammars: those that are kept take no more than their bytes, masks and specs included', () => {
  const bytes = compileGrammar(regex('a{40}'), vocabulary).numBytes;
  const { cache, compiled } = cacheOf({ maxKeptBytes: 3.5 * bytes });
  for (const pattern of ['a{40}', 'b{40}', 'c{40}', 'a{40}']) cache.get(regex(pattern), []);
  assert.equal(compiled.length, 3);
  cache.get(regex('d{40}'), []);
  cache.get(regex('b{40}'), []);
  assert.deepEqual(compiled.slice(3), ['d{40}', 'b{40}'], 'b was forgotten for d');
  const schema = { type: 'null', description: 'x'.repeat(4 * bytes) };
  cache.get({ kind: 'jsonSchema', schema }, []);
  cache.get(regex('b{40}'), []);
  assert.equal(compiled.at(-1), 'b{40}', 'a long spec takes the room of the others');
});

test('grammars: what a grammar takes grows with its states', () => {
  const bytes = [1, 30, 300].map(
    (n) => compileGrammar(regex(`[a-z]{1,${n}}x`), vocabulary).numBytes,
  );
  assert.deepEqual(
    bytes,
    bytes.toSorted((a, b) => a - b),
  );
  assert.ok((bytes[2] ?? 0) > 50 * (bytes[0] ?? 0), `${bytes.join(' ')} bytes`);
});

test('grammars: while texts follow too much, new grammars are refused and known ones are not', () => {
  const { cache } = cacheOf({ maxBusyBytes: 1 });
  const busy = cache.get(regex('a'), []);
  const code = 'engine.grammarsFull';
  assert.throws(() => cache.get(regex('b'), [busy, busy]), { code });
  assert.equal(cache.get(regex('a'), [busy]), busy);
  cache.get(regex('b'), []);
});
