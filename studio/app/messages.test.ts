/** The two languages of the page, and what a key press means in either. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { commandOf } from './keyboard.ts';
import { chooseLanguage, fillIn, type MessageTable, wordsOf } from './language.ts';
import { messages } from './messages.ts';
import { chooseTheme, shownTheme } from './theme.ts';

const studio = new URL('../', import.meta.url);
const folders = readdirSync(studio).filter((name) =>
  existsSync(new URL(`${name}/messages.ts`, studio)),
);

async function tableOf(folder: string): Promise<MessageTable<string>> {
  const module: unknown = await import(new URL(`${folder}/messages.ts`, studio).href);
  return (module as { readonly messages: MessageTable<string> }).messages;
}

test('messages: every folder with a view has its words', () => {
  const views = readdirSync(studio).filter((name) =>
    existsSync(new URL(`${name}/view.tsx`, studio)),
  );
  assert.ok(views.length >= 5);
  assert.deepEqual(
    views.filter((name) => !folders.includes(name)),
    [],
  );
});

test('messages: both languages have the same keys, each with the same values to fill in', async () => {
  for (const name of folders) {
    const { en, zh } = await tableOf(name);
    assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort(), name);
    for (const key of Object.keys(en)) {
      assert.deepEqual(slots(zh[key]), slots(en[key]), `${name}: ${key}`);
      assert.notEqual(zh[key], '', `${name}: ${key}`);
    }
  }
});

function slots(message = ''): readonly string[] {
  return (message.match(/\{\w+\}/g) ?? []).sort();
}

test('wordsOf: fills values in and leaves a slot without one as it is written', () => {
  assert.equal(wordsOf(messages, 'en')('keyOpen', { view: 'Chat' }), 'Open Chat');
  assert.equal(fillIn('{a} of {b}', { a: 1 }), '1 of {b}');
});

test('chooseLanguage: the choice of before, or the first of the list that is spoken here', () => {
  assert.equal(chooseLanguage('zh', ['en-GB']), 'zh');
  assert.equal(chooseLanguage(undefined, ['fr', 'zh-TW', 'en']), 'zh');
  assert.equal(chooseLanguage('xx', ['fr']), 'en');
});

test('shownTheme: the system decides only where nobody has', () => {
  assert.equal(shownTheme(chooseTheme('dark'), false), 'dark');
  assert.equal(shownTheme(chooseTheme('light'), true), 'light');
  assert.equal(shownTheme(chooseTheme('pink'), true), 'dark');
  assert.equal(shownTheme(chooseTheme(undefined), false), 'light');
});

test('commandOf: digits open views, ? the list of keys, and typing is left alone', () => {
  const free = { altKey: false, ctrlKey: false, metaKey: false, isTyping: false };
  assert.deepEqual(commandOf({ ...free, key: '4' }), { kind: 'open', view: 'timeline' });
  assert.deepEqual(commandOf({ ...free, key: '?' }), { kind: 'help' });
  for (const key of ['6', '0', 'a', 'Enter', '12']) {
    assert.equal(commandOf({ ...free, key }), undefined);
  }
  assert.equal(commandOf({ ...free, key: '1', isTyping: true }), undefined);
  assert.equal(commandOf({ ...free, key: '1', ctrlKey: true }), undefined);
});
