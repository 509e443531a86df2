/**
 * The frame around the studio's views, and what every view owes its readers whatever their screen,
 * language, theme or hands: measured in the page itself, on a real run and with a real checkpoint.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type StudioThread, startStudio } from '../../src/cli/studio/studioThread.ts';
import { needsChromium } from '../support/browser.ts';
import { moebius } from '../support/commandLine.ts';
import { pageComplaintsOf } from '../support/pageComplaints.ts';
import { chromiumFor, type Look, openStudioPage, takePicture } from '../support/studioPage.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

const LIMIT = { timeout: 300_000, ...needsChromium };
const VIEWS = ['Runs', 'Experts', 'Chat', 'Timeline', 'Planner'] as const;
const WIDTHS = [1440, 768, 390] as const;

const folder = mkdtempSync(join(tmpdir(), 'moebius-shell-'));
const checkpoint = join(folder, 'talking');
after(() => rmSync(folder, { recursive: true, force: true }));
before(async () => {
  if (needsChromium.skip !== false) return;
  mkdirSync(checkpoint);
  await writeTalkingCheckpoint(checkpoint);
  const ran = await moebius(...tinyRun({ text: writeText(folder), out: join(folder, 'tiny') }));
  assert.equal(ran.code, 0, ran.stderr);
});

interface Studio {
  readonly url: string;
  readonly browser: Browser;
}

let served: StudioThread | undefined;
after(() => served?.close());

async function openStudio(context: TestContext): Promise<Studio> {
  const settings = { folder, host: '127.0.0.1', port: 0, checkpoint, page: null };
  served ??= await startStudio(settings, () => {});
  return { url: served.url, browser: await chromiumFor(context) };
}

/** The page on the address of a view, once the view has all its facts. */
async function openView(
  { url, browser }: Studio,
  view: string,
  look: Look = {},
): ReturnType<typeof openStudioPage> {
  const opened = await openStudioPage(browser, url, { ...look, hash: `#/${view.toLowerCase()}` });
  await settled(opened.page, view);
  return opened;
}

const SETTLED: Readonly<Record<string, string>> = {
  Runs: 'figure.chart:not([data-points="0"])',
  Experts: 'main canvas',
  Chat: '#chat-checkpoint:enabled',
  Timeline: 'main canvas[data-from]',
  Planner: '.planner [aria-busy=false] table',
};

async function settled(page: Page, view: string): Promise<void> {
  await page
    .locator(SETTLED[view] ?? 'main')
    .first()
    .waitFor({ timeout: 60_000 });
}

/** Says what is folded too. */
async function unfold(page: Page): Promise<void> {
  await page.evaluate(
    'for (const each of document.querySelectorAll("details")) each.open = true;' +
      // Twice drawn: what a fold held is laid out.
      'new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))',
  );
}

/** What the page answers to a line of its own language. */
async function ask<T>(page: Page, line: string): Promise<T> {
  return (await page.evaluate(line)) as T;
}

/** What is wrong here, each by the check that must find it. */
const FAULTS: Readonly<Record<string, string>> = {
  contrast: '<p style="color: #999; background: #fff">too pale</p>',
  names: '<input type="text"><svg viewBox="0 0 1 1"></svg>',
  frame: '<h1>another</h1>',
  pictures: '<canvas width="50" height="50"></canvas>',
  targets: '<button style="min-height: 0; height: 20px">low</button>',
  sideways: '<div style="width: 3000px">wide</div>',
  words: '<p>{unfilled} and NaN</p>',
};

test('pageChecks: each finds what it is there for, and nothing else', LIMIT, async (context) => {
  const { page } = await openView(await openStudio(context), 'Runs');
  for (const [check, fault] of Object.entries(FAULTS)) {
    const html = JSON.stringify(`<div id="fault">${fault}</div>`);
    await page.evaluate(`document.querySelector('main').insertAdjacentHTML('beforeend', ${html})`);
    const found = await pageComplaintsOf(page);
    assert.ok(found.length > 0, check);
    for (const line of found) assert.ok(line.startsWith(`${check}: `), `${check} finds ${line}`);
    await page.evaluate(`document.getElementById('fault').remove()`);
    assert.deepEqual(await pageComplaintsOf(page), []);
  }
});

