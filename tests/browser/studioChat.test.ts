/**
 * The studio's chat in Chromium, with real checkpoints behind the real server: one that was trained
 * here for some steps and goes on with texts, and one with a template that thinks.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { needsChromium } from '../support/browser.ts';
import { moebius } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';
import { writeThinkingCheckpoint } from '../support/thinkingCheckpoint.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

const LIMIT = { ...needsChromium, timeout: 240_000 };
const PATIENCE = { timeout: 90_000 };

/** A run whose model has seen enough text to write letters. @returns the folder above it */
async function trainedRun(folder: string): Promise<string> {
  const settings = ['steps=24', 'length=64', 'batch.sequences=8', 'checkpoint.every=24'];
  const run = tinyRun({ text: writeText(folder), out: join(folder, 'runs', 'whale') }, settings);
  const { code, stderr } = await moebius(...run);
  assert.equal(code, 0, stderr);
  return join(folder, 'runs');
}

async function openChat(t: TestContext, folder: string, checkpoint: string | null) {
  const browser = await chromiumFor(t);
  const url = await serveStudio(t, folder, checkpoint);
  return { url, ...(await openStudioPage(browser, url, { hash: '#/chat' })) };
}

/** Of the reply that was asked for last, when it has ended so. */
function ended(page: Page, how: string): Promise<unknown> {
  return page
    .locator('.assistant')
    .last()
    .and(page.locator(`[data-state=${how}]`))
    .waitFor(PATIENCE);
}

async function say(page: Page, text: string): Promise<void> {
  await page.locator('.composer textarea').fill(text);
  await page.keyboard.press('Enter');
}

function reply(page: Page): Promise<string> {
  return page.locator('.assistant > .text').last().innerText();
}

async function set(page: Page, label: string, value: string): Promise<void> {
  const panel = page.locator('.settings');
  if ((await panel.getAttribute('open')) === null) await panel.locator('summary').click();
  await panel.getByLabel(label).fill(value);
  await page.keyboard.press('Tab');
}

async function drafts(page: Page): Promise<readonly [accepted: number, drafted: number]> {
  const speed = await page.locator('.assistant .speed').last().innerText();
  const [, accepted, drafted] = /(\d+) of (\d+) drafts accepted/.exec(speed) ?? assert.fail(speed);
  assert.match(speed, /\d+ tokens · [\d.]+ tokens\/s · prompt of \d+ tokens/);
  return [Number(accepted), Number(drafted)];
}

test('chat: a checkpoint trained here goes on with a text and is remembered', LIMIT, async (t) => {
  const runs = await trainedRun(temporaryFolder(t));
  const { page, troubles } = await openChat(t, runs, null);

  // Nothing is served yet: the first message loads the newest.
  await page.getByRole('button', { name: /Load the newest: whale/ }).waitFor(PATIENCE);
  assert.ok(
    await page.getByRole('radio', { name: 'Go on with a text' }).isChecked(),
    'it has seen no chats',
  );
  // Greedy: sampled words may end at once.
  await set(page, 'Temperature', '0');
  await set(page, 'Tokens at most', '160');
  await page.getByRole('button', { name: 'In the beginning' }).click();
  await ended(page, 'done');
  assert.match(await page.locator('.picker option:checked').innerText(), /whale.* step-0000024/);
  const [accepted, drafted] = await drafts(page);
  assert.ok(accepted > 0 && accepted <= drafted);
  assert.equal(await page.locator('.token.drafted').count(), accepted);

  // Probabilities: by pointing, and by keyboard.
  await page.locator('.assistant .token').nth(3).click();
  await page.locator('.probabilities .chosen').waitFor();
  // Five likeliest, and the one that came where it is not among them.
  assert.match(String(await page.locator('.probabilities tbody tr').count()), /^[56]$/);
  const tokens = page.getByRole('toolbar').last();
  await tokens.focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.locator('.token.picked').getAttribute('data-index'), '4');
  await page.locator('.settings summary').click();
  await tokens.focus();
  await takePicture(page, 'studio-chat');
  await page.getByLabel('Theme').selectOption('dark');
  await takePicture(page, 'studio-chat-dark');

  // The history outlives the page.
  const before = [await page.locator('.user .text').innerText(), await reply(page)];
  await page.reload();
  await page.locator('.assistant[data-state=done]').waitFor(PATIENCE);
  assert.deepEqual([await page.locator('.user .text').innerText(), await reply(page)], before);
  assert.equal(await page.locator('.token.drafted').count(), accepted);

  // Greedy words are the same words again; the limit of tokens is the server's.
  await set(page, 'Tokens at most', '12');
  const again = async (): Promise<string> => {
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await ended(page, 'done');
    return reply(page);
  };
  const greedy = await again();
  assert.equal(await again(), greedy);
  assert.notEqual(greedy, before[1]);
  assert.match(await page.locator('.assistant .speed').innerText(), /^12 tokens/);

  // Another message, then the first one said anew: what came behind it is forgotten.
  await say(page, 'the sea');
  await ended(page, 'done');
  assert.equal(await page.locator('.message').count(), 4);
  await page.locator('.user').first().getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Edit' }).fill('a white whale');
  await page.getByRole('button', { name: 'Send anew' }).click();
  await ended(page, 'done');
  assert.deepEqual(await page.locator('.user .text').allInnerTexts(), ['a white whale']);

  await page.getByRole('button', { name: 'Clear the chat' }).click();
  await page.getByRole('heading', { name: 'Begin a text' }).waitFor();
  assert.deepEqual(troubles, []);
});

