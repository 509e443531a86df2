/**
 * The library as a program uses it, through src/index.ts: text as it comes and what came of it, one
 * text at a time, training and its prediction, figures, and the mistakes a program can make.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import {
  type GenerateOptions,
  inspectModel,
  type LoadedModel,
  loadModel,
  loadTokenizer,
  MoebiusError,
  parseModelConfig,
  predictTraining,
  presets,
  resolveTraining,
  saveTokenizerJson,
  serializeModelConfig,
  type TrainConfig,
  type TrainingEvent,
  trainBpe,
  trainModel,
} from '../../src/index.ts';
import { moebiusJson } from '../support/commandLine.ts';
import { writeLetterCheckpoint } from '../support/letterCheckpoint.ts';
import { assertSameRun } from '../support/sameRun.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';
import { NUM_STEPS, tinyRun, tinySettings, writeText } from '../support/tinyRun.ts';

let letters: string;
let model: LoadedModel;
let config: TrainConfig;
let text: string;

before(async (context) => {
  letters = writeLetterCheckpoint(temporaryFolder(context as TestContext));
  model = await loadModel(letters);
  text = writeText(temporaryFolder(context as TestContext));
  const settings = tinySettings(text).filter((word) => word !== '--set');
  config = resolveTraining('tiny', settings).config;
});

async function collect(pieces: AsyncIterable<string>): Promise<string> {
  let all = '';
  for await (const piece of pieces) all += piece;
  return all;
}

test('loadModel: text comes in pieces, and finish() says what came of it', async () => {
  const generation = model.generate('head', { maxTokens: 12, ignoreEos: true });
  const streamed = await collect(generation);
  const completion = await generation.finish();
  assert.equal(completion.text, streamed);
  assert.equal(completion.ids.length, 12);
  assert.equal(model.tokenizer.decode(completion.ids), streamed);
  const { numTokens, numPromptTokens, finishReason, acceptanceRate } = completion;
  assert.deepEqual(
    [numTokens, numPromptTokens, finishReason, acceptanceRate],
    [12, 4, 'length', 0],
  );
});

test('loadModel: gives what the command gives, with and without speculation', async () => {
  const options = { maxTokens: 20, temperature: 1, topP: 0.9, seed: 5, ignoreEos: true };
  const args = ['--max-tokens', '20', '--temperature', '1', '--top-p', '0.9', '--seed', '5'];
  const command = ['generate', '--checkpoint', letters, '--prompt', 'head', ...args];
  const { text: expected } = await moebiusJson(...command, '--ignore-eos');
  assert.equal((await model.generate('head', options).finish()).text, expected);
  const drafted = await model.generate('head', { ...options, speculate: true }).finish();
  assert.equal(drafted.text, expected);
  assert.ok(drafted.numDrafted > 0 && drafted.numPasses < 19);
});

test('loadModel: stop strings end a text before them', async () => {
  const options: GenerateOptions = { maxTokens: 30, temperature: 0, ignoreEos: true };
  const whole = await model.generate('jxbfdrbx', options).finish();
  const stop = whole.text.slice(5, 8);
  const stopped = await model.generate('jxbfdrbx', { ...options, stop }).finish();
  assert.deepEqual([stopped.text, stopped.finishReason], [whole.text.slice(0, 5), 'stopped']);
});

test('loadModel: whoever leaves the loop frees the model, and finish() knows how far it came', async () => {
  const generation = model.generate('head', { maxTokens: 40, ignoreEos: true });
  let seen = '';
  for await (const piece of generation) {
    seen += piece;
    if (seen.length >= 3) break;
  }
  const { finishReason, text: kept, numTokens } = await generation.finish();
  assert.deepEqual([finishReason, kept, numTokens], ['left', seen, 3]);
  assert.equal((await model.generate('head', { maxTokens: 2 }).finish()).finishReason, 'length');
});

test('loadModel: one text at a time, once, and not of a closed model', async () => {
  const first = model.generate('head', { maxTokens: 5, ignoreEos: true })[Symbol.asyncIterator]();
  await first.next();
  await assert.rejects(model.generate('head').finish(), { code: 'model.busy' });
  await first.return?.();
  const once = model.generate('head', { maxTokens: 1 });
  await collect(once);
  assert.throws(() => once[Symbol.asyncIterator](), { code: 'generate.once' });
  const closing = await loadModel(letters);
  const underWay = closing.generate('head', { maxTokens: 5, ignoreEos: true });
  await assert.rejects(
    async () => {
      for await (const _ of underWay) closing.close();
    },
    { code: 'model.closed' },
  );
  await assert.rejects(underWay.finish(), { code: 'model.closed' });
  await assert.rejects(closing.generate('head').finish(), { code: 'model.closed' });
});

test('loadModel: the event loop gets its turns while a text is written', async () => {
  let numTurns = 0;
  const timer = setInterval(() => numTurns++, 1);
  await model.generate('head', { maxTokens: 50, ignoreEos: true }).finish();
  clearInterval(timer);
  assert.ok(numTurns > 0, 'a timer came up');
});

test('loadModel: chat answers by the template, and words cannot forge a turn', async (context) => {
  const talking = await loadModel(await writeTalkingCheckpoint(temporaryFolder(context)));
  const promptTokens = async (content: string): Promise<number> => {
    const answer = talking.chat([{ role: 'user', content }], { maxTokens: 1 });
    return (await answer.finish()).numPromptTokens;
  };
  const { numPromptTokens } = await talking.generate('x<|end|>', { maxTokens: 1 }).finish();
  assert.equal(numPromptTokens, 2, 'in a prompt a spelled token is that token');
  assert.equal((await promptTokens('x<|end|>')) - (await promptTokens('x')), '<|end|>'.length);
  const strange = talking.chat([{ role: 'nobody', content: 'x' }]);
  await assert.rejects(strange.finish(), { code: 'chat.template' });
});

test('loadModel: misspelt options and values that cannot be are refused by name', async () => {
  const wrong = (options: object): GenerateOptions => options as GenerateOptions;
  assert.throws(() => model.generate('a', wrong({ maxTokns: 3 })), {
    code: 'library.option',
    hint: 'Use maxTokens.',
  });
  for (const options of [
    { seed: -1 },
    { seed: 1.5 },
    { speculate: -1 },
    { stop: '' },
    { stop: [3] },
  ]) {
    assert.throws(() => model.generate('a', wrong(options)), { code: 'library.option' });
  }
  for (const options of [{ temperature: -1 }, { topP: 0 }, { minP: 2 }, { topK: 0.5 }]) {
    await assert.rejects(model.generate('a', options).finish(), { code: 'sampling.invalid' });
  }
  await assert.rejects(model.generate('a', { maxTokens: 0 }).finish(), {
    code: 'generate.maxTokens',
  });
  await assert.rejects(model.generate('HELLO').finish(), { code: 'tokenizer.unknownByte' });
  for (const maxContext of [0, 1, 2.5, Number.NaN]) {
    await assert.rejects(loadModel(letters, { maxContext }), { code: 'library.option' });
  }
  await assert.rejects(loadModel('/absent'), MoebiusError);
  const small = await loadModel(letters, { maxContext: 8, kernels: 'reference' });
  assert.deepEqual([small.maxContext, small.machine], [8, 'reference']);
  const { numTokens } = await small.generate('head', { ignoreEos: true }).finish();
  assert.equal(numTokens, 4);
});

test('trainModel: the run of the command, watched by a program', async (context) => {
  const folder = temporaryFolder(context);
  const events: TrainingEvent[] = [];
  const [one, other] = [join(folder, 'one'), join(folder, 'other')];
  const run = await trainModel(config, {
    directory: one,
    onEvent: (event) => void events.push(event),
  });
  assert.deepEqual([run.end, run.step, run.directory], ['finished', NUM_STEPS, one]);
  assert.equal(events.filter(({ kind }) => kind === 'step').length, NUM_STEPS);
  assert.ok(run.predictedStepSeconds > 0 && (run.stepSeconds ?? 0) > 0);
  await moebiusJson(...tinyRun({ text, out: other }));
  assertSameRun(one, other);
  await assert.rejects(trainModel(config, { directory: one }), { code: 'run.exists' });

  const trained = await loadModel(run.checkpoint?.directory ?? '');
  assert.ok((await trained.generate('the', { maxTokens: 5 }).finish()).numTokens > 0);
});

test('trainModel: a signal ends it with a checkpoint, and it resumes', async (context) => {
  const directory = join(temporaryFolder(context), 'run');
  const stop = new AbortController();
  const part = await trainModel(config, {
    directory,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.kind === 'step' && event.step === 3) stop.abort();
    },
  });
  assert.deepEqual([part.end, part.step], ['requested', 3]);
  const rest = await trainModel(config, { directory, resume: true });
  assert.deepEqual([rest.end, rest.step], ['finished', NUM_STEPS]);
});

test('trainModel: a config that cannot be is refused before anything is begun', async (context) => {
  const directory = join(temporaryFolder(context), 'run');
  const broken = { ...config, batch: { ...config.batch, microBatch: 7 } };
  await assert.rejects(trainModel(broken, { directory }), MoebiusError);
  await assert.rejects(predictTraining({ ...config, steps: -1 }), MoebiusError);
});

test('predictTraining: a step’s seconds and memory, without text', async () => {
  const absent = { ...config.data, sources: [{ path: '/absent', weight: null }] };
  const predicted = await predictTraining({ ...config, data: absent });
  const { stepSeconds, runSeconds, operations, parameters } = predicted;
  assert.ok(stepSeconds > 0);
  assert.equal(runSeconds, stepSeconds * NUM_STEPS);
  assert.equal(parameters, (await inspectModel(config.model)).parameters);
  const sum = operations.reduce((total, { seconds }) => total + seconds, 0);
  assert.ok(Math.abs(sum / stepSeconds - 1) < 1e-6, 'the step is its operations');
  // Four bytes each for weight, gradient and two moments.
  assert.ok(predicted.stateBytes > 16 * parameters);
});

test('inspectModel: a name, a file’s path and a config say the same', async () => {
  const named = await inspectModel('deepseek-v3');
  assert.equal(named.parameters, 671_026_404_352);
  const preset = presets.get('deepseek-v3');
  assert.ok(preset !== undefined);
  const { kind, ...figures } = await inspectModel(preset);
  assert.deepEqual({ ...figures, kind: 'preset' }, named);
  assert.equal(kind, 'config');
  assert.deepEqual(parseModelConfig(serializeModelConfig(preset), 'config.json'), preset);
  assert.equal((await inspectModel(letters)).kind, 'checkpoint');
  await assert.rejects(inspectModel('deepsek-v3'), { code: 'config.unknownPreset' });
});

test('trainBpe: a tokenizer of one’s own, saved and loaded', () => {
  const json = saveTokenizerJson(trainBpe([readFileSync(text)], { vocabSize: 300 }));
  const tokenizer = loadTokenizer(json);
  assert.equal(tokenizer.decode(tokenizer.encode('the whale 鲸 🐋')), 'the whale 鲸 🐋');
});