const looks = [
  { name: 'light, in English', colorScheme: 'light', locale: 'en-GB' },
  { name: 'dark, in Chinese', colorScheme: 'dark', locale: 'zh-CN' },
] as const;

for (const { name, ...look } of looks) {
  test(`studio, ${name}: every view at every width, as it must be`, LIMIT, async (context) => {
    const studio = await openStudio(context);
    for (const view of VIEWS) {
      const { page, troubles } = await openView(studio, view, look);
      if (view === 'Chat') {
        await page.locator('.composer textarea').fill('Call me');
        await page.keyboard.press('Enter');
        await page.locator('.assistant:is([data-state=done], [data-state=cut])').waitFor();
      }
      await unfold(page);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await unfold(page);
        assert.deepEqual(await pageComplaintsOf(page), [], `${view} at ${width}`);
      }
      await page.locator('header button[aria-keyshortcuts="?"]').click();
      await page.getByRole('dialog').waitFor();
      assert.deepEqual(await pageComplaintsOf(page, ['contrast', 'names', 'targets']), []);
      assert.deepEqual(troubles, [], view);
      await page.context().close();
    }
  });
}

test('studio: what changes by itself is told to a screen reader', LIMIT, async (context) => {
  const studio = await openStudio(context);
  const told = '[role=status], [role=log], [role=alert], [aria-live], output';
  for (const view of VIEWS.filter((each) => each !== 'Runs')) {
    const { page } = await openView(studio, view);
    assert.ok((await page.locator('main').locator(told).count()) > 0, view);
    await page.context().close();
  }
});

test('studio: both languages, chosen, kept, and told to the browser', LIMIT, async (context) => {
  const studio = await openStudio(context);
  const { page, troubles } = await openView(studio, 'Runs', { locale: 'fr-FR' });
  const lang = (): Promise<string> => ask(page, 'document.documentElement.lang');
  assert.equal(await lang(), 'en');
  assert.equal(await page.title(), 'Runs · Moebius');
  await page.getByLabel('Language').selectOption('zh');
  await page.locator('html[lang=zh-CN]').waitFor();
  const nav = page.getByRole('navigation').getByRole('link');
  const chinese = await nav.allTextContents();
  for (const [index, view] of VIEWS.entries()) {
    await nav.nth(index).click();
    await page.waitForURL(new RegExp(`#/${view.toLowerCase()}`));
    await settled(page, view);
    assert.equal(await page.title(), `${chinese[index]} · Moebius`);
    // Names of models, options and units stay as they are, and so does how a text for an English
    // model may begin; a heading, a button or a fold does not.
    const words = await page
      .locator('h1, h2, legend, summary, main button:not(.beginnings *), label, th[scope=col]')
      .allInnerTexts();
    const english = words.filter((text) => /[a-z]{3}.*\s[a-z]{3}/i.test(text) && !isChinese(text));
    assert.deepEqual(english, [], view);
    assert.ok(isChinese(await page.locator('h1').innerText()), view);
  }
  await page.reload();
  await settled(page, 'Planner');
  assert.equal(await lang(), 'zh-CN');
  assert.deepEqual(await nav.allTextContents(), chinese);
  assert.ok(chinese.every(isChinese));
  await page.locator('header select').first().selectOption('en');
  await page.locator('html[lang=en]').waitFor();
  assert.deepEqual(await nav.allTextContents(), [...VIEWS]);
  assert.deepEqual(troubles, []);
});

function isChinese(text: string): boolean {
  return /\p{Script=Han}/u.test(text);
}

