/**
 * The HTML report as a reader sees it: opened in headless Chromium without a network, in light and
 * dark, from a telephone's width to a desk's. Pictures are left in build/screenshots.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { formatBytes, formatCount, formatPercent } from '../../src/base/units.ts';
import { planHtml } from '../../src/planner/html/planHtml.ts';
import { formatDollars, formatStep } from '../../src/planner/quantities.ts';
import { needsChromium, openFile, startChromium } from '../support/browser.ts';
import { projectRoot } from '../support/projectFiles.ts';
import { sampleCluster, sampleExtras, sampleReport, walkSample } from '../support/samplePlan.ts';
import { v3Plan } from '../support/v3Plan.ts';

const folder = join(projectRoot, 'build', 'screenshots');
mkdirSync(folder, { recursive: true });
const file = join(folder, 'plan.html');
const walked = walkSample();
const report = sampleReport(v3Plan, walked);
writeFileSync(file, planHtml(report, sampleExtras(report, walked)));

let running: Promise<Browser> | undefined;
after(async () => (await running)?.close());

async function open(
  look: Parameters<typeof openFile>[2],
): Promise<Awaited<ReturnType<typeof openFile>>> {
  running ??= startChromium();
  return openFile(await running, file, look);
}

/** What the page answers to a line of its own language. */
async function ask<T>(page: Page, line: string): Promise<T> {
  return (await page.evaluate(line)) as T;
}

interface Layout {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly rowHeight: number;
  readonly from: number;
  readonly to: number;
}

function layoutOf(page: Page): Promise<Layout> {
  return ask(page, "JSON.parse(document.getElementById('timeline-canvas').dataset.layout)");
}

/** The canvas' colour at a rank and a time, `down` the row from 0 to 1. */
async function colourAt(
  page: Page,
  {
    rank,
    seconds,
    down,
  }: { readonly rank: number; readonly seconds: number; readonly down: number },
): Promise<string> {
  const { left, right, top, rowHeight, from, to } = await layoutOf(page);
  const x = left + ((seconds * 1e6 - from) / (to - from)) * (right - left);
  const y = top + (rank + down) * rowHeight;
  const pixel = await ask<number[]>(
    page,
    `[...document.getElementById('timeline-canvas').getContext('2d').getImageData(
      Math.round(${x} * devicePixelRatio), Math.round(${y} * devicePixelRatio), 1, 1).data]`,
  );
  return `#${pixel
    .slice(0, 3)
    .map((value) => value.toString(16).padStart(2, '0'))
    .join('')}`;
}

function variable(page: Page, name: string): Promise<string> {
  const styles = 'getComputedStyle(document.documentElement)';
  return ask(page, `${styles}.getPropertyValue('--${name}').trim()`);
}

test('the report: its numbers are those of the plan', needsChromium, async () => {
  const { page, troubles } = await open({ width: 1280 });
  const cards = await page.locator('.cards').innerText();
  for (const text of [
    formatStep(report.stepSeconds),
    formatPercent(report.mfuCausal, 2),
    formatPercent(report.mfuNonCausal, 2),
    formatCount(report.tokensPerDay),
    formatDollars(report.dollars),
    formatBytes(report.peakMemoryBytes),
    formatBytes(sampleCluster.gpu.memoryBytes),
  ]) {
    assert.ok(cards.includes(text), `${text} is not in ${cards}`);
  }
  const phases = await page.locator('#phases').innerText();
  for (const seconds of Object.values(report.phases))
    assert.ok(phases.includes(formatStep(seconds)));
  const memory = page.locator('#memory tbody').first().locator('tr');
  assert.equal(await memory.count(), v3Plan.layout.pp);
  for (const [index, bytes] of report.memoryBytesPerRank.entries()) {
    assert.ok((await memory.nth(index).innerText()).includes(formatBytes(bytes)));
  }
  assert.equal(await page.locator('#pareto tbody tr').count(), 7);
  assert.equal(await page.locator('#roofline figure.wide .compute.edge').count(), 5);
  assert.deepEqual(troubles, []);
  await page.screenshot({ path: join(folder, 'plan-light.png'), fullPage: true });
  await page.context().close();
});

test(
  'the timeline: spans and bubbles are painted where the walk has them',
  needsChromium,
  async () => {
    const { page } = await open({ width: 1440 });
    const spansOf = (rank: number) => walked.spans.filter((span) => span.rank === rank);
    const middle = ({ start, end }: { start: number; end: number }): number => (start + end) / 2;
    const first = (rank: number, name: string) => {
      const span = spansOf(rank).find((each) => each.name === name);
      return span ?? assert.fail(`rank ${rank} has no ${name}`);
    };
    const lane = { top: 0.15, bottom: 0.6 };
    for (const rank of [0, 7, 15]) {
      const forward = { rank, seconds: middle(first(rank, 'forward')), down: lane.top };
      assert.equal(await colourAt(page, forward), await variable(page, 'forward'));
      const pair = { rank, seconds: middle(first(rank, 'forwardBackward')) };
      assert.equal(
        await colourAt(page, { ...pair, down: lane.top }),
        await variable(page, 'forward'),
      );
      assert.equal(
        await colourAt(page, { ...pair, down: lane.bottom }),
        await variable(page, 'backward'),
      );
      const update = { rank, seconds: middle(first(rank, 'optimizerStep')), down: lane.top };
      assert.equal(await colourAt(page, update), await variable(page, 'optimizer'));
    }
    // Before its first forward a rank in the middle of the pipeline waits.
    const waits = first(7, 'forward').start;
    assert.ok(waits > 0.3, `rank 7 begins at ${waits} s`);
    const grounds = [await variable(page, 'bubble'), await variable(page, 'hatch')];
    const seen = new Set<string>();
    for (let share = 0.1; share < 0.9; share += 0.02) {
      seen.add(await colourAt(page, { rank: 7, seconds: waits * share, down: 0.4 }));
    }
    assert.ok(seen.has(grounds[0] ?? ''), `${[...seen]} has no ground`);
    assert.ok(seen.size > 1, 'the bubble is not hatched');
    for (const colour of [await variable(page, 'forward'), await variable(page, 'backward')]) {
      assert.ok(!seen.has(colour), 'a pass is painted in a bubble');
    }
    await page.context().close();
  },
);

