/**
 * `moebius inspect`: the published figures of every family through the command and its JSON, what a
 * config file and a checkpoint add, and what is refused.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { presets } from '../../src/config/presets/presets.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { goldenRoot } from '../support/golden.ts';
import { temporaryFolder } from '../support/scripts.ts';

interface Figures {
  readonly name: string;
  /** As exact counts of the published tensors, without MTP. */
  readonly parameters: number;
  /** In billions, with embedding and head. */
  readonly active: string;
  readonly kvBytesPerToken: number;
  /** To train, causal, at 4,096 tokens. */
  readonly gigaflops: string;
}

const PUBLISHED: readonly Figures[] = [
  {
    name: 'deepseek-v3',
    parameters: 671_026_404_352,
    active: '37.55',
    kvBytesPerToken: 70_272,
    gigaflops: '249.81',
  },
  {
    name: 'deepseek-v2',
    parameters: 235_741_434_880,
    active: '21.38',
    kvBytesPerToken: 69_120,
    gigaflops: '155.01',
  },
  {
    name: 'deepseek-v2-lite',
    parameters: 15_706_484_224,
    active: '2.66',
    kvBytesPerToken: 31_104,
    gigaflops: '16.39',
  },
  {
    name: 'moonlight-16b-a3b',
    parameters: 15_960_108_544,
    active: '2.91',
    kvBytesPerToken: 31_104,
    gigaflops: '17.15',
  },
  {
    name: 'kimi-k2',
    parameters: 1_026_408_209_408,
    active: '32.86',
    kvBytesPerToken: 70_272,
    gigaflops: '204.48',
  },
];

for (const { name, parameters, active, kvBytesPerToken, gigaflops } of PUBLISHED) {
  test(`inspect: ${name} has its published figures`, async () => {
    const json = await moebiusJson('inspect', name);
    assert.equal(json.parameters, parameters);
    assert.equal((Number(json.activeParameters) / 1e9).toFixed(2), active);
    assert.equal(json.kvBytesPerToken, kvBytesPerToken);
    assert.equal((Number(json.flopsPerToken) / 1e9).toFixed(2), gigaflops);
    for (const key of ['parameters', 'activeParameters', 'kvBytesPerToken', 'flopsPerToken']) {
      assert.ok(Number.isSafeInteger(json[key]), `${key} is a plain integer`);
    }
  });
}

test('inspect: DeepSeek-V3’s checkpoint has 91,991 tensors, each with name, shape and dtype', async () => {
  const json = await moebiusJson('inspect', 'deepseek-v3');
  assert.equal(json.checkpointTensors, 91_991);
  assert.equal(json.checkpointBytes, 688_574_839_360);
  const { stdout } = await moebius('inspect', 'deepseek-v3', '--tensors');
  const rows = stdout.split('\n').filter((line) => line.startsWith('model.') || /^lm_/.test(line));
  assert.equal(rows.length, 91_991);
  const row = rows.find((line) => line.includes('layers.61.eh_proj.weight '));
  assert.match(row ?? '', /7168 × 14336/);
});

test('inspect: FLOPs module by module, causal and not, 6N and 8N', async () => {
  const json = await moebiusJson('inspect', 'deepseek-v3', '--modules');
  const modules = json.forwardFlopsByModule as Readonly<Record<string, number>>;
  const { mtp: _mtp, gate: _gate, ...counted } = modules;
  const forward = Object.values(counted).reduce((sum, flops) => sum + flops, 0);
  assert.equal(3 * forward, json.flopsPerToken);
  assert.equal((Number(json.flopsPerTokenNonCausal) / 1e9).toFixed(3), '280.514');
  assert.equal(json.flopsPerToken6N, 6 * Number(json.activeParametersWithHead));
  assert.equal(json.flopsPerToken8N, 8 * Number(json.activeParametersWithHead));
  const { stdout } = await moebius('inspect', 'deepseek-v3', '--modules');
  assert.match(stdout, /^routedExperts +40\.869 GFLOP +49\.1 %$/m);
  assert.match(stdout, /^gate +212\.861 MFLOP +not counted$/m);
  assert.doesNotMatch((await moebius('inspect', 'deepseek-v3')).stdout, /routedExperts +40/);
});

