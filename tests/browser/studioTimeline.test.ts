/**
 * The studio's timeline as a person uses it: a schedule chosen in the form and compared with its
 * golden span by span, keys, wheel and pointer, 2,048 ranks, and two traces in one picture.
 * Pictures are left in build/screenshots.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { at } from '../../src/base/assert.ts';
import { spanColors } from '../../studio/draw/timelineImage.ts';
import type { SpanKind } from '../../studio/draw/timelineIndex.ts';
import { needsChromium } from '../support/browser.ts';
import { goldenJson } from '../support/golden.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeSimulatedTrace } from '../support/simulatedTrace.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';

const OPTIONS = { ...needsChromium, timeout: 120_000 };

/** Of the canvas: the times at its sides, in the picture's unit, and how far it is scrolled. */
interface Shown {
  readonly from: number;
  readonly to: number;
  readonly top: number;
}

async function ask<T>(page: Page, line: string): Promise<T> {
  return (await page.evaluate(line)) as T;
}

/** What is shown once the next frame has been painted. */
async function shownOn(page: Page): Promise<Shown> {
  const dataset = await ask<Record<string, string>>(
    page,
    `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
      done({ ...document.querySelector('canvas[data-from]').dataset }))))`,
  );
  return { from: Number(dataset.from), to: Number(dataset.to), top: Number(dataset.top) };
}

async function settle(page: Page): Promise<Shown> {
  await page.locator('canvas[data-from]').waitFor();
  return shownOn(page);
}

/**
 * Defines `image`, the canvas' pixels, for a line that is asked. They are read from a copy: who
 * reads a canvas often is warned, and may be given a slower one.
 */
const IMAGE = `
  const canvas = document.querySelector('canvas[data-from]');
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);`;

interface ToldSpan {
  readonly label: string;
  readonly row: string;
  readonly start: number;
  readonly end: number;
}

/** The span that a screen reader is told of. */
async function toldSpan(page: Page): Promise<ToldSpan> {
  const text = await page.locator('#timeline-span').innerText();
  const found = /^(.+), row (.+), Simulated: ([\d.]+) to ([\d.]+), takes [\d.]+$/.exec(text);
  assert.ok(found !== null, text);
  const [, label = '', row = '', start, end] = found;
  return { label, row, start: Number(start), end: Number(end) };
}

const kindsByLetter: Readonly<Record<string, SpanKind>> = {
  F: 'forward',
  B: 'backward',
  I: 'backward',
  W: 'weight',
};

/** A label as the golden file writes it: chunks count per direction, phases from the nearer end. */
function goldenOf(label: string, rank: number): object {
  const [first, second] = label.split(' & ').map((part) => {
    const [, letter = '', microBatch] = /^\d+([FBIW])(\d+)$/.exec(part) ?? assert.fail(label);
    const dir = Number(microBatch) < 10 ? 0 : 1;
    return { letter, chunk: Number(microBatch) % 10, phase: rank >= 4 ? 1 - dir : dir, dir };
  });
  assert.ok(first !== undefined);
  const { letter, ...place } = first;
  if (second !== undefined) {
    const { chunk, phase, dir } = second;
    return { op: 'FB', ...place, bchunk: chunk, bphase: phase, bdir: dir };
  }
  if (letter === 'B' || letter === 'I') return { op: 'B', ...place, zb: letter === 'I' };
  return { op: letter, ...place };
}

/** The canvas' colours at times of a row, in the middle of its height. */
async function coloursAt(
  page: Page,
  { row, times }: { readonly row: number; readonly times: readonly number[] },
): Promise<string[]> {
  return ask(
    page,
    `(() => {
      ${IMAGE}
      const { from, to } = canvas.dataset;
      const rows = canvas.height / 8;
      // Names stand at the left, the spans fill the rest: 8 ranks have names of one letter.
      const left = 10 + 6.5;
      return ${JSON.stringify(times)}.map((time) => {
        const share = (time - Number(from)) / (Number(to) - Number(from));
        const x = Math.floor(left + share * (canvas.width - left));
        // Above the label's letters.
        const y = Math.floor(${row} * rows + 2);
        const [r, g, b] = image.data.subarray(4 * (y * canvas.width + x));
        return '#' + [r, g, b].map((value) => value.toString(16).padStart(2, '0')).join('');
      });
    })()`,
  );
}

