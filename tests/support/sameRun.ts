/**
 * Whether two folders hold the same training run: weights and optimiser byte for byte, the
 * trainer's state, the losses of every step. Only what a clock says may differ.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Json } from './commandLine.ts';

export function assertSameRun(actual: string, expected: string): void {
  const checkpoints = (run: string): string[] => readdirSync(join(run, 'checkpoints')).sort();
  assert.deepEqual(checkpoints(actual), checkpoints(expected), 'the same checkpoints are kept');
  for (const name of checkpoints(expected)) {
    const [a, b] = [join(actual, 'checkpoints', name), join(expected, 'checkpoints', name)];
    if (name === 'best.json') assert.deepEqual(readFileSync(a, 'utf8'), readFileSync(b, 'utf8'));
    else assertSameCheckpoint(a, b);
  }
  assert.deepEqual(stepsOf(actual), stepsOf(expected), 'the same steps');
}

export function assertSameCheckpoint(actual: string, expected: string): void {
  const files = readdirSync(expected).sort();
  assert.deepEqual(readdirSync(actual).sort(), files);
  for (const file of files) {
    const [a, b] = [readFileSync(join(actual, file)), readFileSync(join(expected, file))];
    if (file === 'trainer_state.json') assert.deepEqual(timeless(a), timeless(b));
    else if (file === 'train.json') assert.deepEqual(homeless(a), homeless(b));
    else assert.ok(a.equals(b), `${file} of ${actual} is that of ${expected}`);
  }
}

function timeless(state: Buffer): Json {
  const { elapsedSeconds, ...rest } = JSON.parse(state.toString()) as Json;
  assert.equal(typeof elapsedSeconds, 'number');
  return rest;
}

function homeless(config: Buffer): Json {
  const { directory, ...rest } = JSON.parse(config.toString()) as Json;
  assert.equal(typeof directory, 'string');
  return rest;
}

/** Every line of `metrics.jsonl`; each is whole. */
export function eventsOf(run: string): readonly Json[] {
  const text = readFileSync(join(run, 'metrics.jsonl'), 'utf8');
  assert.ok(text.endsWith('\n'), 'the last line is whole');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
}

/**
 * What became of each step, without times. A killed run repeats the steps behind its last
 * checkpoint; they are the same again, so the last of each stands for all.
 */
function stepsOf(run: string): readonly Json[] {
  const steps = new Map<unknown, Json>();
  for (const event of eventsOf(run)) {
    if (event.kind !== 'step') continue;
    const { step, tokens, epochs, loss, mainLoss, mtpLoss, balanceLoss, gradientNorm } = event;
    const { learningRate, balance } = event;
    const kept = { step, tokens, epochs, loss, mainLoss, mtpLoss, balanceLoss, gradientNorm };
    const summary = { ...kept, learningRate, balance };
    if (steps.has(step)) assert.deepEqual(summary, steps.get(step), `step ${step}, repeated`);
    steps.set(step, summary);
  }
  return [...steps.values()];
}
