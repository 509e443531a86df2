/** The incremental reading of metrics: pieces of a file make the curves of the whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { curveFacts } from './curveFacts.ts';
import { CURVES, RunSeries } from './series.ts';

function stepLine(step: number, more: object = {}): string {
  const event = {
    kind: 'step',
    step,
    numSteps: 100,
    tokens: step * 1024,
    mainLoss: 6 - step / 10,
    mtpLoss: 7 - step / 10,
    mtpLossPerDepth: [7 - step / 10],
    gradientNorm: 1 / step,
    tokensPerSecond: 200 + step,
    elapsedSeconds: step * 2,
    remainingSeconds: (100 - step) * 2,
    balance: { maxVioMax: step / 2 },
    ...more,
  };
  return `${JSON.stringify(event)}\n`;
}

function read(...pieces: readonly string[]): RunSeries {
  const series = new RunSeries();
  for (const piece of pieces) series.append(piece);
  return series;
}

function points(series: RunSeries, name: (typeof CURVES)[number]): readonly (readonly number[])[] {
  const { x, y } = series.curve(name);
  return Array.from(x, (step, index) => [step, y[index] ?? 0]);
}

test('RunSeries: reads every curve and how far the run is', () => {
  const series = read(
    '{"kind":"start","step":0,"numSteps":100,"totalTokens":5,"resumedFrom":null}\n',
    stepLine(1),
    stepLine(2),
    '{"kind":"evaluation","step":2,"bitsPerByte":2.5}\n{"kind":"sample","step":2,"text":"…"}\n',
  );
  assert.deepEqual(points(series, 'loss'), [
    [1, 5.9],
    [2, 5.8],
  ]);
  assert.deepEqual(points(series, 'maxVio'), [
    [1, 0.5],
    [2, 1],
  ]);
  assert.deepEqual(points(series, 'bitsPerByte'), [[2, 2.5]]);
  assert.deepEqual(series.progress, {
    step: 2,
    numSteps: 100,
    tokens: 2048,
    elapsedSeconds: 4,
    remainingSeconds: 196,
    end: null,
  });
});

test('RunSeries: a file cut anywhere into pieces gives the curves of the whole', () => {
  const whole = Array.from({ length: 30 }, (_value, index) => stepLine(index + 1)).join('');
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length)), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), whole.length];
      const series = read(
        ...places.slice(1).map((place, index) => whole.slice(places[index], place)),
      );
      for (const name of CURVES) assert.deepEqual(points(series, name), points(read(whole), name));
    }),
  );
});

test('RunSeries: facts that grow with the curve are those of the whole curve', () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer()), { minLength: 1 });
  fc.assert(
    fc.property(steps, (lines) => {
      const series = new RunSeries();
      for (const [step, mainLoss] of lines) {
        series.append(stepLine(step, { mainLoss }));
        assert.deepEqual(series.facts('loss'), curveFacts(series.curve('loss')));
      }
    }),
  );
});

test('RunSeries: a run that goes on from an older step replaces what it writes again', () => {
  const series = read(
    ...[1, 2, 3].map((step) => stepLine(step)),
    '{"kind":"evaluation","step":3,"bitsPerByte":2}\n{"kind":"start","step":1,"numSteps":100}\n',
    stepLine(2, { mainLoss: 9 }),
  );
  assert.deepEqual(points(series, 'loss'), [
    [1, 5.9],
    [2, 9],
  ]);
  assert.deepEqual(points(series, 'bitsPerByte'), []);
});

test('RunSeries: a value that is no number is a gap, and a half line is counted', () => {
  const series = read(stepLine(1, { mainLoss: 'NaN', balance: null }), '{"kind":"st\n', 'null\n');
  assert.deepEqual(points(series, 'loss'), [[1, Number.NaN]]);
  assert.deepEqual(points(series, 'maxVio'), []);
  assert.equal(series.numUnreadable, 2);
});

test('RunSeries: a model without MTP has no MTP curve, and the end is known', () => {
  const series = read(
    stepLine(1, { mtpLossPerDepth: [] }),
    '{"kind":"end","summary":{"end":"finished"}}\n',
  );
  assert.deepEqual(points(series, 'mtpLoss'), []);
  assert.equal(series.progress.end, 'finished');
});
