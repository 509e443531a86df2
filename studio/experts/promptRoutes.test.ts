/** A prompt's routes from both sides: tokens of experts, experts of tokens, and what keys do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PromptRouting } from '../../src/server/studio/wire.ts';
import {
  choicesOf,
  keyTarget,
  routeFacts,
  routeGrid,
  routingBody,
  tokenLabels,
  tokensOf,
  visibleText,
} from './promptRoutes.ts';

/** Layers 3 and 4, two of four experts for each of three tokens. */
const small: PromptRouting = {
  ...{ checkpoint: 'one', expertsPerToken: 2, numExperts: 4, layers: [3, 4] },
  tokens: [
    { id: 5, text: 'The' },
    { id: 6, text: ' whale' },
    { id: 7, text: '.\n' },
  ],
  experts: [
    [
      [0, 2],
      [2, 1],
      [3, 2],
    ],
    [
      [1, 3],
      [0, 1],
      [1, 2],
    ],
  ],
  weights: [
    [
      [0.5, 1.5],
      [1, 1],
      [1.2, 0.8],
    ],
    [
      [1, 1],
      [0.2, 1.8],
      [1, 1],
    ],
  ],
};

/** Any answer: every token has K different experts in every layer. */
const routings: fc.Arbitrary<PromptRouting> = fc
  .record({
    numExperts: fc.integer({ min: 1, max: 12 }),
    numTokens: fc.integer({ min: 1, max: 20 }),
    numLayers: fc.integer({ min: 0, max: 4 }),
    seed: fc.nat(),
  })
  .map(({ numExperts, numTokens, numLayers, seed }) => {
    const expertsPerToken = 1 + (seed % numExperts);
    const rows = <T>(make: (row: number, token: number, k: number) => T): T[][][] =>
      Array.from({ length: numLayers }, (_, row) =>
        Array.from({ length: numTokens }, (_, token) =>
          Array.from({ length: expertsPerToken }, (_, k) => make(row, token, k)),
        ),
      );
    return {
      ...{ checkpoint: 'any', expertsPerToken, numExperts },
      tokens: Array.from({ length: numTokens }, (_, id) => ({ id, text: `${id}` })),
      layers: Array.from({ length: numLayers }, (_, row) => row + 1),
      experts: rows((row, token, k) => (seed + row * 5 + token * 3 + k) % numExperts),
      weights: rows((row, token, k) => 1 / (1 + ((seed + row + token + k) % 7))),
    };
  });

test('choicesOf: a token’s experts in every layer, the heaviest first, with shares of one', () => {
  const [first, second] = choicesOf(small, 0);
  assert.deepEqual(first, {
    row: 0,
    layer: 3,
    choices: [
      { expert: 2, weight: 1.5, share: 0.75 },
      { expert: 0, weight: 0.5, share: 0.25 },
    ],
  });
  assert.equal(second?.layer, 4);
});

test('tokensOf and choicesOf say the same, whichever way one looks', () => {
  fc.assert(
    fc.property(routings, (routing) => {
      const { values, numColumns } = routeGrid(routing);
      for (const row of routing.layers.keys()) {
        for (let expert = 0; expert < routing.numExperts; expert++) {
          const went = tokensOf(routing, { row, expert });
          assert.equal(values[row * numColumns + expert], went.length);
          for (const token of routing.tokens.keys()) {
            const { choices = [] } = choicesOf(routing, token)[row] ?? {};
            assert.equal(
              choices.some((choice) => choice.expert === expert),
              went.includes(token),
            );
          }
        }
      }
      for (const token of routing.tokens.keys()) {
        for (const { choices } of choicesOf(routing, token)) {
          const sum = choices.reduce((total, { share }) => total + share, 0);
          assert.ok(Math.abs(sum - 1) < 1e-9);
        }
      }
    }),
  );
});

test('routeFacts: experts that got a token, and the busiest of them', () => {
  assert.deepEqual(routeFacts(small), {
    used: 8,
    numPlaces: 8,
    busiest: { row: 0, expert: 2, layer: 3, tokens: 3 },
  });
  const dense = { ...small, layers: [], experts: [], weights: [] };
  assert.deepEqual(routeFacts(dense), { used: 0, numPlaces: 0, busiest: null });
  fc.assert(
    fc.property(routings, (routing) => {
      const { used, busiest } = routeFacts(routing);
      assert.ok(used <= routing.layers.length * routing.numExperts);
      if (busiest === null) return;
      assert.equal(tokensOf(routing, busiest).length, busiest.tokens);
    }),
  );
});

test('visibleText: spaces at the ends and ends of lines are seen', () => {
  assert.equal(visibleText(' whale'), '·whale');
  assert.equal(visibleText('a b'), 'a b');
  assert.equal(visibleText('.\n'), '.↵');
  assert.equal(visibleText('  '), '··');
  assert.equal(visibleText('\t'), '⇥');
});

test('keyTarget: stays within the row, and leaves other keys alone', () => {
  assert.deepEqual(
    ['ArrowRight', 'ArrowLeft', 'Home', 'End', 'PageDown', 'PageUp'].map((key) =>
      keyTarget(key, 3, 12),
    ),
    [4, 2, 0, 11, 11, 0],
  );
  assert.equal(keyTarget('ArrowRight', 11, 12), 11);
  assert.equal(keyTarget('ArrowLeft', 0, 12), 0);
  assert.equal(keyTarget('a', 3, 12), null);
});

test('routingBody: a text as it is, or as a turn of a chat', () => {
  assert.deepEqual(routingBody('a', 'text'), { prompt: 'a' });
  assert.deepEqual(routingBody('a', 'chat'), { messages: [{ role: 'user', content: 'a' }] });
});

test('tokenLabels: parts of a character have the character, whatever a token cuts', () => {
  const tokensOfBytes = (...parts: readonly (readonly number[] | string)[]) =>
    parts.map((part, id) => {
      if (typeof part === 'string') return { id, text: part };
      return { id, text: part.map((byte) => `<${byte}>`).join(''), bytes: part };
    });
  const whale = [...new TextEncoder().encode('鲸')];
  const bytes = whale.map((byte) => [byte]);
  assert.deepEqual(tokenLabels(tokensOfBytes(' a', ...bytes, 'b')), [
    ...['·a', '鲸 1/3', '鲸 2/3', '鲸 3/3', 'b'],
  ]);
  assert.deepEqual(tokenLabels(tokensOfBytes(whale.slice(0, 2), whale.slice(2))), [
    ...['鲸 1/2', '鲸 2/2'],
  ]);
  assert.deepEqual(tokenLabels(tokensOfBytes(...bytes, ...bytes)).slice(3), [
    ...['鲸 1/3', '鲸 2/3', '鲸 3/3'],
  ]);
  // Bytes that become nothing stay as they are spelled.
  assert.deepEqual(tokenLabels(tokensOfBytes([0xff], 'a', [0xe4])), ['<255>', 'a', '<228>']);
});
