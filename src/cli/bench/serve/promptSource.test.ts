/** Prompts of a load: the same again by number, what they share, and files. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../../../tests/support/scripts.ts';
import { bodyOfPrompt, promptsOfFile, randomPrompts } from './promptSource.ts';

test('randomPrompts: the same by number and seed, and alike as far as they share', () => {
  const sizes = { length: 40, sharedShare: 0.25, vocabSize: 50 };
  const source = randomPrompts({ ...sizes, seed: 1 });
  const ids = (index: number, of = source): readonly number[] => {
    const prompt = of(index);
    assert.ok(prompt.kind === 'ids');
    return prompt.ids;
  };
  assert.deepEqual(ids(3), ids(3, randomPrompts({ ...sizes, seed: 1 })));
  assert.notDeepEqual(ids(3), ids(3, randomPrompts({ ...sizes, seed: 2 })));
  const [one, two] = [ids(0), ids(1)];
  assert.deepEqual(one.slice(0, 10), two.slice(0, 10));
  assert.notDeepEqual(one.slice(10), two.slice(10));
  assert.equal(one.length, 40);
  assert.ok([...one, ...two].every((id) => id >= 0 && id < 50));
});

test('promptsOfFile: lines in turns, and objects of a .jsonl file', (context) => {
  const folder = temporaryFolder(context);
  const [text, json] = [join(folder, 'prompts.txt'), join(folder, 'prompts.jsonl')];
  writeFileSync(text, 'one\n\ntwo\r\n');
  const source = promptsOfFile(text);
  assert.deepEqual(
    [0, 1, 2].map((index) => bodyOfPrompt(source(index), 'completions')),
    [{ prompt: 'one' }, { prompt: 'two' }, { prompt: 'one' }],
  );
  const messages = [{ role: 'user', content: 'two' }];
  assert.deepEqual(bodyOfPrompt(source(1), 'chat'), { messages });
  writeFileSync(json, JSON.stringify({ messages, max_tokens: 3 }));
  assert.deepEqual(bodyOfPrompt(promptsOfFile(json)(5), 'chat'), { messages, max_tokens: 3 });
});

test('promptsOfFile: what is empty, no JSON, or for the other endpoint is refused', (context) => {
  const path = join(temporaryFolder(context), 'prompts.jsonl');
  for (const text of ['', '\n', 'words', '{"text":"a"}', '[1]']) {
    writeFileSync(path, text);
    assert.throws(() => promptsOfFile(path), { code: 'bench.prompts' }, text);
  }
  writeFileSync(path, '{"prompt":"a"}');
  assert.throws(() => bodyOfPrompt(promptsOfFile(path)(0), 'chat'), { code: 'bench.endpoint' });
  assert.throws(() => bodyOfPrompt({ kind: 'ids', ids: [1] }, 'chat'), { code: 'bench.endpoint' });
});
