/**
 * `bench decode --speculate`: what it counts follows from the drafts it was given, its bound from
 * the bytes it names, and what it cannot run is refused. No timing is a test.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { v3Mini } from '../../src/config/presets/small.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { assertRefused, type Json, moebius, moebiusJson } from '../support/commandLine.ts';
import { goldenRoot } from '../support/golden.ts';
import { temporaryFolder } from '../support/scripts.ts';

const small: ModelConfig = {
  ...v3Mini,
  vocabSize: 512,
  hiddenSize: 64,
  intermediateSize: 128,
  moeIntermediateSize: 32,
  numHiddenLayers: 3,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
};

function configOf(context: TestContext, changes: Partial<ModelConfig> = {}): string[] {
  const path = join(temporaryFolder(context), 'config.json');
  writeFileSync(path, JSON.stringify(serializeModelConfig({ ...small, ...changes })));
  return ['bench', 'decode', '--tiny', '--config', path];
}

function boundOf(json: Json, numSequences = 1): number {
  const spent = Number(json.verifyBytes) + Number(json.draftBytes);
  return ((Number(json.tokensPerStep) / numSequences) * Number(json.plainBytes)) / spent;
}

test('bench decode --speculate: made-up drafts stand as often as they are said to', async (context) => {
  const config = configOf(context);
  for (const acceptance of [1, 0]) {
    const json = await moebiusJson(...config, '--speculate', '1', '--acceptance', `${acceptance}`);
    assert.deepEqual(json.acceptancePerPosition, [acceptance]);
    assert.equal(json.tokensPerStep, 1 + acceptance);
    assert.equal(json.plainExperts, small.numExpertsPerTok);
    assert.ok(Number(json.verifyExperts) >= small.numExpertsPerTok);
    assert.ok(Number(json.verifyBytes) > Number(json.plainBytes));
    assert.ok(Math.abs(Number(json.bound) - boundOf(json)) < 1e-9);
    for (const key of ['speedup', 'shareOfBound', 'plainTokensPerSecond', 'draftMilliseconds']) {
      assert.ok(Number(json[key]) > 0, key);
    }
  }
});

test('bench decode --speculate: several drafts and sequences, each with its places', async (context) => {
  const more = ['--speculate', '3', '--batch', '2', '--num-prompts', '4', '--temperature', '1'];
  const json = await moebiusJson(...configOf(context), ...more);
  assert.equal((json.acceptancePerPosition as readonly number[]).length, 3);
  assert.equal(json.prompts, 4);
  const one = await moebiusJson(...configOf(context), '--speculate', '1');
  assert.ok(Number(json.draftBytes) > 2 * Number(one.draftBytes));
});

test('bench decode --speculate: a checkpoint drafts by its own module', async () => {
  const model = ['--model', join(goldenRoot, 'v3-tiny-trained')];
  const json = await moebiusJson('bench', 'decode', '--tiny', ...model, '--speculate', '1');
  assert.equal(json.promptsAre, 'made up');
  assert.ok(Number(json.tokensPerStep) >= 1 && Number(json.tokensPerStep) <= 2);
});

test('bench decode --speculate: what it cannot run is refused', async (context) => {
  const config = configOf(context);
  const plain = configOf(context, { numNextnPredictLayers: 0 });
  assertRefused(await moebius(...plain, '--speculate', '1'), 'bench.speculate');
  assertRefused(await moebius(...config, '--speculate', '3', '--batch', '5'), 'bench.speculate');
  const often = ['--speculate', '1', '--acceptance', '2'];
  assertRefused(await moebius(...config, ...often), 'bench.speculate');
  assertRefused(await moebius(...config, '--speculate', '1', '--shapes'), 'bench.option');
  for (const alone of [
    ['--num-prompts', '3'],
    ['--temperature', '1'],
    ['--acceptance', '0.5'],
  ]) {
    assertRefused(await moebius(...config, ...alone), 'bench.option');
  }
});
