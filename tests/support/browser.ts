/**
 * Debian's Chromium without a screen, for pages that a test must look at. Nothing is downloaded and
 * the page has no network: a request of any kind is an error that the caller sees.
 */
import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where Chromium lies, or undefined. */
export function findChromium(): string | undefined {
  const { stdout } = spawnSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' });
  return stdout.trim() || undefined;
}

/** For `test`'s options: what to install, where there is none. */
export const needsChromium: { readonly skip: string | false } = {
  skip: findChromium() === undefined && 'no Chromium (Debian: chromium)',
};

export function startChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error('no Chromium (Debian: chromium)');
  // Chromium refuses its sandbox to root, who runs the tests in CI; our own page is no danger.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

export interface OpenedPage {
  readonly page: Page;
  /** Console errors, exceptions, and requests but for the file itself. */
  readonly troubles: string[];
}

export async function openFile(
  browser: Browser,
  path: string,
  look: {
    readonly width: number;
    readonly height?: number;
    readonly colorScheme?: 'light' | 'dark';
  },
): Promise<OpenedPage> {
  const { width, height = 900, colorScheme = 'light' } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    offline: true,
  });
  const page = await context.newPage();
  const troubles: string[] = [];
  const url = pathToFileURL(path).href;
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== url) troubles.push(`asks for ${request.url()}`);
  });
  await page.goto(url);
  return { page, troubles };
}