test(
  'studio timeline: DualPipe of PP 8 with 20 micro-batches, set in the form, is its golden',
  OPTIONS,
  async (t) => {
    const url = await serveStudio(t, temporaryFolder(t));
    const browser = await chromiumFor(t);
    const hash = '#/timeline?schedule=1f1b&pp=4&microBatches=6';
    const { page, troubles } = await openStudioPage(browser, url, { hash });
    await settle(page);
    await page.getByRole('combobox', { name: 'Schedule' }).selectOption('dualpipe');
    for (const [name, value] of [
      ['Pipeline ranks (PP)', '8'],
      ['Micro-batches', '20'],
    ] as const) {
      const field = page.getByRole('spinbutton', { name });
      await field.fill(value);
      await field.press('Enter');
      await field.blur();
    }
    await page.getByText('Step: 66.').waitFor();
    const golden = goldenJson('pipeline/dualpipe-pp8-mb20.json') as Record<string, object[]>;
    await page.getByText('As a table').click();
    const rows = page.locator('.timeline-passes');
    await rows.first().waitFor();
    assert.equal(await rows.count(), 8);
    await settle(page);
    const canvas = page.locator('canvas[data-from]');
    for (let rank = 0; rank < 8; rank++) {
      const labels = (await rows.nth(rank).innerText()).split(', ');
      const expected = golden[String(rank)] ?? [];
      assert.deepEqual(
        labels.map((label) => goldenOf(label, rank)),
        expected,
        `rank ${rank}`,
      );
      // The same spans one by one, as keys reach them, and as they are painted: of one rank of each
      // direction, as a walk takes seconds.
      if (rank !== 1 && rank !== 6) continue;
      const told = await spansOfRow(page, canvas, { rank, count: labels.length });
      assert.deepEqual(
        told.map(({ label }) => label),
        labels,
      );
      const times = told.map(({ start, end }) => (start + end) / 2);
      const found = await coloursAt(page, { row: rank, times });
      const colours = labels.map((label) =>
        label.includes('&')
          ? spanColors.pair
          : spanColors[kindsByLetter[label.replace(/\d/g, '')] ?? 'wait'],
      );
      assert.deepEqual(found, colours, `colours of rank ${rank}`);
    }
    await takePicture(page, 'studio-timeline');
    assert.deepEqual(troubles, []);
  },
);

/** Walks a row by Shift and arrows from its first span to its last. */
async function spansOfRow(
  page: Page,
  canvas: Locator,
  { rank, count }: { readonly rank: number; readonly count: number },
): Promise<ToldSpan[]> {
  await canvas.focus();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Shift+ArrowRight');
  for (let row = 0; row < rank; row++) await page.keyboard.press('Shift+ArrowDown');
  for (let span = 0; span < count; span++) await page.keyboard.press('Shift+ArrowLeft');
  const told: ToldSpan[] = [];
  for (let span = 0; span < count; span++) {
    const now = await toldSpan(page);
    assert.equal(now.row, String(rank));
    told.push(now);
    await page.keyboard.press('Shift+ArrowRight');
  }
  // Nothing is behind the last; the outline must not be taken for a span's colour.
  assert.deepEqual(await toldSpan(page), told.at(-1));
  await page.keyboard.press('Escape');
  await shownOn(page);
  return told;
}