test('inspect: a config file says the same as the preset it came from', async (context) => {
  const file = join(temporaryFolder(context), 'config.json');
  for (const [name, config] of presets) {
    writeFileSync(file, JSON.stringify(serializeModelConfig(config)));
    const { target: _file, kind, ...fromFile } = await moebiusJson('inspect', file);
    const { target: _name, kind: _preset, ...fromPreset } = await moebiusJson('inspect', name);
    assert.equal(kind, 'config');
    assert.deepEqual(fromFile, fromPreset, name);
  }
});

test('inspect: the context moves FLOPs and nothing else', async () => {
  const short = await moebiusJson('inspect', 'v3-mini', '--context', '128');
  const long = await moebiusJson('inspect', 'v3-mini', '--context', '4096');
  assert.ok(Number(short.flopsPerToken) < Number(long.flopsPerToken));
  assert.equal(short.parameters, long.parameters);
  assert.equal(short.kvBytesPerToken, long.kvBytesPerToken);
});

test('inspect: a checkpoint is held to its config, and what it lacks is said', async () => {
  const whole = await moebiusJson('inspect', join(goldenRoot, 'v3-tiny'));
  assert.equal(whole.kind, 'checkpoint');
  assert.equal((whole.stored as { hasMtp: boolean }).hasMtp, true);
  const cut = await moebiusJson('inspect', join(goldenRoot, 'v3-tiny-fp8'));
  const { hasMtp, dtypes, notices } = cut.stored as {
    hasMtp: boolean;
    dtypes: string[];
    notices: string[];
  };
  assert.equal(hasMtp, false);
  assert.deepEqual(dtypes, ['F32', 'F8_E4M3']);
  assert.match(notices.join(), /no speculation/);
});

test('inspect: unknown names are refused with the nearest known one', async () => {
  const misspelt = await moebius('inspect', 'deepsek-v3');
  assertRefused(misspelt, 'config.unknownPreset');
  assert.match(misspelt.stderr, /Did you mean "deepseek-v3"\?/);
  const strange = await moebius('inspect', 'gpt-2');
  assertRefused(strange, 'config.unknownPreset');
  assert.match(strange.stderr, /kimi-k2/);
});

test('inspect: a config with a key nobody knows, or a value that cannot be, is refused', async (context) => {
  const file = join(temporaryFolder(context), 'config.json');
  const path = join(goldenRoot, 'v3-tiny', 'config.json');
  const good = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const codeOf = async (change: object): Promise<string> => {
    writeFileSync(file, JSON.stringify({ ...good, ...change }));
    const { code, stderr } = await moebius('inspect', file);
    assert.equal(code, 1, stderr);
    assert.doesNotMatch(stderr, /^\s+at /m);
    return stderr;
  };
  assert.match(await codeOf({ hiden_size: 64 }), /hidden_size/);
  assert.match(await codeOf({ hidden_size: -1 }), /hidden_size/);
  assert.match(await codeOf({ n_group: 5 }), /n_group|nGroup/);
  assert.match(await codeOf({ model_type: 'llama' }), /llama/);
  writeFileSync(file, '{"hidden_size": 64');
  assertRefused(await moebius('inspect', file), 'file.json');
});

test('inspect: a folder whose tensors do not fit its config is refused', async (context) => {
  const folder = temporaryFolder(context);
  cpSync(join(goldenRoot, 'v3-tiny'), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, vocab_size: 1024 }));
  const ran = await moebius('inspect', folder);
  assertRefused(ran, 'checkpoint.mismatch');
  assert.match(ran.stderr, /lm_head\.weight/);
  assertRefused(await moebius('inspect', temporaryFolder(context)), 'file.missing');
});