test(
  'studio: the theme is the system’s until one is chosen, and the choice is kept',
  LIMIT,
  async (context) => {
    const studio = await openStudio(context);
    const { page, troubles } = await openView(studio, 'Runs');
    const shown = (): Promise<readonly string[]> =>
      ask(
        page,
        `[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.documentElement).colorScheme]`,
      );
    const light = await shown();
    assert.equal(light[0], 'light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.locator('html[data-theme=dark]').waitFor();
    const dark = await shown();
    assert.equal(dark[2], 'dark');
    assert.notEqual(dark[1], light[1]);
    await page.getByLabel('Theme').selectOption('light');
    assert.deepEqual(await shown(), light);
    await page.reload();
    await settled(page, 'Runs');
    assert.deepEqual(await shown(), light, 'kept, though the system is dark');
    await page.getByLabel('Theme').selectOption('system');
    assert.deepEqual(await shown(), dark);
    assert.deepEqual(troubles, []);
  },
);

/** Where the focus is, and whether one can see that it is there. */
interface Focus {
  /** Among what can be reached, in the order of the document; −1 on what merely scrolls. */
  readonly index: number;
  readonly name: string;
  readonly isMarked: boolean;
}

/** Everything that the keyboard must reach; of radio buttons of one name, one. */
const REACHABLE = `[...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex]')]
  .filter((each) => each.tabIndex >= 0 && !each.disabled && each.checkVisibility())
  .filter((each) => each.type !== 'radio' || each.checked)`;

const FOCUS = `(() => {
  const now = document.activeElement;
  if (now === null || now === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(now);
  // A field in a box of its own may light the box.
  const isLit = getComputedStyle(now.parentElement).boxShadow !== 'none';
  return {
    index: ${REACHABLE}.indexOf(now),
    name: now.tagName + ' ' + (now.getAttribute('aria-label') ?? now.textContent).slice(0, 30),
    isMarked: isLit || (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 1),
  };
})()`;

test(
  'studio: Tab reaches everything, in the order of the page, and shows where it is',
  LIMIT,
  async (context) => {
    const studio = await openStudio(context);
    for (const view of VIEWS) {
      const { page } = await openView(studio, view);
      const count = await ask<number>(page, `${REACHABLE}.length`);
      assert.ok(count > 9, view);
      // From the first stop, for a chat that opens is ready to be written in.
      await page.evaluate("document.querySelector('.skip').focus()");
      const visited: Focus[] = [];
      for (let press = 0; press < 2 * count + 20; press++) {
        await page.keyboard.press('Tab');
        const focus = await ask<Focus | null>(page, FOCUS);
        if (focus === null) break;
        visited.push(focus);
      }
      const unmarked = visited.filter(({ isMarked }) => !isMarked).map(({ name }) => name);
      assert.deepEqual(unmarked, [], view);
      const order = visited.map(({ index }) => index).filter((index) => index >= 0);
      assert.deepEqual(
        order,
        Array.from({ length: count - 1 }, (_, index) => index + 1),
        view,
      );
      await page.context().close();
    }
  },
);

test(
  'studio: the shell’s keys open views and the list of keys, and leave a writer alone',
  LIMIT,
  async (context) => {
    const studio = await openStudio(context);
    const { page, troubles } = await openView(studio, 'Runs');
    // The first stop leads past the frame.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    assert.equal(await ask(page, 'document.activeElement.id'), 'main');
    for (const [index, view] of [...VIEWS.entries()].toReversed()) {
      await page.keyboard.press(String(index + 1));
      await page.waitForURL(new RegExp(`#/${view.toLowerCase()}`));
      await settled(page, view);
      const focus = await ask<Focus>(page, FOCUS);
      assert.deepEqual([focus.name, focus.isMarked], [`H1 ${view}`, true]);
      assert.equal(await page.locator('nav [aria-current=page]').innerText(), view);
    }
    await page.goBack();
    await page.waitForURL(/#\/experts/);
    await settled(page, 'Experts');
    assert.equal((await ask<Focus>(page, FOCUS)).name, 'H1 Experts');

    const help = page.getByRole('button', { name: 'Keys' });
    await help.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Keys' });
    await dialog.waitFor();
    await takePicture(page, 'studio-keys');
    for (const key of ['1', 'Tab', 'Tab', 'Tab']) {
      await page.keyboard.press(key);
      // A modal dialog keeps the focus, or hands it to the browser's own frame.
      const behind = 'document.activeElement.closest("header, main") !== null';
      assert.equal(await ask(page, behind), false, key);
    }
    assert.match(page.url(), /#\/experts/, 'what is behind a dialog is not there');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await ask(page, 'document.activeElement.getAttribute("aria-label")'), 'Keys');
    await page.keyboard.press('?');
    await dialog.waitFor();
    await page.keyboard.press('?');
    await dialog.waitFor({ state: 'detached' });

    await page.keyboard.press('3');
    await settled(page, 'Chat');
    await page.locator('.composer textarea').focus();
    await page.keyboard.type('1 or 2?');
    assert.equal(await page.locator('.composer textarea').inputValue(), '1 or 2?');
    assert.match(page.url(), /#\/chat/);
    assert.deepEqual(troubles, []);
  },
);
