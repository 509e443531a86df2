/** Training configs: the report's defaults, what is refused, and `--set`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../base/errors.ts';
import { MoebiusError } from '../base/errors.ts';
import { parseTrainConfig } from './parseTrainConfig.ts';
import { v3Mini } from './presets/small.ts';
import { applySettings, settingPaths } from './settings.ts';
import { TRAIN_DEFAULTS, type TrainConfig, V3_FIM_RATE } from './trainConfig.ts';

const least = { name: 'run', steps: 10, model: v3Mini };
const config: TrainConfig = parseTrainConfig(least, 'test');

function refuses(body: () => unknown, code: ErrorCode, message: RegExp, hint?: string): void {
  assert.throws(body, (error: unknown) => {
    assert.ok(error instanceof MoebiusError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    if (hint !== undefined) assert.equal(error.hint, hint);
    return true;
  });
}

const parse = (over: object) => () => parseTrainConfig({ ...least, ...over }, 'run.yaml');

test("Training defaults: what released configs leave out is DeepSeek-V3's, 4.2", () => {
  const { balance, mtp, optimizer, learningRate } = TRAIN_DEFAULTS;
  assert.equal(balance.coefficient, 1e-4);
  assert.equal(balance.form, 'paper');
  assert.equal(balance.biasSpeed, 0.001);
  assert.equal(balance.freezeShare * 14.8, 14.3);
  assert.deepEqual([mtp.weight, mtp.finalWeight], [0.3, 0.1]);
  assert.equal(mtp.switchShare * 14.8, 10);
  assert.deepEqual(optimizer, {
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    maxGradientNorm: 1,
  });
  assert.deepEqual([learningRate.peak, learningRate.warmupSteps], [2.2e-4, 2000]);
  // Ratios times the peak, so within rounding.
  const rates = [learningRate.endRatio, ...learningRate.tails.map((tail) => tail.ratio)];
  for (const [i, rate] of [2.2e-5, 2.2e-5, 7.3e-6].entries()) {
    assert.ok(Math.abs((rates[i] ?? 0) * learningRate.peak - rate) < 1e-19);
  }
  assert.equal(V3_FIM_RATE, 0.1);
});

test('parseTrainConfig: name, steps and model are enough; everything else is filled in', () => {
  assert.deepEqual(config, { ...TRAIN_DEFAULTS, ...least });
});

test('parseTrainConfig: parts of a section keep the rest of its defaults', () => {
  const partial = parse({ balance: { biasSpeed: 0.01 }, data: { fimRate: 0.1 } })();
  assert.equal(partial.balance.biasSpeed, 0.01);
  assert.equal(partial.balance.coefficient, 1e-4);
  assert.deepEqual(partial.data.sources, TRAIN_DEFAULTS.data.sources);
});

test('parseTrainConfig: a bare path is a source', () => {
  const { data } = parse({ data: { sources: ['a.txt', { path: 'b' }] } })();
  assert.deepEqual(data.sources, [
    { path: 'a.txt', weight: null },
    { path: 'b', weight: null },
  ]);
});

test('parseTrainConfig: its own output, through JSON, parses to itself', () => {
  assert.deepEqual(parseTrainConfig(JSON.parse(JSON.stringify(config)), 'again'), config);
});

test('parseTrainConfig: an unknown key is refused with the nearest, at any depth', () => {
  const unknown = 'config.unknownKey';
  refuses(parse({ step: 5 }), unknown, /unknown key step$/, 'Did you mean steps?');
  refuses(
    parse({ balance: { cofficient: 1 } }),
    unknown,
    /run\.yaml: unknown key balance\.cofficient/,
    'Did you mean balance.coefficient?',
  );
  refuses(
    parse({ model: { ...v3Mini, hidenSize: 3 } }),
    unknown,
    /model\.hidenSize/,
    'Did you mean model.hiddenSize?',
  );
  refuses(
    parse({ learningRate: { tails: [{ share: 0.1, ratio: 0.1, rato: 1 }] } }),
    unknown,
    /tails\.0\.rato/,
    'Did you mean learningRate.tails.0.ratio?',
  );
  refuses(parse({ zzzzzz: 1 }), unknown, /zzzzzz/, 'Remove zzzzzz.');
});

test('parseTrainConfig: what is missing or of the wrong type is named with its path', () => {
  refuses(() => parseTrainConfig([], 'x'), 'config.type', /is an object/);
  refuses(() => parseTrainConfig({ name: 'a', steps: 1 }, 'x'), 'config.missingKey', /x: model/);
  refuses(parse({ steps: '10' }), 'config.invalid', /steps is "10"/);
  refuses(parse({ steps: 0 }), 'config.invalid', /steps is 0/);
  refuses(parse({ seed: 1.5 }), 'config.invalid', /seed is 1\.5/);
  refuses(parse({ learningRate: { peak: Number.NaN } }), 'config.invalid', /learningRate\.peak/);
  refuses(parse({ data: { sources: [] } }), 'config.invalid', /data\.sources/);
  refuses(parse({ name: '../x' }), 'config.invalid', /name is "\.\.\/x"/);
  refuses(parse({ guard: { onFault: 'hope' } }), 'config.invalid', /guard\.onFault is "hope"/);
});

test('parseTrainConfig: values that disagree are refused with what to do', () => {
  const invalid = 'config.invalid';
  refuses(parse({ batch: { sequences: 6 } }), invalid, /6 is not a multiple of microBatch 4/);
  refuses(parse({ batch: { rampFrom: 6 } }), invalid, /rampFrom 6/);
  refuses(parse({ batch: { rampFrom: 32 } }), invalid, /rampFrom 32/);
  refuses(parse({ batch: { length: 8192 } }), invalid, /above the model's 4096/);
  refuses(parse({ batch: { length: 1 } }), invalid, /no room for 1 MTP/);
  refuses(parse({ learningRate: { constantShare: 0.9 } }), invalid, /add up to 1\.2/);
  refuses(
    parse({ data: { sources: ['a', { path: 'b', weight: 2 }] } }),
    invalid,
    /1 of 2 data\.sources have a weight/,
  );
  refuses(parse({ evaluation: { weights: 'average' } }), invalid, /average\.decay is null/);
  refuses(parse({ model: { ...v3Mini, fp8WeightBlock: [128, 128] } }), invalid, /fp8WeightBlock/);
  refuses(parse({ model: { ...v3Mini, nGroup: 5 } }), invalid, /not a multiple of nGroup/);
});

test('applySettings: text takes the type of the value it replaces', () => {
  const changed = applySettings(config, [
    'steps=25',
    'learningRate.peak=1e-3',
    'model.normTopkProb=false',
    'name=other',
    'evaluation.every=50',
    'average.decay=0.999',
    'sample.prompts=["a", "b=c"]',
    'data.sources.0.path=texts/a.txt',
    'tokenizer.path=tokenizer.json',
    'machine.threads=null',
    'mtp.weight=0',
  ]);
  assert.equal(changed.steps, 25);
  assert.equal(changed.learningRate.peak, 1e-3);
  assert.equal(changed.model.normTopkProb, false);
  assert.equal(changed.name, 'other');
  assert.equal(changed.evaluation.every, 50);
  assert.equal(changed.average.decay, 0.999);
  assert.deepEqual(changed.sample.prompts, ['a', 'b=c']);
  assert.equal(changed.data.sources[0]?.path, 'texts/a.txt');
  assert.equal(changed.tokenizer.path, 'tokenizer.json');
  assert.equal(changed.machine.threads, null);
  assert.equal(changed.mtp.weight, 0);
  assert.equal(config.steps, 10, 'the config that was given stays as it is');
});

test('applySettings: a bare word for a list is a list of one, and later settings win', () => {
  const changed = applySettings(config, ['data.sources=a.txt', 'steps=1', 'steps=2']);
  assert.deepEqual(changed.data.sources, [{ path: 'a.txt', weight: null }]);
  assert.equal(changed.steps, 2);
  assert.equal(applySettings(config, []), config);
});

test('applySettings: a path that does not exist is refused with the one that was meant', () => {
  const set = (setting: string) => () => applySettings(config, [setting]);
  const unknown = 'config.unknownKey';
  refuses(set('hiddenSize=64'), unknown, /no hiddenSize/, 'Did you mean model.hiddenSize?');
  refuses(set('learningRate.peek=1'), unknown, /peek/, 'Did you mean learningRate.peak?');
  refuses(set('steps.x=1'), unknown, /no steps\.x/);
  refuses(set('data.sources.7.path=a'), unknown, /no data\.sources\.7\.path/);
  refuses(set('__proto__.x=1'), unknown, /__proto__/);
  refuses(set('constructor=1'), unknown, /constructor/);
});

test('applySettings: text of the wrong type or shape is refused', () => {
  const set = (setting: string) => () => applySettings(config, [setting]);
  refuses(set('steps'), 'config.setting', /is not PATH=VALUE/);
  refuses(set('=3'), 'config.setting', /is not PATH=VALUE/);
  refuses(set('steps=many'), 'config.setting', /steps is a number/);
  refuses(set('steps='), 'config.setting', /steps is a number/);
  refuses(set('model.normTopkProb=1'), 'config.setting', /true or false/);
  refuses(set('balance=3'), 'config.setting', /a JSON object/);
  refuses(set('steps=null'), 'config.invalid', /steps is null/);
  refuses(set('steps=2.5'), 'config.invalid', /steps is 2\.5/);
  refuses(set('guard.onFault=hope'), 'config.invalid', /onFault/);
});

test('settingPaths: every path it lists can be set to its own value', () => {
  const paths = settingPaths(config);
  assert.ok(paths.some(([path]) => path === 'model.hiddenSize'));
  for (const [path, value] of paths) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    assert.deepEqual(applySettings(config, [`${path}=${text}`]), config, path);
  }
});