test(
  'studio timeline: keys, wheel and pointer move the window, and the words follow',
  OPTIONS,
  async (t) => {
    const url = await serveStudio(t, temporaryFolder(t));
    const browser = await chromiumFor(t);
    const { page, troubles } = await openStudioPage(browser, url, { hash: '#/timeline' });
    const whole = await settle(page);
    assert.deepEqual(whole, { from: 0, to: 66, top: 0 });
    const canvas = page.locator('canvas[data-from]');
    await canvas.focus();
    await page.keyboard.press('+');
    const near = await shownOn(page);
    assert.ok(Math.abs(near.to - near.from - 44) < 1e-9 && Math.abs(near.from - 11) < 1e-9);
    await page.keyboard.press('ArrowRight');
    const later = await shownOn(page);
    assert.ok(Math.abs(later.from - near.from - 4.4) < 1e-9);
    await page.keyboard.press('End');
    assert.equal((await shownOn(page)).to, 66);
    await page.keyboard.press('Home');
    assert.equal((await shownOn(page)).from, 0);
    await page.locator('.timeline-window', { hasText: 'Shown: 0 to 44' }).waitFor();
    assert.match(page.url(), /from=0?&?.*to=44|to=44/);

    await page.getByRole('button', { name: 'Show all' }).click();
    assert.deepEqual(await shownOn(page), whole);
    const box = (await canvas.boundingBox()) ?? assert.fail('no timeline');
    const middle = { x: box.x + box.width / 2, y: box.y + 30 };
    await page.mouse.move(middle.x, middle.y);
    await page.mouse.wheel(0, -400);
    await page.waitForFunction("document.querySelector('canvas[data-from]').dataset.from > 10");
    const zoomed = await shownOn(page);
    assert.ok(zoomed.to - zoomed.from < 30 && zoomed.from > 10);
    await page.mouse.down();
    await page.mouse.move(middle.x - 100, middle.y, { steps: 4 });
    await page.mouse.up();
    const dragged = await shownOn(page);
    const seconds = (100 * (zoomed.to - zoomed.from)) / (box.width - 16.5);
    assert.ok(Math.abs(dragged.from - zoomed.from - seconds) < 0.2 * seconds);

    // A click chooses what is under it; an arrow goes on from there.
    await page.mouse.click(middle.x, middle.y);
    const clicked = await toldSpan(page);
    assert.equal(clicked.row, '1');
    await canvas.focus();
    await page.keyboard.press('Shift+ArrowRight');
    assert.ok((await toldSpan(page)).start >= clicked.end);
    await page.mouse.move(middle.x + 2, middle.y + 2);
    const tip = await page.locator('.timeline-tooltip').innerText();
    assert.match(tip, /, row 1, Simulated: /);
    assert.deepEqual(troubles, []);
  },
);

test(
  'studio timeline: 2,048 ranks are panned, and what is shifted is what is painted anew',
  OPTIONS,
  async (t) => {
    const url = await serveStudio(t, temporaryFolder(t));
    const browser = await chromiumFor(t);
    const size = 'schedule=dualpipe&pp=16&microBatches=64&replicas=128';
    for (const rowHeight of [1, 4, 14]) {
      const hash = `#/timeline?${size}&rowHeight=${rowHeight}&from=40&to=90`;
      const { page, troubles } = await openStudioPage(browser, url, { hash });
      await settle(page);
      const canvas = page.locator('canvas[data-from]');
      assert.match((await canvas.getAttribute('aria-label')) ?? '', /2048 rows/);
      await canvas.focus();
      const before = await pictureOf(page);
      for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowUp', 'ArrowRight']) {
        await page.keyboard.press(key);
        await shownOn(page);
      }
      const moved = await shownOn(page);
      assert.equal(moved.top, 0);
      assert.ok(Math.abs(moved.from - 55) < 1e-9);
      const shifted = await pictureOf(page);
      assert.notEqual(shifted, before);
      await page.waitForURL(/from=5[45]/);
      await page.reload();
      await settle(page);
      assert.equal(await pictureOf(page), shifted, `rows of ${rowHeight} px`);
      await page.locator('canvas[data-from]').focus();
      await page.keyboard.press('PageDown');
      const { top } = await shownOn(page);
      assert.ok(top >= 560, `${top} px down`);
      assert.deepEqual(troubles, []);
      await page.context().close();
    }
    const { page } = await openStudioPage(browser, url, { hash: `#/timeline?${size}` });
    await settle(page);
    await page.getByRole('button', { name: 'All 2048 rows' }).click();
    await page.keyboard.press('PageDown');
    assert.equal((await shownOn(page)).top, 0);
    await takePicture(page, 'studio-timeline-ranks');
  },
);

