/** tokenizer_config.json, read and written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_CHAT_TEMPLATE } from './chatTemplate.ts';
import { readTokenizerConfig, saveTokenizerConfig } from './tokenizerConfig.ts';

test('readTokenizerConfig: takes tokens as texts or objects, and leaves out what is null', () => {
  const text = JSON.stringify({
    bos_token: { __type: 'AddedToken', content: '<s>' },
    eos_token: '</s>',
    pad_token: null,
    add_bos_token: true,
    chat_template: '{{ messages }}',
    model_max_length: 131072,
  });
  assert.deepEqual(readTokenizerConfig(text), {
    bosToken: '<s>',
    eosToken: '</s>',
    addBosToken: true,
    chatTemplate: '{{ messages }}',
  });
  assert.deepEqual(readTokenizerConfig('{}'), { addBosToken: false });
});

test('readTokenizerConfig: takes the default of several templates', () => {
  const templates = [
    { name: 'tool_use', template: 'a' },
    { name: 'default', template: 'b' },
  ];
  const text = JSON.stringify({ chat_template: templates });
  assert.equal(readTokenizerConfig(text).chatTemplate, 'b');
  const none = JSON.stringify({ chat_template: templates.slice(0, 1) });
  assert.throws(() => readTokenizerConfig(none), { code: 'tokenizer.shape' });
});

test('readTokenizerConfig: reads what saveTokenizerConfig writes', () => {
  const config = {
    bosToken: '<a>',
    eosToken: '<b>',
    padToken: '<c>',
    addBosToken: false,
    chatTemplate: DEFAULT_CHAT_TEMPLATE,
  };
  assert.deepEqual(readTokenizerConfig(saveTokenizerConfig(config)), config);
  const usual = readTokenizerConfig(saveTokenizerConfig({}));
  assert.equal(usual.bosToken, '<｜begin▁of▁sentence｜>');
  assert.equal(usual.addBosToken, true);
});

test('readTokenizerConfig: refuses what is no JSON or has fields of the wrong type', () => {
  assert.throws(() => readTokenizerConfig('{'), { code: 'tokenizer.notJson' });
  for (const field of [{ bos_token: 7 }, { eos_token: {} }, { add_bos_token: 'yes' }]) {
    assert.throws(() => readTokenizerConfig(JSON.stringify(field)), { code: 'tokenizer.shape' });
  }
  assert.throws(() => readTokenizerConfig('[]'), { code: 'tokenizer.shape' });
});
