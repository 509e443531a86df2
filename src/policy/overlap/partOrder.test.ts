/** The inner orders: the published one of a pair, and what holds for any two stages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../base/assert.ts';
import type { PartStep } from '../../program/instruction.ts';
import {
  backwardInputOrder,
  backwardOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from './partOrder.ts';
import { type StageParts, stagePartsOf } from './stageParts.ts';

const moe = (numBlocks: number): StageParts => ({
  blocks: Array.from({ length: numBlocks }, () => 'moe' as const),
  hasSharedExperts: false,
  hasEmbedding: false,
  hasHead: false,
});

const passLetters = { forward: 'F', backwardInput: 'B', backwardWeight: 'W' } as const;

function words(order: readonly PartStep[], stream?: PartStep['stream']): string[] {
  return order
    .filter((step) => stream === undefined || step.stream === stream)
    .map(({ pass, part, layer }) => `${part}(${passLetters[pass]})${layer}`);
}

test('pairOrder: every layer of the published training trace, part by part', () => {
  const order = pairOrder({ forward: moe(4), backward: moe(4) });
  const slot = (f: number, b: number): string[] => [
    `combine(B)${b}`,
    `attention(F)${f}`,
    `experts(B)${b}`,
    `dispatch(F)${f}`,
    `dispatch(B)${b}`,
    `experts(W)${b}`,
    `experts(F)${f}`,
    `attention(B)${b}`,
    `attention(W)${b}`,
    `combine(F)${f}`,
  ];
  assert.deepEqual(words(order), [...slot(0, 3), ...slot(1, 2), ...slot(2, 1), ...slot(3, 0)]);
});

test('pairOrder: on either stream a layer runs what the published diagram shows', () => {
  const order = pairOrder({ forward: moe(1), backward: moe(1) });
  assert.deepEqual(words(order, 'communication'), [
    'combine(B)0',
    'dispatch(F)0',
    'dispatch(B)0',
    'combine(F)0',
  ]);
  assert.deepEqual(words(order, 'compute'), [
    'attention(F)0',
    'experts(B)0',
    'experts(W)0',
    'experts(F)0',
    'attention(B)0',
    'attention(W)0',
  ]);
});

test('pairOrder: the two halves of a pair never wait for each other', () => {
  const order = pairOrder({ forward: moe(3), backward: moe(2) });
  const half = ({ pass }: PartStep): string => (pass === 'forward' ? 'forward' : 'backward');
  for (const step of order) {
    for (const index of step.waitsFor) assert.equal(half(at(order, index)), half(step));
  }
});

test('forwardOrder: shared experts run under dispatch, a dense block without messages', () => {
  const stage: StageParts = {
    blocks: ['dense', 'moe'],
    hasSharedExperts: true,
    hasEmbedding: true,
    hasHead: true,
  };
  const order = forwardOrder(stage);
  assert.deepEqual(words(order), [
    'embedding(F)0',
    'attention(F)0',
    'denseMlp(F)0',
    'attention(F)1',
    'dispatch(F)1',
    'sharedExperts(F)1',
    'experts(F)1',
    'combine(F)1',
    'head(F)0',
  ]);
  const waits = order.map(({ waitsFor }) => waitsFor);
  // Shared experts wait for attention alone, the head for both halves of the last block.
  assert.deepEqual(waits, [[], [0], [1], [2], [3], [3], [4], [6], [7, 5]]);
});

test('backwardOrder: weight gradients stand behind the message that they hide', () => {
  const stage: StageParts = {
    ...moe(1),
    hasSharedExperts: true,
    hasEmbedding: true,
    hasHead: true,
  };
  assert.deepEqual(words(backwardOrder(stage)), [
    'head(B)0',
    'head(W)0',
    'combine(B)0',
    'sharedExperts(B)0',
    'experts(B)0',
    'dispatch(B)0',
    'sharedExperts(W)0',
    'experts(W)0',
    'attention(B)0',
    'attention(W)0',
    'embedding(W)0',
  ]);
});

const stages: fc.Arbitrary<StageParts> = fc.record({
  blocks: fc.array(fc.constantFrom('dense' as const, 'moe' as const), { maxLength: 6 }),
  hasSharedExperts: fc.boolean(),
  hasEmbedding: fc.boolean(),
  hasHead: fc.boolean(),
});

test('every order: steps wait only for earlier ones, so two streams in order never stand still', () => {
  fc.assert(
    fc.property(stages, stages, (forward, backward) => {
      const orders = [
        pairOrder({ forward, backward }),
        forwardOrder(forward),
        backwardOrder(backward),
        backwardInputOrder(backward),
        backwardWeightOrder(backward),
      ];
      for (const order of orders) {
        for (const [index, { waitsFor }] of order.entries()) {
          for (const earlier of waitsFor) assert.ok(earlier < index);
        }
      }
    }),
  );
});

test('every order: a pair is its two passes, a backward its two halves, and no part is lost', () => {
  const sorted = (...orders: readonly (readonly PartStep[])[]): string[] =>
    orders.flatMap((order) => words(order)).sort();
  fc.assert(
    fc.property(stages, stages, (forward, backward) => {
      assert.deepEqual(
        sorted(pairOrder({ forward, backward })),
        sorted(forwardOrder(forward), backwardOrder(backward)),
      );
      assert.deepEqual(
        sorted(backwardOrder(backward)),
        sorted(backwardInputOrder(backward), backwardWeightOrder(backward)),
      );
      const all = words(forwardOrder(forward));
      assert.equal(new Set(all).size, all.length);
    }),
  );
});

test('stagePartsOf: V3 on 16 stages begins with dense blocks and ends with the MTP block', () => {
  const v3 = {
    numLayers: 61,
    isMoe: (layer: number) => layer >= 3,
    hasSharedExperts: true,
    numMtpBlocks: 1,
  };
  assert.deepEqual(stagePartsOf({ ...v3, first: 0, last: 4 }), {
    blocks: ['dense', 'dense', 'dense', 'moe'],
    hasSharedExperts: true,
    hasEmbedding: true,
    hasHead: false,
  });
  assert.deepEqual(stagePartsOf({ ...v3, first: 60, last: 61 }), {
    blocks: ['moe', 'moe'],
    hasSharedExperts: true,
    hasEmbedding: false,
    hasHead: true,
  });
});
