/**
 * Steps in the studio's timeline, in Chromium: a real run's, as its metrics have them, and the
 * server's, with its cache block by block.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { wallSeconds } from '../../src/program/span.ts';
import type { ServedInside } from '../../src/server/studio/wire.ts';
import { formatSeconds } from '../../studio/timeline/numbers.ts';
import type { StepSpan, StepSpans } from '../../studio/timeline/stepSpans.ts';
import { needsChromium } from '../support/browser.ts';
import { moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

const LIMIT = { ...needsChromium, timeout: 180_000 };

/** As the page says how long a world took. */
function told(spans: readonly StepSpan[]): string {
  return formatSeconds(wallSeconds(spans.map((span, instruction) => ({ ...span, instruction }))));
}

async function untilFacts(page: Page, { real, simulated }: StepSpans): Promise<void> {
  const expected = `Real: ${told(real)}. Simulated: ${told(simulated)}.`;
  await page.locator('.timeline-facts', { hasText: expected }).waitFor();
}

/** Row, source and number of spans. */
async function tableRows(page: Page): Promise<readonly (readonly string[])[]> {
  const details = page.locator('details', { has: page.getByText('As a table') }).first();
  if ((await details.getAttribute('open')) === null) await details.locator('summary').click();
  await details.locator('tbody tr').first().waitFor();
  const rows = await details.locator('tbody tr').all();
  const cells = rows.map((row) => row.locator('th, td').allInnerTexts());
  return (await Promise.all(cells)).map((each) => each.slice(0, 3));
}

test(
  'steps: a run’s are those of its metrics, a server’s those of its engine',
  LIMIT,
  async (t) => {
    const folder = temporaryFolder(t);
    const runs = join(folder, 'runs');
    mkdirSync(runs);
    const out = join(runs, 'first');
    const text = writeText(folder);
    const more = ['steps=12', 'batch.sequences=4', 'batch.microBatch=2'];
    const { checkpoint } = await moebiusJson(...tinyRun({ text, out }, more));
    const steps = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('"timeline"'))
      .map((line) => JSON.parse(line) as { step: number; timeline: StepSpans });
    assert.deepEqual(
      steps.map(({ step }) => step),
      [1, 10],
    );
    const url = await serveStudio(t, runs, String(checkpoint));
    const { page, troubles } = await openStudioPage(await chromiumFor(t), url, {
      hash: '#/timeline?picture=steps',
    });
    const [first, last] = steps.map(({ step, timeline }) => ({ ...timeline, step }));
    assert.ok(first && last);
    await untilFacts(page, last);
    await takePicture(page, 'studio-steps');
    // Two micro-batches: loaded, forward and backward; gradients, optimiser and biases.
    const kinds = last.real.map(({ name }) => name);
    assert.equal(kinds.filter((name) => name === 'backward').length, 2);
    assert.deepEqual(
      last.simulated.map(({ name }) => name),
      kinds,
    );
    assert.deepEqual(await tableRows(page), [
      ['0', 'Real', `${kinds.length}`],
      ['0', 'Simulated', `${kinds.length}`],
    ]);
    await page.getByRole('slider', { name: /^Step/ }).press('Home');
    await untilFacts(page, first);
    assert.match(page.url(), /step=1(&|$)/);

    const ask = async (prompt: string): Promise<void> => {
      const answer = await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt, max_tokens: 8, ignore_eos: true }),
      });
      assert.equal(answer.status, 200, await answer.text());
    };
    await until(async () => (await fetch(`${url}/ready`)).status === 200);
    await page.getByLabel('Steps of').selectOption('serving');
    await page.getByText('Nothing was served yet').waitFor();
    await ask('the white whale sailed again and the captain saw the old ship');
    const inside = (await (await fetch(`${url}/studio/api/serve/inside`)).json()) as ServedInside;
    const newest = inside.steps.at(-1);
    assert.ok(newest !== undefined && newest.real.length > 0);
    if (newest.simulated.length > 0) await untilFacts(page, newest);
    else await page.locator('.timeline-facts', { hasText: told(newest.real) }).waitFor();
    const map = page.locator('canvas.cache-map');
    const { unused, requests } = inside.cache;
    assert.equal(requests.length, 0);
    await page
      .locator(`canvas.cache-map[data-owned="0"][data-unused="${unused.length}"]`)
      .waitFor();
    const facts = `${inside.cache.numBlocks} blocks of ${inside.cache.blockSize} positions.`;
    assert.ok((await map.getAttribute('aria-label'))?.startsWith(facts));
    assert.deepEqual(troubles, []);
  },
);
