/**
 * Routing of a prompt as a person follows it: a text is typed, tokens and experts are chosen by
 * keys and by pointer, and every number on the page is one that the server said.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { PromptRouting } from '../../src/server/studio/wire.ts';
import { choicesOf, tokensOf } from '../../studio/experts/promptRoutes.ts';
import { needsChromium } from '../support/browser.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';

const OPTIONS = { ...needsChromium, timeout: 120_000 };

/** A studio's address, with a checkpoint that was not loaded yet. */
async function studioWithCheckpoint(context: TestContext): Promise<string> {
  const models = join(temporaryFolder(context), 'models');
  const folder = join(models, 'one');
  mkdirSync(folder, { recursive: true });
  await writeTalkingCheckpoint(folder);
  return serveStudio(context, models);
}

async function follow(page: Page, text: string): Promise<PromptRouting> {
  await page.fill('#routing-prompt', text);
  const answer = page.waitForResponse(/\/serve\/routing$/);
  await page.press('#routing-prompt', 'Enter');
  const routing = (await (await answer).json()) as PromptRouting;
  await page.locator(`[data-token="${routing.tokens.length - 1}"]`).waitFor();
  return routing;
}

interface ShownChoice {
  readonly layer: number;
  readonly expert: number;
  readonly weight: number;
}

/** The table of the chosen token. */
async function shownChoices(page: Page): Promise<readonly ShownChoice[]> {
  const cells = await page.locator('.route-table td').all();
  return Promise.all(
    cells.map(async (cell) => {
      const number = async (name: string): Promise<number> =>
        Number(await cell.getAttribute(`data-${name}`));
      return {
        layer: await number('layer'),
        expert: await number('expert'),
        weight: await number('weight'),
      };
    }),
  );
}

function toldChoices(routing: PromptRouting, token: number): readonly ShownChoice[] {
  return choicesOf(routing, token).flatMap(({ layer, choices }) =>
    choices.map(({ expert, weight }) => ({ layer, expert, weight })),
  );
}

async function indices(page: Page, selector: string): Promise<number[]> {
  const found = await page.locator(selector).all();
  return Promise.all(found.map(async (chip) => Number(await chip.getAttribute('data-token'))));
}

test(
  'routing: tokens and experts by keys and pointer are what the server said',
  OPTIONS,
  async (t) => {
    const url = await studioWithCheckpoint(t);
    const browser = await chromiumFor(t);
    const { page, troubles } = await openStudioPage(browser, url, { hash: '#/experts' });

    // Before anything is served the page says so, and asks nothing of the engine.
    await page.fill('#routing-prompt', 'too early');
    await page.press('#routing-prompt', 'Enter');
    await page.getByRole('alert').getByText('Nothing is being served').waitFor();
    await page.locator('.routing .picker select').selectOption('one');
    await page.locator('.routing .serving.ready').waitFor();

    const routing = await follow(page, 'The whale');
    assert.equal(routing.tokens.length, 'The whale'.length);
    const options = page.getByRole('option', { name: /token \d+ of/ });
    assert.equal(await options.count(), routing.tokens.length);
    assert.deepEqual(await indices(page, '.chip[aria-selected=true]'), [0]);
    assert.deepEqual(await shownChoices(page), toldChoices(routing, 0));

    // Token by token with the keys; the focus goes along.
    await page.locator('[data-token="0"]').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    assert.deepEqual(await indices(page, '.chip[aria-selected=true]'), [2]);
    assert.deepEqual(await indices(page, '.chip:focus'), [2]);
    assert.deepEqual(await shownChoices(page), toldChoices(routing, 2));
    await page.keyboard.press('End');
    const last = routing.tokens.length - 1;
    assert.deepEqual(await shownChoices(page), toldChoices(routing, last));
    await page.locator('[data-token="4"]').click();
    assert.deepEqual(await shownChoices(page), toldChoices(routing, 4));

    // An expert of the table marks its tokens, and says them in words.
    const [first] = await shownChoices(page);
    assert.ok(first !== undefined);
    const row = routing.layers.indexOf(first.layer);
    const went = tokensOf(routing, { row, expert: first.expert });
    await page.locator('.route-table button').first().click();
    assert.deepEqual(await indices(page, '.chip.went'), went);
    const text = await page.locator('#routed-expert').innerText();
    const name = `Layer ${first.layer}, expert ${first.expert}`;
    assert.ok(text.startsWith(`${name}: ${went.length} of ${routing.tokens.length} tokens`), text);
    await takePicture(page, 'studio-routing');

    // The map chooses by keys too, and lets go by Escape.
    const map = page.locator('.routes canvas');
    await map.focus();
    await page.keyboard.press('Escape');
    assert.deepEqual(await indices(page, '.chip.went'), []);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    assert.deepEqual(await indices(page, '.chip.went'), [
      ...tokensOf(routing, { row: 0, expert: 1 }),
    ]);
    const { width = 0, height = 0 } = (await map.boundingBox()) ?? {};
    const cell = { x: (width * 2.5) / routing.numExperts, y: height / routing.layers.length / 2 };
    await map.click({ position: cell });
    assert.deepEqual(await indices(page, '.chip.went'), [
      ...tokensOf(routing, { row: 0, expert: 2 }),
    ]);

    // The prompt stands in the address, as the rest of what is shown.
    assert.match(page.url(), /prompt=The\+whale/);
    assert.deepEqual(troubles, []);
  },
);

test('routing: fits a narrow page in Chinese, at night', OPTIONS, async (t) => {
  const url = await studioWithCheckpoint(t);
  const browser = await chromiumFor(t);
  const look = { hash: '#/experts', width: 390, colorScheme: 'dark', locale: 'zh-CN' } as const;
  const { page, troubles } = await openStudioPage(browser, url, look);
  await page.locator('.routing .picker select').selectOption('one');
  await page.locator('.routing .serving.ready').waitFor();
  const routing = await follow(page, '一条很长的提示。 '.repeat(20));
  await page.locator('[data-token="7"]').click();
  assert.deepEqual(await shownChoices(page), toldChoices(routing, 7));
  const across = await page.evaluate('document.documentElement.scrollWidth');
  assert.ok((across as number) <= 390, `the page is ${across} pixels wide`);
  await takePicture(page, 'studio-routing-narrow');
  assert.deepEqual(troubles, []);
});
