/** Steps that an engine ran, once more on described hardware: the same programs, other times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepSimulator } from '../../src/cli/serve/simulateSteps.ts';
import { SPAN_OF_DRAFTS, wallSeconds } from '../../src/program/span.ts';
import { readModelConfig } from '../../src/runtime/openModel.ts';
import type { ServedStep } from '../../src/serving/engineClient.ts';
import { StepRecorder } from '../../src/serving/stepRecorder.ts';
import {
  engineInfo,
  engineOn,
  engineRequest,
  finish,
  Listener,
  localExecutor,
  MAX_CONTEXT,
} from '../support/engineWorld.ts';

const path = new URL('../golden/v3-tiny-trained', import.meta.url).pathname;
const config = await readModelConfig(path);
const shape = {
  ...{ config, maxPositions: MAX_CONTEXT, cacheDtype: 'f32' as const },
  ...engineInfo({}),
  dtypeOf: () => 'f32' as const,
};
const limits = { fmaPeak: 1e11, readBandwidth: 1e10, copyBandwidth: 1e10 };

async function recorded(most: number): Promise<{ recorder: StepRecorder; numSteps: number }> {
  const recorder = new StepRecorder(await localExecutor(), most);
  const { engine } = engineOn(recorder);
  for (const seed of [3, 5]) {
    const ids = Array.from({ length: 9 }, (_, i) => (seed * i) % 24);
    engine.add(engineRequest(`${seed}`, ids, { maxTokens: 12, numDrafts: 1 }));
  }
  await finish(engine, new Listener());
  return { recorder, numSteps: engine.stats.numSteps };
}

test('StepRecorder: the newest steps stay, numbered as they ran', async () => {
  const { recorder, numSteps } = await recorded(3);
  assert.ok(numSteps > 3);
  const numbers = recorder.steps.map(({ step }) => step);
  assert.deepEqual(numbers, [numSteps - 2, numSteps - 1, numSteps]);
});

test('StepSimulator: every instruction of a real step has its span, drafts included', async () => {
  const { recorder } = await recorded(100);
  const served = await new StepSimulator(shape, limits).simulate(recorder.steps);
  const isEmpty = (step: number): boolean => !served.some((each) => each.step === step);
  for (const { step, programs } of recorder.steps.filter((each) => isEmpty(each.step))) {
    const kinds = programs.flatMap(({ instructions }) => instructions.map(({ kind }) => kind));
    assert.deepEqual(kinds, ['forget'], `step ${step}`);
  }
  let drafted = 0;
  for (const { real, simulated } of served) {
    const names = (spans: typeof real): unknown =>
      spans.map(({ name, instruction }) => [name, instruction]);
    assert.deepEqual(names(simulated), names(real));
    assert.ok(wallSeconds(simulated) > 0, JSON.stringify(simulated));
    drafted += simulated.filter(({ name }) => name === SPAN_OF_DRAFTS).length;
  }
  assert.ok(drafted > 0);
});

test('StepSimulator: half the machine takes twice the time; no limits, no forecast', async () => {
  const { recorder } = await recorded(4);
  const half = { fmaPeak: 5e10, readBandwidth: 5e9, copyBandwidth: 5e9 };
  const [fast, slow, none] = await Promise.all(
    [limits, half, null].map((each) => new StepSimulator(shape, each).simulate(recorder.steps)),
  );
  for (const [i, { simulated, real }] of (fast ?? []).entries()) {
    const ratio = wallSeconds(slow?.[i]?.simulated ?? []) / wallSeconds(simulated);
    assert.ok(Math.abs(ratio - 2) < 1e-9);
    assert.deepEqual(none?.[i], { step: none?.[i]?.step, real, simulated: [] });
  }
});

test('StepSimulator: a step costs the same whatever was simulated before it', async () => {
  const { recorder } = await recorded(100);
  const lengths = (served: readonly ServedStep[]): readonly number[] =>
    served.flatMap(({ simulated }) => simulated.map(({ start, end }) => end - start));
  const simulator = new StepSimulator(shape, limits);
  const all = lengths(await simulator.simulate(recorder.steps));
  const again = lengths(await simulator.simulate(recorder.steps));
  const alone = await Promise.all(
    recorder.steps.map((step) => new StepSimulator(shape, limits).simulate([step])),
  );
  assert.deepEqual(again, all);
  for (const [i, length] of lengths(alone.flat()).entries()) {
    // Differences of times on a clock that goes on.
    assert.ok(Math.abs(length - (all[i] ?? 0)) <= 1e-12, `${length}, ${all[i]}`);
  }
});