/** The spans' pixels as a number: names and what lies around them are left out. */
function pictureOf(page: Page): Promise<number> {
  return ask(
    page,
    `(() => {
      ${IMAGE}
      let sum = 0;
      const pixels = new Uint32Array(image.data.buffer);
      for (const pixel of pixels) sum = (Math.imul(sum, 31) + pixel) | 0;
      return sum;
    })()`,
  );
}

test(
  'studio timeline: a real and a simulated trace stand in one picture, read by a worker',
  OPTIONS,
  async (t) => {
    const folder = temporaryFolder(t);
    const [real, simulated] = [join(folder, 'real.json'), join(folder, 'simulated.json')];
    writeSimulatedTrace(real, 1);
    writeSimulatedTrace(simulated, 2);
    const url = await serveStudio(t, folder);
    const browser = await chromiumFor(t);
    const hash = '#/timeline?picture=trace';
    const { page, troubles } = await openStudioPage(browser, url, { hash });
    const worker = page.waitForEvent('worker');
    await page.getByLabel('Real trace').setInputFiles(real);
    assert.match((await worker).url(), /traceWorker/);
    await page.getByText('Real: 4.055 s, 16 ranks, 10274 spans').waitFor();
    await page.getByLabel('Simulated trace').setInputFiles(simulated);
    await page.getByText('Simulated: 4.055 s, 32 ranks, 20548 spans').waitFor();
    const legend = page.getByRole('list', { name: 'Colours' });
    for (const text of ['real, above', 'simulated, right below it', 'bubble']) {
      await legend.getByText(text).waitFor();
    }
    await settle(page);
    await page.getByText('As a table').click();
    await page.locator('details table tbody tr').first().waitFor();
    const rows = await page.locator('details table tbody tr').allInnerTexts();
    assert.match(at(rows, 0), /^0 compute\s+Real\s/);
    assert.match(at(rows, 1), /^0 compute\s+Simulated\s/);
    await takePicture(page, 'studio-timeline-traces');

    const wrong = { name: 'wrong.json', mimeType: 'text/json', buffer: Buffer.from('{"a":1}') };
    await page.getByLabel('Real trace').setInputFiles(wrong);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    assert.match(await alert.innerText(), /^wrong\.json could not be read: .*"traceEvents"/);
    await page.getByRole('button', { name: 'Close simulated.json' }).click();
    await page.locator('canvas').waitFor({ state: 'detached' });
    assert.deepEqual(troubles, []);
  },
);

test(
  'studio timeline: fits 390 to 1440 px in light and dark, bubbles hatched',
  OPTIONS,
  async (t) => {
    const url = await serveStudio(t, temporaryFolder(t));
    const browser = await chromiumFor(t);
    for (const [width, colorScheme] of [
      [390, 'light'],
      [1440, 'dark'],
    ] as const) {
      const look = { hash: '#/timeline', width, colorScheme };
      const { page, troubles } = await openStudioPage(browser, url, look);
      await settle(page);
      const widest = await ask<number>(page, 'document.documentElement.scrollWidth');
      assert.ok(widest <= width, `${widest} px wide on ${width}`);
      // Rank 3 waits for three units first.
      const times = Array.from({ length: 120 }, (_, index) => 0.2 + index * 0.02);
      const seen = new Set(await coloursAt(page, { row: 3, times }));
      const styles = 'getComputedStyle(document.documentElement)';
      for (const name of ['--bubble', '--bubble-hatch']) {
        const colour = await ask<string>(page, `${styles}.getPropertyValue('${name}').trim()`);
        assert.ok(seen.has(colour), `${name} is not among ${[...seen]} at ${width} px`);
      }
      await takePicture(page, `studio-timeline-${colorScheme}-${width}`);
      assert.deepEqual(troubles, []);
      await page.context().close();
    }
  },
);
