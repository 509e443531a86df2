/** What watchers see of a run: JSON lines, curves, and the status line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smallRun, stepReports } from '../../tests/support/trainingFixture.ts';
import type { Span } from '../program/span.ts';
import type { StepReport, TrainingEvent } from './events.ts';
import { jsonLine, observeAll, stepScalars, tensorBoardObserver } from './metrics.ts';
import { statusLine } from './statusLine.ts';
import { TensorBoardWriter } from './tensorBoard.ts';

const wide = { tier: 'detailed', maxKeys: 1000 } as const;

async function recorded(): Promise<{ events: readonly TrainingEvent[]; report: StepReport }> {
  const machine = { fmaPeakFlops: 2e11, predictedStepSeconds: 1.1, memoryBytes: () => 3 * 2 ** 20 };
  const { trainer, events } = smallRun({ parts: { machine } });
  await trainer.run();
  const report = stepReports(events)[4];
  assert.ok(report);
  return { events, report };
}

test('jsonLine: every event of a run is one line that parses back', async () => {
  const { events } = await recorded();
  for (const event of events) {
    const line = jsonLine(event, wide);
    assert.equal(line.indexOf('\n'), line.length - 1);
    assert.equal(JSON.parse(line).kind, event.kind);
  }
});

test('jsonLine: a step keeps its scalars and layers', async () => {
  const { report } = await recorded();
  const line = JSON.parse(jsonLine(report, wide));
  for (const key of ['step', 'loss', 'tokensPerSecond', 'shareOfPeak', 'predictedSeconds']) {
    assert.equal(line[key], report[key as keyof StepReport], key);
  }
  assert.equal('spans' in line || 'routing' in line, false);
  const [layer] = line.balance.layers;
  assert.equal(layer.layer, 1);
  assert.equal(layer.utilisation.length, 4);
  const mean = layer.utilisation.reduce((sum: number, load: number) => sum + load, 0) / 4;
  assert.ok(Math.abs(mean - 1) < 1e-4, 'utilisation is load over mean load');
  const brief = JSON.parse(jsonLine(report, { tier: 'brief', maxKeys: 1000 }));
  assert.equal('layers' in brief.balance, false);
  assert.equal(brief.balance.maxVioMax, report.balance?.maxVioMax);
});

test('jsonLine: the first step and every tenth has all experts, whatever the cap', async () => {
  const { report } = await recorded();
  for (const step of [1, 10, 20]) {
    const line = JSON.parse(jsonLine({ ...report, step }, { tier: 'detailed', maxKeys: 5 }));
    const [routing] = report.routing;
    assert.ok(routing);
    assert.deepEqual(line.experts.layers, [routing.layer]);
    assert.deepEqual(line.experts.tokens, [routing.tokensPerExpert]);
    for (const [expert, bias] of routing.bias.entries()) {
      // Six decimals: biases move by about a thousandth.
      assert.ok(Math.abs(line.experts.bias[0][expert] - bias) <= 5e-7);
    }
    const brief = JSON.parse(jsonLine({ ...report, step }, { tier: 'brief', maxKeys: 5 }));
    assert.equal('experts' in brief, false);
  }
  const between = JSON.parse(jsonLine({ ...report, step: 11 }, wide));
  assert.equal('experts' in between, false);
});

test('jsonLine: the first step and every tenth tells what ran when, and what was forecast', async () => {
  const { report } = await recorded();
  const [first] = report.spans;
  assert.ok(first);
  const predictedSpans = [{ ...first, start: 5, end: 5.25 }];
  const read = (step: number, tier: 'brief' | 'detailed'): { timeline?: unknown } =>
    JSON.parse(jsonLine({ ...report, predictedSpans, step }, { ...wide, tier }));
  const { timeline } = read(10, 'detailed') as {
    timeline: { real: Span[]; simulated: Span[] };
  };
  assert.deepEqual(
    timeline.real.map(({ name, microBatch }) => [name, microBatch]),
    report.spans.map(({ name, microBatch }) => [name, microBatch]),
  );
  for (const [i, { start, end }] of timeline.real.entries()) {
    const span = report.spans[i];
    assert.ok(span && Math.abs(end - start - (span.end - span.start)) <= 1e-6);
  }
  assert.equal(timeline.real[0]?.start, 0);
  const { start, end, name } = timeline.simulated[0] as Span;
  assert.deepEqual([name, start, end], [first.name, 0, 0.25]);
  assert.equal('timeline' in read(11, 'detailed') || 'timeline' in read(10, 'brief'), false);
});

test('jsonLine: NaN and infinities are written as words, not as null', async () => {
  const { report } = await recorded();
  const line = JSON.parse(jsonLine({ ...report, loss: Number.NaN, gradientNorm: Infinity }, wide));
  assert.deepEqual([line.loss, line.gradientNorm], ['NaN', 'Infinity']);
});

test('The cap on keys: what is over is left out and counted', async () => {
  const { report } = await recorded();
  const all = stepScalars(report, wide);
  assert.equal(all.numLeftOut, 0);
  assert.ok(all.scalars.some(([name]) => name === 'layer01/maxVio'));
  const names = all.scalars.map(([name]) => name);
  assert.equal(new Set(names).size, names.length);
  const capped = stepScalars(report, { tier: 'detailed', maxKeys: 10 });
  assert.equal(capped.scalars.length, 10);
  assert.equal(capped.numLeftOut, all.scalars.length - 10);
  const brief = stepScalars(report, { tier: 'brief', maxKeys: 1000 });
  assert.ok(brief.scalars.every(([name]) => !name.startsWith('layer')));
  const line = JSON.parse(jsonLine(report, { tier: 'detailed', maxKeys: 5 }));
  assert.deepEqual([line.balance.layers.length, line.layersLeftOut], [0, 1]);
});

test('stepScalars: what is unknown or absent has no curve', async () => {
  const { report } = await recorded();
  const unknown = { ...report, shareOfPeak: null, memoryBytes: null, balance: null };
  const names = stepScalars(unknown, wide).scalars.map(([name]) => name);
  assert.ok(!names.includes('speed/shareOfPeak') && !names.includes('experts/dead'));
  assert.ok(names.includes('train/loss'));
});

test('tensorBoardObserver: a whole run becomes curves, loads and samples', async () => {
  const chunks: Uint8Array[] = [];
  const sink = {
    write: async (bytes: Uint8Array) => void chunks.push(bytes),
    close: async () => {},
  };
  const writer = new TensorBoardWriter(sink, () => 0);
  const seen: string[] = [];
  const observer = observeAll([
    tensorBoardObserver(writer, wide),
    (event) => void seen.push(event.kind),
  ]);
  const { trainer } = smallRun({ parts: { observer } });
  await trainer.run();
  const text = Buffer.concat(chunks).toString('latin1');
  for (const tag of [
    'train/loss',
    'expertLoad/layer01',
    'validation/bitsPerByte',
    'sample/Call me',
  ]) {
    assert.ok(text.includes(tag), tag);
  }
  // The version, 20 steps of scalars and of one histogram, one evaluation, one sample.
  assert.equal(chunks.length, 1 + 20 * 2 + 1 + 1);
  assert.equal(seen.at(-1), 'end');
});

test('statusLine: a wide line has everything a person asks for', async () => {
  const { report } = await recorded();
  const line = statusLine({ ...report, step: 5, numSteps: 20 }, 200);
  assert.match(line, /^step {2}5\/20 {2}25 % · loss 0\.\d+ · mtp \S+ · 28 tok\/s · \S+ % of peak/);
  assert.match(line, /norm \S+ · MaxVio \d\.\d\d.* · 1\.1 s \(1\.1 s predicted\) · lr 5\.0e-2/);
  assert.match(line, /3\.00 MiB · ETA 16\.9 s$/);
});

test('statusLine: it never exceeds the width, and drops whole numbers only', async () => {
  const { report } = await recorded();
  const whole = statusLine(report, 1000).split(' · ');
  for (let width = 20; width < 220; width++) {
    const line = statusLine(report, width);
    assert.ok(line.length <= width, `${line.length} of ${width}`);
    for (const part of line.split(' · ')) assert.ok(whole.includes(part), part);
    assert.match(line, /^step /);
  }
  assert.match(statusLine(report, 45), /loss/);
  assert.match(statusLine(report, 60), /ETA/);
  assert.equal(statusLine(report, 1), whole[0], 'the step stays');
});

test('statusLine: a hundred thousand steps line up, and dead experts show', async () => {
  const { report } = await recorded();
  const at = (step: number): string => statusLine({ ...report, step, numSteps: 100_000 }, 30);
  assert.equal(at(1), 'step      1/100000   0 %');
  assert.equal(at(99_999), 'step  99999/100000  99 %');
  assert.equal(at(100_000), 'step 100000/100000 100 %');
  const balance = report.balance && { ...report.balance, deadExperts: 3 };
  assert.match(statusLine({ ...report, balance }, 200), /MaxVio \d\.\d\d, 3 dead/);
  const broken = { ...report, smoothedLoss: Number.NaN, remainingSeconds: Infinity };
  assert.match(statusLine(broken, 200), /loss NaN .*ETA –$/);
});
