/** What a run's lines and a server's counts say of experts, as frames. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonLine } from '../../src/training/metrics.ts';
import { smallRun, stepReports } from '../../tests/support/trainingFixture.ts';
import { heatCells, LIGHT_COLOURS } from '../draw/heatMap.ts';
import {
  deadByLayer,
  deadExperts,
  EMPTY_HISTORY,
  frameIndexAt,
  frameOfLine,
  gridOf,
  HistoryReader,
  withLines,
} from './expertFrames.ts';

const wide = { tier: 'detailed', maxKeys: 1000 } as const;
const box = { left: 0, top: 0, width: 100, height: 100 };

function lineOf(step: number, loads: readonly number[], more: object = {}): string {
  const layers = [{ layer: 3, utilisation: loads }];
  return `${JSON.stringify({ kind: 'step', step, balance: { layers }, ...more })}\n`;
}

test('A run: every cell of the heat map is the number of the JSONL', async () => {
  const { trainer, events } = smallRun({});
  await trainer.run();
  const lines = events.map((event) => jsonLine(event, wide));
  const { frames } = withLines(EMPTY_HISTORY, lines.join(''));
  assert.equal(frames.length, stepReports(events).length);
  const steps = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'step');
  for (const [i, frame] of frames.entries()) {
    const written = steps[i].balance.layers.flatMap(
      ({ utilisation }: { utilisation: number[] }) => utilisation,
    );
    const scale = { kind: 'ratio', limit: 4 } as const;
    const cells = heatCells(gridOf(frame, 'load'), { scale, colours: LIGHT_COLOURS, box });
    assert.deepEqual(
      cells.map(({ value }) => value),
      written,
    );
    assert.equal(frame.step, steps[i].step);
  }
  assert.equal(frames[0]?.biasStep, 1);
  assert.equal(frames[8]?.biasStep, 1, 'biases of the last line that had them');
  assert.equal(frames[9]?.biasStep, 10);
  assert.deepEqual(
    [...Array.from(gridOf(frames[9] ?? assert.fail(), 'bias').values)],
    [...steps[9].experts.bias.flat()],
  );
});

test('frameOfLine: layers over the cap are there where a line has all experts', () => {
  const experts = {
    layers: [3, 4],
    tokens: [
      [1, 3],
      [0, 8],
    ],
    bias: [
      [0, 0.1],
      [0.2, 0],
    ],
  };
  const line = JSON.parse(lineOf(10, [0.5, 1.5], { experts, layersLeftOut: 1 }));
  const frame = frameOfLine(line, null) ?? assert.fail();
  assert.deepEqual(
    frame.layers.map(({ loads }) => loads),
    [
      [0.5, 1.5],
      [0, 2],
    ],
  );
  assert.deepEqual(
    frame.layers.map(({ bias }) => bias),
    experts.bias,
  );
  assert.equal(frame.layersLeftOut, 0);
  assert.deepEqual(deadExperts(frame), [{ layer: 4, expert: 0 }]);
  const next = frameOfLine(JSON.parse(lineOf(11, [1, 1], { layersLeftOut: 1 })), frame);
  assert.deepEqual([next?.layers.length, next?.layersLeftOut, next?.biasStep], [1, 1, 10]);
  assert.deepEqual(next?.layers[0]?.bias, [0, 0.1]);
});

test('frameOfLine: other lines, dense models and brief metrics give no frame', () => {
  for (const line of [
    null,
    { kind: 'evaluation', step: 3 },
    { kind: 'step', step: 3, balance: null },
    { kind: 'step', step: 3, balance: { maxVioMax: 1 } },
  ]) {
    assert.equal(frameOfLine(line, null), null);
  }
});

test('withLines: lines in any portions give the same frames', () => {
  const lines = Array.from({ length: 40 }, (_, i) => lineOf(i + 1, [i, 40 - i]));
  const whole = withLines(EMPTY_HISTORY, lines.join(''), 8);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 40 }), (sizes) => {
      let history = EMPTY_HISTORY;
      for (let from = 0, i = 0; from < lines.length; from += sizes[i++] ?? 1) {
        history = withLines(history, lines.slice(from, from + (sizes[i] ?? 1)).join(''), 8);
      }
      assert.deepEqual(history, whole);
    }),
  );
});

test('HistoryReader: pieces cut anywhere, with lines that are no JSON, give the same frames', () => {
  const broken = '{"kind":\n\n{"kind":"sample"}\n';
  const text = lineOf(1, [1, 1]) + broken + lineOf(2, [2, 0]) + lineOf(3, [0, 2]);
  const half = '{"kind":"step","step":4';
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const reader = new HistoryReader();
      let from = 0;
      for (const to of [...cuts.toSorted((a, b) => a - b), text.length]) {
        reader.add(text.slice(from, to));
        from = to;
      }
      reader.add(half);
      assert.deepEqual(
        reader.history.frames.map(({ step }) => step),
        [1, 2, 3],
      );
      // What was half a line before belongs to no line of the file that was begun anew.
      reader.restart();
      assert.deepEqual(reader.history, EMPTY_HISTORY);
      reader.add(lineOf(7, [1, 1]));
      assert.equal(reader.history.frames.at(-1)?.step, 7);
    }),
  );
});

test('withLines: a long run is thinned, its newest step always there', () => {
  let history = EMPTY_HISTORY;
  for (let step = 1; step <= 1000; step++) {
    history = withLines(history, lineOf(step, [1, 1]), 64);
    assert.ok(history.frames.length <= 65);
    assert.equal(history.frames.at(-1)?.step, step);
    assert.equal(history.frames[0]?.step, 1);
  }
  const steps = history.frames.map(({ step }) => step ?? 0);
  assert.deepEqual(
    steps,
    [...steps].sort((a, b) => a - b),
  );
  assert.ok(history.stride >= 16 && history.frames.length > 30);
});

test('withLines: a run that was rolled back goes on from the earlier step', () => {
  const text = [1, 2, 3, 2].map((step, i) => lineOf(step, [i, 1])).join('');
  const { frames } = withLines(EMPTY_HISTORY, text);
  assert.deepEqual(
    frames.map(({ step }) => step),
    [1, 2],
  );
  assert.deepEqual(frames[1]?.layers[0]?.loads, [3, 1]);
});

test('frameIndexAt: the frame of a step, or the last before it, or the newest', () => {
  const text = [2, 4, 6].map((step) => lineOf(step, [1])).join('');
  const history = withLines(EMPTY_HISTORY, text);
  const at = (step: number | null) => frameIndexAt(history, step);
  assert.deepEqual([at(null), at(1), at(2), at(5), at(6), at(99)], [2, 0, 0, 1, 2, 2]);
  assert.equal(frameIndexAt(EMPTY_HISTORY, 3), -1);
});

test('deadByLayer: dead experts of a layer as stretches', () => {
  const frame = frameOfLine(JSON.parse(lineOf(1, [0, 0, 0, 2, 0, 1, 3, 0])), null);
  const stretches = [
    [0, 2],
    [4, 4],
    [7, 7],
  ];
  assert.deepEqual(deadByLayer(frame ?? assert.fail()), [{ layer: 3, count: 5, stretches }]);
  const calm = frameOfLine(JSON.parse(lineOf(1, [1, 1])), null);
  assert.deepEqual(deadByLayer(calm ?? assert.fail()), []);
});
