/** Shown text: joined pieces are the text, and tokens come with the text they begin in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byteTokenizer } from '../tokenizer/byteTokenizer.ts';
import type { EngineToken } from './engineClient.ts';
import { ShownText } from './shownText.ts';

const tokenizer = byteTokenizer();

function token(id: number): EngineToken {
  return { id, logProbability: -1, isDrafted: false };
}

function shown(
  ids: Iterable<number>,
  stop: readonly string[],
): { text: string; ids: number[]; stop: string | null; pieces: { text: string; n: number }[] } {
  const writer = new ShownText(tokenizer, { stop, showsSpecial: false });
  const pieces: { text: string; n: number }[] = [];
  const told: number[] = [];
  const hear = (piece: ReturnType<ShownText['push']>): void => {
    pieces.push({ text: piece.text, n: piece.tokens.length });
    told.push(...piece.tokens.map(({ id }) => id));
  };
  for (const id of ids) {
    hear(writer.push(token(id)));
    if (writer.stop !== null) break;
  }
  hear(writer.end());
  const text = pieces.map((piece) => piece.text).join('');
  return { text, ids: told, stop: writer.stop, pieces };
}

test('ShownText: without a stop string all text and all tokens come, in order', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 });
  fc.assert(
    fc.property(text, fc.array(text.filter((each) => each.length > 0)), (whole, stops) => {
      const unmet = stops.filter((stop) => !whole.includes(stop));
      const ids = tokenizer.encode(whole);
      const told = shown(ids, unmet);
      assert.equal(told.text, tokenizer.decode(ids));
      assert.deepEqual(told.ids, [...ids]);
    }),
  );
});

test('ShownText: a stop string takes along the tokens that begin behind the cut', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 16 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(letters, stop, (whole, end) => {
      const told = shown(tokenizer.encode(whole), [end]);
      const cut = whole.indexOf(end);
      assert.equal(told.stop, cut < 0 ? null : end);
      assert.equal(told.text, cut < 0 ? whole : whole.slice(0, cut));
      assert.deepEqual(told.ids, [...tokenizer.encode(told.text)]);
    }),
  );
});

test('ShownText: half a character brings no text, and its tokens come with the whole', () => {
  const { pieces } = shown(tokenizer.encode('aé'), []);
  assert.deepEqual(pieces, [
    { text: 'a', n: 1 },
    { text: '', n: 0 },
    { text: 'é', n: 2 },
    { text: '', n: 0 },
  ]);
});

test('ShownText: control tokens are hidden unless they are wanted', () => {
  const id = tokenizer.addedTokens[0]?.id ?? 0;
  const hidden = new ShownText(tokenizer, { stop: [], showsSpecial: false });
  assert.equal(hidden.push(token(id)).text, '');
  const open = new ShownText(tokenizer, { stop: [], showsSpecial: true });
  assert.equal(open.push(token(id)).text, tokenizer.addedTokens[0]?.content);
});
