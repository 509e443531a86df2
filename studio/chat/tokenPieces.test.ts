/** Pieces of a text: together the text, each with its tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ToldToken } from './chatRequest.ts';
import { markOf, probabilityOf, speedOf, tokenPieces } from './tokenPieces.ts';

function toldAs(text: string, sizes: readonly number[]): readonly ToldToken[] {
  const bytes = [...new TextEncoder().encode(text)];
  const tokens: ToldToken[] = [];
  for (let from = 0, i = 0; from < bytes.length; i++) {
    const own = bytes.slice(from, from + (sizes[i % sizes.length] ?? 1));
    tokens.push({ token: '�', logprob: -1, bytes: own, is_drafted: i % 2 === 1 });
    from += own.length;
  }
  return tokens;
}

test('tokenPieces: the pieces are the text, and every token is in one of them', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 });
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), sizes, (text, parts) => {
      const tokens = toldAs(text, parts);
      const pieces = tokenPieces(text, tokens);
      assert.equal(pieces.map((piece) => piece.text).join(''), text);
      assert.deepEqual(
        pieces.flatMap((piece) => piece.tokens),
        tokens,
      );
    }),
  );
});

test('tokenPieces: an emoji in four tokens is one piece; text without tokens is one too', () => {
  const pieces = tokenPieces('a🙂b', toldAs('a🙂b', [1]));
  assert.deepEqual(
    pieces.map(({ text, tokens }) => [text, tokens.length]),
    [
      ['a', 1],
      ['🙂', 4],
      ['b', 1],
    ],
  );
  assert.deepEqual(tokenPieces('plain', []), [{ text: 'plain', tokens: [] }]);
  assert.deepEqual(
    tokenPieces('cut', toldAs('cut off', [7])).map(({ text }) => text),
    ['cut'],
  );
});

test('A piece is drafted where one of its tokens was; its probability is of all together', () => {
  const [a, b] = tokenPieces('éx', toldAs('éx', [1, 1, 1]));
  assert.ok(a && b);
  assert.deepEqual([markOf(a), markOf(b)], ['drafted', 'plain']);
  assert.ok(Math.abs(probabilityOf(a) - Math.exp(-2)) < 1e-12);
});

test('speedOf: acceptance of the timings, or else of the usage, or none', () => {
  const timings = { draft_n: 4, draft_n_accepted: 3, predicted_per_second: 7, prompt_ms: 500 };
  const speed = speedOf({ usage: null, timings });
  assert.deepEqual([speed.acceptance, speed.tokensPerSecond], [0.75, 7]);
  assert.equal(speed.firstTokenSeconds, 0.5);
  const details = { accepted_prediction_tokens: 1, rejected_prediction_tokens: 1 };
  const told = speedOf({ usage: { completion_tokens_details: details }, timings: null });
  assert.equal(told.acceptance, 0.5);
  assert.equal(speedOf({ usage: null, timings: null }).acceptance, null);
});