test(
  'the timeline: keys choose and zoom, the pointer reads, buttons move',
  needsChromium,
  async () => {
    const { page, troubles } = await open({ width: 1280 });
    const canvas = page.locator('#timeline-canvas');
    await canvas.focus();
    await page.keyboard.press('ArrowRight');
    const said = page.locator('#timeline-said');
    assert.match(
      await said.innerText(),
      /^rank 0, forward: stage 0 micro-batch 0; 50\.00 ms from 0\.000 s/,
    );
    await page.keyboard.press('ArrowDown');
    assert.match(await said.innerText(), /^rank 1,/);
    const whole = await layoutOf(page);
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    const zoomed = await layoutOf(page);
    assert.ok(Math.abs((whole.to - whole.from) / (zoomed.to - zoomed.from) - 4) < 0.01);
    await page.getByRole('button', { name: 'Later' }).click();
    assert.ok((await layoutOf(page)).from > zoomed.from);
    await page.getByRole('button', { name: 'Whole step' }).click();
    assert.deepEqual(await layoutOf(page), whole);

    const pair = walked.spans.find(({ rank, name }) => rank === 0 && name === 'forwardBackward');
    const share = ((pair?.start ?? 0) * 1e6 + 7e4 - whole.from) / (whole.to - whole.from);
    const position = {
      x: whole.left + share * (whole.right - whole.left),
      y: whole.top + whole.rowHeight * 0.3,
    };
    await canvas.hover({ position });
    const tip = await page.locator('#timeline-tip').innerText();
    assert.match(
      tip,
      /^rank 0, forward over backward: stage \d+ micro-batch \d+, backward stage \d+/,
    );

    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -300);
    await page.keyboard.up('Control');
    const closer = await layoutOf(page);
    assert.ok(closer.to - closer.from < whole.to - whole.from);
    await canvas.screenshot({ path: join(folder, 'plan-zoomed.png') });
    assert.deepEqual(troubles, []);
    await page.context().close();
  },
);

test('the report: fits 390 to 1440 px without scrolling sideways', needsChromium, async () => {
  for (const width of [390, 640, 768, 1024, 1440]) {
    const { page, troubles } = await open({ width });
    const widest = await ask<number>(page, 'document.documentElement.scrollWidth');
    assert.ok(widest <= width, `${widest} px wide on ${width}`);
    const charts = await page.locator('#roofline figure:visible').count();
    assert.equal(charts, 1, `${charts} rooflines at ${width} px`);
    if (width === 390) {
      await page.screenshot({ path: join(folder, 'plan-phone.png'), fullPage: true });
    }
    assert.deepEqual(troubles, []);
    await page.context().close();
  }
});

test(
  'the report: is dark where the reader wants it dark, canvas included',
  needsChromium,
  async () => {
    const light = await open({ width: 1280 });
    const dark = await open({ width: 1280, colorScheme: 'dark' });
    const brightness = async (page: Page): Promise<number> => {
      const colour = await ask<string>(page, 'getComputedStyle(document.body).backgroundColor');
      return Math.max(...(colour.match(/\d+/g) ?? []).map(Number));
    };
    assert.ok((await brightness(light.page)) > 200);
    assert.ok((await brightness(dark.page)) < 60);
    const rank7 = { rank: 7, seconds: 0.01, down: 0.4 };
    const ground = await colourAt(dark.page, rank7);
    const grounds = [await variable(dark.page, 'bubble'), await variable(dark.page, 'hatch')];
    assert.notEqual(ground, await colourAt(light.page, rank7));
    assert.ok(Number.parseInt(ground.slice(1, 3), 16) < 80, `${ground}, of ${grounds}`);
    assert.deepEqual(dark.troubles, []);
    await dark.page.screenshot({ path: join(folder, 'plan-dark.png'), fullPage: true });
    await light.page.context().close();
    await dark.page.context().close();
  },
);

test(
  'the report: every control and chart has a name, and tab reaches them',
  needsChromium,
  async () => {
    const { page } = await open({ width: 1280 });
    const nameless = await ask<string[]>(
      page,
      `[...document.querySelectorAll('button, [role], a, canvas, svg:not([aria-hidden])')]
      .filter((each) => !(each.getAttribute('aria-label') || each.textContent.trim()))
      .map((each) => each.outerHTML.slice(0, 80))`,
    );
    assert.deepEqual(nameless, []);
    const reached = new Set<string>();
    for (let press = 0; press < 40; press++) {
      await page.keyboard.press('Tab');
      reached.add(await ask(page, 'document.activeElement.id || document.activeElement.tagName'));
    }
    for (const target of ['timeline-canvas', 'BUTTON', 'A', 'command', 'SUMMARY']) {
      assert.ok(reached.has(target), `${target} is not among ${[...reached]}`);
    }
    await page.context().close();
  },
);
