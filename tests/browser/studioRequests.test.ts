/** The server's requests in the studio's timeline, in Chromium: what the engine told of each. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ServedInside } from '../../src/server/studio/wire.ts';
import type { RequestTimes } from '../../src/serving/engineClient.ts';
import { formatSeconds } from '../../studio/timeline/numbers.ts';
import { partsOf, requestFacts } from '../../studio/timeline/requestRows.ts';
import { needsChromium } from '../support/browser.ts';
import { pageComplaintsOf } from '../support/pageComplaints.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';
import { writeThinkingCheckpoint } from '../support/thinkingCheckpoint.ts';

const LIMIT = { ...needsChromium, timeout: 240_000 };
const PATIENCE = { timeout: 90_000 };

/** A studio that serves a model with far to go. */
async function serveEndless(t: TestContext): Promise<string> {
  const folder = join(temporaryFolder(t), 'endless');
  mkdirSync(folder);
  await writeThinkingCheckpoint(folder, 'endless');
  const url = await serveStudio(t, folder, folder);
  await until(async () => (await fetch(`${url}/ready`)).status === 200);
  return url;
}

function ask(url: string, maxTokens: number, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'the old captain', max_tokens: maxTokens, temperature: 0 }),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function requestsOf(url: string): Promise<readonly RequestTimes[]> {
  const inside = await fetch(`${url}/studio/api/serve/inside`);
  return ((await inside.json()) as ServedInside).requests;
}

test('requests: a waterfall of what the engine told, live, and broken off', LIMIT, async (t) => {
  const url = await serveEndless(t);
  const { page, troubles } = await openStudioPage(await chromiumFor(t), url, {
    hash: '#/timeline?picture=requests',
  });
  await page.getByText('Nothing was served yet').waitFor();

  // Two that come to their end, and one that is still under way when they have.
  const leaving = new AbortController();
  const third = ask(url, 4000, leaving.signal).catch(() => null);
  const answers = await Promise.all([ask(url, 12), ask(url, 24)]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200],
  );
  await page
    .locator('.timeline-facts', { hasText: '3 requests, 1 of them under way, 0 failed' })
    .waitFor(PATIENCE);
  leaving.abort();
  await third;
  await page
    .locator('.timeline-facts', { hasText: '3 requests, 0 of them under way, 1 failed' })
    .waitFor(PATIENCE);

  const told = await requestsOf(url);
  const { wait, firstToken } = requestFacts(told);
  assert.ok(wait !== null && firstToken !== null);
  const facts = await page.locator('.timeline-facts').innerText();
  assert.ok(facts.includes(`First token after ${formatSeconds(firstToken.median)}`), facts);
  await page.locator('details', { hasText: 'As a table' }).locator('summary').click();
  const rows = await page.locator('details tbody tr').all();
  const cells = await Promise.all(rows.map((row) => row.locator('th, td').allInnerTexts()));
  assert.deepEqual(
    cells.map(([number, , prompt, answer, waited, , , , end, name]) => {
      return [number, prompt, answer, waited, end, name];
    }),
    told.map(({ number, usage, requestId, reason }) => [
      String(number + 1),
      `${usage.promptTokens} (${usage.cachedTokens})`,
      `${usage.completionTokens} (${usage.accepted})`,
      formatSeconds(usage.queueSeconds),
      reason === 'abort' ? 'broken off' : 'at its limit',
      requestId,
    ]),
  );
  assert.equal(told.filter(({ reason }) => reason === 'abort').length, 1);

  // By keys through the canvas: its words are the engine's times.
  await page.getByLabel('Times').selectOption('arrival');
  assert.match(page.url(), /alignment=arrival/);
  const canvas = page.locator('canvas.timeline-spans');
  await canvas.focus();
  await page.keyboard.press('Shift+ArrowRight');
  const [first] = told;
  assert.ok(first !== undefined);
  const lengths = partsOf(first, 0).map(({ start, end }) => formatSeconds(end - start));
  const words = await page.locator('.timeline-span').innerText();
  assert.ok(
    lengths.some((length) => words.endsWith(`takes ${length}`)),
    `${words}: ${lengths}`,
  );
  await takePicture(page, 'studio-requests');
  assert.deepEqual(await pageComplaintsOf(page), []);
  assert.deepEqual(troubles, []);
});

test('requests: fit a narrow page in Chinese, at night', LIMIT, async (t) => {
  const url = await serveEndless(t);
  await ask(url, 8);
  const { page, troubles } = await openStudioPage(await chromiumFor(t), url, {
    hash: '#/timeline?picture=requests&alignment=arrival',
    ...{ width: 390, colorScheme: 'dark', locale: 'zh-CN' },
  });
  await page.locator('canvas.timeline-spans[data-from]').waitFor();
  await page.evaluate('for (const each of document.querySelectorAll("details")) each.open = true');
  assert.deepEqual(await pageComplaintsOf(page), []);
  assert.deepEqual(troubles, []);
});