/** Of the server, that it works for nobody. */
function idle(url: string): Promise<void> {
  return until(async () => {
    const load = (await (await fetch(`${url}/load`)).json()) as Record<string, number>;
    return load.running === 0 && load.requests === 0;
  });
}

test(
  'chat: a reply that has far to go is stopped: what came stays, and the engine is free',
  LIMIT,
  async (t) => {
    const folder = join(temporaryFolder(t), 'endless');
    mkdirSync(folder);
    await writeThinkingCheckpoint(folder, 'endless');
    const { page, url, troubles } = await openChat(t, folder, folder);
    await page.locator('.serving.ready').waitFor(PATIENCE);
    await set(page, 'Temperature', '0');
    await set(page, 'Tokens at most', '4000');
    await page.evaluate(`(() => {
      window.lengths = new Set();
      const note = () => {
        const text = document.querySelector('.assistant > .text')?.textContent ?? '';
        window.lengths.add(text.length);
      };
      new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
    })()`);
    const came = page.locator('.assistant').last().locator('.token').first();
    await say(page, 'the old captain');
    await came.waitFor(PATIENCE);
    await until(async () => (await page.evaluate<number>('window.lengths.size')) > 4);
    // A reply that comes draws the page anew time and again, and takes no digit from who types.
    const most = page.locator('.settings').getByLabel('Tokens at most');
    await most.fill('');
    await most.pressSequentially('3999', { delay: 100 });
    assert.equal(await most.inputValue(), '3999');
    await page.getByRole('button', { name: 'Stop' }).click();
    await ended(page, 'stopped');
    assert.ok((await reply(page)).length > 0);
    await idle(url);

    // By keyboard too, from anywhere in the chat.
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await came.waitFor(PATIENCE);
    await page.keyboard.press('Escape');
    await ended(page, 'stopped');
    await idle(url);
    assert.ok(await page.getByRole('button', { name: 'Regenerate' }).isEnabled());
    assert.deepEqual(troubles, []);
  },
);

test(
  'chat: a model with a template of its own chats, and its thinking is folded',
  LIMIT,
  async (t) => {
    const folder = join(temporaryFolder(t), 'thinker');
    mkdirSync(folder);
    await writeThinkingCheckpoint(folder);
    const { page, troubles } = await openChat(t, folder, folder);
    await page.locator('.serving.ready').waitFor(PATIENCE);
    assert.ok(await page.getByRole('radio', { name: 'Chat' }).isChecked());
    // Sampled, it might end before it has thought anything.
    await set(page, 'Temperature', '0');
    await set(page, 'Tokens at most', '24');
    await page.locator('.settings').getByLabel('Thinking').selectOption('on');
    await say(page, 'Hi');
    await page.locator('.assistant:not([data-state=streaming])').waitFor(PATIENCE);
    const fold = page.locator('.assistant details');
    assert.equal(await fold.locator('summary').innerText(), 'Thinking');
    if ((await fold.getAttribute('open')) === null) await fold.locator('summary').click();
    assert.ok((await fold.locator('.text').innerText()).length > 0);

    await page.locator('.settings').getByLabel('Thinking').selectOption('off');
    await page.getByRole('button', { name: 'Regenerate' }).click();
    await page.locator('.assistant:not([data-state=streaming])').waitFor(PATIENCE);
    assert.equal(await fold.count(), 0);
    assert.deepEqual(troubles, []);
  },
);
