/** Steps of a run's metrics as pictures: what is read, what is kept, real above simulated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindAt } from '../draw/timelineIndex.ts';
import { drawStep, StepReader, type StepSpan } from './stepSpans.ts';

const span = (name: string, start: number, end: number): StepSpan => ({
  ...{ rank: 0, name, stage: 0, microBatch: 1, start, end },
});
const real = [span('forward', 0, 2), span('backward', 2.5, 6), span('optimizerStep', 6, 7)];
const simulated = [span('forward', 0, 1), span('backward', 1, 4), span('optimizerStep', 4, 5)];
const line = (step: number): string =>
  `${JSON.stringify({ kind: 'step', step, loss: 2, timeline: { real, simulated } })}\n`;

test('StepReader: finds the same steps however the text is cut', () => {
  const text = `{"kind":"start","step":0}\n${line(1)}{"kind":"step","step":2}\n${line(10)}`;
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const reader = new StepReader();
      let from = 0;
      for (const to of [...cuts.toSorted((a, b) => a - b), text.length]) {
        reader.add(text.slice(from, to));
        from = to;
      }
      assert.deepEqual(
        reader.steps.map(({ step }) => step),
        [1, 10],
      );
      assert.deepEqual(reader.steps[0]?.simulated, simulated);
    }),
  );
});

test('StepReader: a resumed run’s steps replace those it repeats; a restart forgets', () => {
  const reader = new StepReader();
  reader.add(line(1) + line(10) + line(20));
  reader.add(line(10));
  assert.deepEqual(
    reader.steps.map(({ step }) => step),
    [1, 10],
  );
  reader.restart();
  assert.deepEqual(reader.steps, []);
});

test('StepReader: keeps the newest thousand, and counts the others', () => {
  const reader = new StepReader();
  for (let step = 1; step <= 1003; step++) reader.add(line(step));
  assert.deepEqual([reader.steps.length, reader.steps[0]?.step, reader.numDropped], [1000, 4, 3]);
});

test('drawStep: real stands above simulated, on one scale, idleness is a bubble', () => {
  const { timeline, summaries } = drawStep({ step: 1, real, simulated });
  assert.deepEqual(
    timeline.rows.map(({ source, name, bubble }) => [source, name, bubble]),
    [
      ['real', '0', { from: 0, to: 7 }],
      ['simulated', '0', { from: 0, to: 5 }],
    ],
  );
  assert.deepEqual(
    summaries.map(({ seconds }) => seconds),
    [7, 5],
  );
  const [row] = timeline.rows;
  assert.ok(row);
  assert.deepEqual([...row.starts], [0, 2.5, 6]);
  assert.deepEqual(
    [0, 1, 2].map((i) => [kindAt(row, i), row.label(i)]),
    [
      ['forward', '0F1'],
      ['backward', '0B1'],
      ['optimizer', 'optimizerStep 1'],
    ],
  );
  assert.deepEqual([timeline.start, timeline.end], [0, 7]);
});

test('drawStep: a step that nobody simulated is drawn alone', () => {
  const { timeline, summaries } = drawStep({ step: 1, real, simulated: [] });
  assert.deepEqual([timeline.rows.length, summaries.length], [1, 1]);
});
