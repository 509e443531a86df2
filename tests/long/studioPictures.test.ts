/**
 * The pictures of README.md and docs/studio.md: what `npm start` trains, in the page that it opens.
 * They are left in build/screenshots; `node scripts/update-pictures.js` puts them into the docs.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { needsChromium } from '../support/browser.ts';
import { startMoebius } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';

const PATIENCE = { timeout: 1_800_000 };
const LOOK = { width: 1280, height: 800 };

test(
  'npm start: its page shows the run, its experts, a chat, and the rest',
  needsChromium,
  async (t) => {
    const out = join(temporaryFolder(t), 'start');
    const run = startMoebius(['start', '--out', out, '--ui-port', '0']);
    t.after(() => run.kill('SIGINT'));
    const said = (pattern: RegExp): string | undefined => pattern.exec(run.stderr())?.[1];
    await until(async () => said(/watch it train at (\S+)/) !== undefined);
    const url = said(/watch it train at (\S+)/) ?? assert.fail();
    const browser = await chromiumFor(t);
    const { page, troubles } = await openStudioPage(browser, url, { ...LOOK, hash: '#/runs' });
    const curve = page.locator('figure.chart[data-curve=loss]');
    await curve.waitFor(PATIENCE);
    await until(async () => Number(await curve.getAttribute('data-points')) >= 400);
    await takePicture(page, 'studio-runs');
    await until(async () => {
      const state = await fetch(`${url}/studio/api/serve/state`);
      return ((await state.json()) as { kind: string }).kind === 'ready';
    });

    await go(page, '#/experts');
    await page.getByLabel('Step', { exact: true }).fill('8');
    await takePicture(page, 'studio-experts');

    await go(page, '#/chat');
    await page.getByText('Sampling').click();
    await page.getByLabel('Tokens at most').fill('120');
    await page.getByText('Sampling').click();
    await page.locator('.composer textarea').fill('The people of the United States');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.assistant:is([data-state=done], [data-state=cut])', PATIENCE);
    await page.locator('.token.drafted').first().click();
    await takePicture(page, 'studio-chat');
    assert.ok((await page.locator('.token.drafted').count()) > 0, 'drafts of the MTP module stood');

    await go(page, '#/timeline?schedule=dualpipe&pp=8&microBatches=20');
    await page.waitForSelector('.timeline-facts, canvas');
    await takePicture(page, 'studio-timeline');
    await go(page, '#/timeline?picture=steps');
    await page.waitForSelector('.timeline-facts', PATIENCE);
    await takePicture(page, 'studio-steps');
    await go(page, '#/planner');
    await page.locator('.planner [role=status]', { hasText: 'Planned' }).waitFor(PATIENCE);
    await takePicture(page, 'studio-planner');

    const dark = await openStudioPage(browser, url, {
      ...{ ...LOOK, hash: '#/experts', colorScheme: 'dark', locale: 'zh-CN' },
    });
    await dark.page.waitForSelector('canvas');
    await takePicture(dark.page, 'studio-dark');
    const narrow = await openStudioPage(browser, url, { width: 390, height: 844, hash: '#/chat' });
    await narrow.page.waitForSelector('.composer');
    await takePicture(narrow.page, 'studio-narrow');
    assert.deepEqual([...troubles, ...dark.troubles, ...narrow.troubles], []);
  },
);

async function go(page: Page, hash: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.waitForTimeout(1500);
}
