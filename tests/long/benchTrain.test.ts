/** The benchmark of a training step on the model that it takes when none is named. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, moebiusJson } from '../support/commandLine.ts';

test('bench train: without a config ends with its figures and its operations', async () => {
  const train = await moebiusJson('bench', 'train', '--tiny', '--operations');
  for (const key of ['tokensPerSecond', 'stepSeconds', 'predictedStepSeconds', 'peakMemoryBytes']) {
    assert.ok(Number(train[key]) > 0 && Number.isFinite(train[key]), `${key} is ${train[key]}`);
  }
  assert.equal((train.allStepSeconds as readonly number[]).length, 2);
  const operations = train.operations as readonly Json[];
  for (const name of ['matmul', 'groupedMatmul', 'mlaAttention', 'adamw', 'between']) {
    assert.ok(
      operations.some(({ operation }) => String(operation).startsWith(name)),
      name,
    );
  }
});
