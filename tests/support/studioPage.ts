/**
 * The studio's built page in Chromium, on a real studio server. Whatever the page complains of and
 * whatever it asks of another origin is a trouble that the caller sees.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startStudio } from '../../src/cli/studio/studioThread.ts';
import { type OpenedPage, startChromium } from './browser.ts';
import { projectRoot } from './projectFiles.ts';

export interface Look {
  /** `#/chat`; the empty text: the page as it opens. */
  readonly hash?: string;
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** As a browser tells it: `en-US`, `zh-CN`. */
  readonly locale?: string;
}

/** A studio in a thread of this process until the test ends. @returns its address */
export async function serveStudio(
  context: TestContext,
  folder: string,
  checkpoint: string | null = null,
): Promise<string> {
  const settings = { folder, host: '127.0.0.1', port: 0, checkpoint, page: null };
  const { url, close } = await startStudio(settings, (text) => context.diagnostic(text));
  context.after(close);
  return url;
}

/** One for all tests of a file: starting it costs a second. */
let running: Promise<Browser> | undefined;
after(async () => (await running)?.close());

/** A Chromium; its pages are closed when the test ends. */
export async function chromiumFor(context: TestContext): Promise<Browser> {
  running ??= startChromium();
  const browser = await running;
  context.after(() => Promise.all(browser.contexts().map((each) => each.close())));
  return browser;
}

/** The page in a profile of its own. */
export async function openStudioPage(
  browser: Browser,
  url: string,
  { hash = '', width = 1440, height = 900, colorScheme = 'light', locale = 'en-US' }: Look = {},
): Promise<OpenedPage> {
  const viewport = { width, height };
  const context = await browser.newContext({ viewport, colorScheme, locale });
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    const isOwn = origin === url || protocol === 'blob:' || protocol === 'data:';
    if (!isOwn) troubles.push(`asks for ${request.url()}`);
  });
  await page.goto(`${url}/${hash}`);
  return { page, troubles };
}

/** Leaves a picture in build/screenshots, where one may look at it. */
export async function takePicture(page: Page, name: string): Promise<void> {
  const folder = join(projectRoot, 'build', 'screenshots');
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
