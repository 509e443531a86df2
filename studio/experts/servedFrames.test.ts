/** A server's counts as a history: readings that differ, what came between them, a new engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { deadExperts, EMPTY_HISTORY, type ExpertHistory } from './expertFrames.ts';
import { frameOfRecording, sinceEachBefore, withRecording } from './servedFrames.ts';

const recordingOf = (...counts: readonly (readonly number[])[]): object => ({
  layers: counts.map((tokensPerExpert, i) => {
    return { layer: i + 1, tokensPerExpert, bias: tokensPerExpert.map((_, e) => e / 3) };
  }),
});

test('frameOfRecording: a server’s counts over their mean; unused layers have no dead', () => {
  const frame = frameOfRecording({
    layers: [
      { layer: 1, tokens_per_expert: [0, 2, 4, 2] },
      { layer: 2, tokens_per_expert: [0, 0, 0, 0] },
    ],
  });
  assert.deepEqual(frame.layers[0]?.loads, [0, 1, 2, 1]);
  assert.deepEqual(deadExperts(frame), [{ layer: 1, expert: 0 }]);
  assert.equal(frame.layers[1]?.deadExperts, 0);
  assert.deepEqual(frameOfRecording({}).layers, []);
});

test('withRecording: a frame for each reading that differs, with the biases of the gates', () => {
  let history = EMPTY_HISTORY;
  for (const counts of [
    [0, 0],
    [2, 2],
    [2, 2],
    [2, 6],
  ]) {
    history = withRecording(history, recordingOf(counts));
  }
  assert.deepEqual(
    history.frames.map(({ step, layers }) => [step, layers[0]?.tokens]),
    [
      [1, [0, 0]],
      [2, [2, 2]],
      [3, [2, 6]],
    ],
  );
  assert.deepEqual(history.frames[2]?.layers[0]?.bias, [0, 0.333333]);
  assert.equal(withRecording(history, recordingOf([2, 6])), history);
});

test('sinceEachBefore: the frames of any readings add up to the last', () => {
  const steps = fc.array(fc.array(fc.nat(9), { minLength: 4, maxLength: 4 }), { minLength: 1 });
  fc.assert(
    fc.property(steps, (added) => {
      let counts = [0, 0, 0, 0];
      let history: ExpertHistory = EMPTY_HISTORY;
      for (const more of added) {
        counts = counts.map((count, i) => count + (more[i] ?? 0));
        history = withRecording(history, recordingOf(counts));
      }
      const sum = [0, 0, 0, 0];
      for (const { layers } of sinceEachBefore(history).frames) {
        for (const [i, count] of (layers[0]?.tokens ?? []).entries())
          sum[i] = (sum[i] ?? 0) + count;
      }
      assert.deepEqual(sum, counts);
    }),
  );
});

test('withRecording: counts that fell, or other layers, are another engine’s', () => {
  const before = withRecording(EMPTY_HISTORY, recordingOf([5, 5]));
  for (const other of [recordingOf([1, 9]), recordingOf([9, 9, 9]), recordingOf([5, 5], [1, 1])]) {
    const { frames } = withRecording(before, other);
    assert.deepEqual(
      frames.map(({ step }) => step),
      [1],
    );
  }
  assert.equal(withRecording(before, { layers: [] }), EMPTY_HISTORY);
});

test('withRecording: a long watch is thinned, its newest reading always there', () => {
  let history: ExpertHistory = EMPTY_HISTORY;
  for (let step = 1; step <= 300; step++) {
    history = withRecording(history, recordingOf([step, 1]), 32);
    assert.ok(history.frames.length <= 32);
    assert.equal(history.frames.at(-1)?.layers[0]?.tokens?.[0], step);
  }
  assert.equal(history.frames[0]?.step, 1);
});
