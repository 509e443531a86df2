/**
 * `moebius chat` with its standard input from a pipe: the template, what is remembered, the end.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { assertRefused, moebius, moebiusJson, startMoebius } from '../support/commandLine.ts';
import { writeLetterCheckpoint } from '../support/letterCheckpoint.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';

let folder: string;

before(async (context) => {
  folder = await writeTalkingCheckpoint(temporaryFolder(context as TestContext));
});

/** The answers to some lines, greedy, without the notes about speed. */
async function answersTo(lines: readonly string[], ...args: readonly string[]): Promise<string[]> {
  const options = ['--checkpoint', folder, '--max-tokens', '8', '--temperature', '0', ...args];
  const input = lines.map((line) => `${line}\n`).join('');
  const ran = await startMoebius(['chat', ...options], { input }).ended;
  assert.equal(ran.code, 0, ran.stderr);
  const [, ...answers] = ran.stdout.split(/leaves\.\n(?:> )?|\n\[\d.*\]\n(?:> )?/);
  return answers.slice(0, -1);
}

test('chat: every line of a pipe is answered, to the end of the input or to /exit', async () => {
  assert.equal((await answersTo(['hello', 'you', ''])).length, 2);
  assert.equal((await answersTo(['hello', '/exit', 'more'])).length, 1);
  assert.equal((await answersTo([])).length, 0);
});

test('chat: what was said before stands in front of a question, and /reset forgets it', async (context) => {
  const letters = writeLetterCheckpoint(temporaryFolder(context));
  const chat_template = '{% for m in messages %}{{ m.content }}{% endfor %}';
  writeFileSync(join(letters, 'tokenizer_config.json'), JSON.stringify({ chat_template }));
  const greedy = ['--checkpoint', letters, '--max-tokens', '8', '--temperature', '0'];
  const continued = async (prompt: string): Promise<unknown> =>
    (await moebiusJson('generate', ...greedy, '--prompt', prompt)).text;
  const [one, two, three] = await answersTo(['jxbf', 'wolf', '/reset', 'wolf'], ...greedy);
  assert.equal(one, await continued('jxbf'));
  assert.equal(two, await continued(`jxbf${one}wolf`));
  assert.equal(three, await continued('wolf'));
  assert.notEqual(two, three);
  const [instructed] = await answersTo(['wolf'], ...greedy, '--system', 'jxbf');
  assert.equal(instructed, await continued('jxbfwolf'));
});

test('chat: speculation changes no word', async () => {
  const lines = ['hello', 'you'];
  assert.deepEqual(await answersTo(lines, '--speculate', '2'), await answersTo(lines));
});

test('chat: the checkpoint’s own template is used, and a broken one refused', async (context) => {
  const copy = await writeTalkingCheckpoint(temporaryFolder(context));
  const configure = (chat_template: string): void =>
    writeFileSync(join(copy, 'tokenizer_config.json'), JSON.stringify({ chat_template }));
  const args = ['chat', '--checkpoint', copy, '--max-tokens', '4', '--temperature', '0'];
  configure('{{ messages[0].content }}');
  const { code, stdout } = await startMoebius(args, { input: 'hello\n' }).ended;
  assert.equal(code, 0);
  const generated = await moebius('generate', ...args.slice(1), '--prompt', 'hello', '--json');
  const { text } = JSON.parse(generated.stdout.trimEnd().split('\n').at(-1) ?? '') as {
    text: string;
  };
  assert.ok(stdout.includes(`> ${text}\n[4 tokens`), stdout);
  configure('{% for %}');
  assertRefused(await startMoebius(args, { input: 'hello\n' }).ended, 'chat.template');
});
