/**
 * How the studio's page keeps up, measured in Chromium on a real studio server: a timeline of 2,048
 * ranks while it is panned by keys and by the pointer and while it is zoomed, for several heights
 * of rows; a simulated trace of as many spans as one asks for, read and drawn; and the curves of a
 * run of 10⁵ steps.
 *
 *   node bench/studioBrowser.ts [--picture schedule|trace|charts] [--replicas 32] [--frames 120]
 *     [--steps 100000] [--json] [--record]
 *
 * A frame is the time from one animation frame to the next, so it counts what the browser itself
 * does; the page's own part of it is what its measures say (`moebius.timeline.frame`,
 * `moebius.chart.<curve>`). Input comes as from a person: through the browser, not the page. The
 * last line is JSON.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Browser, Locator, Page } from 'playwright-core';
import { at } from '../src/base/assert.ts';
import { median } from '../src/base/median.ts';
import { appendResult, LEDGER } from '../src/cli/bench/ledger.ts';
import { openStudio } from '../src/cli/studio/openStudio.ts';
import { startChromium } from '../tests/support/browser.ts';
import { writeLongRun } from '../tests/support/longRun.ts';
import { writeSimulatedTrace } from '../tests/support/simulatedTrace.ts';

const { values } = parseArgs({
  options: {
    replicas: { type: 'string', default: '32' },
    frames: { type: 'string', default: '120' },
    steps: { type: 'string', default: '100000' },
    picture: { type: 'string', multiple: true, default: ['schedule', 'trace', 'charts'] },
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
  },
});

/** Milliseconds. */
interface FrameTimes {
  readonly how: string;
  readonly frames: number;
  readonly medianFrame: number;
  /** No more than this for 19 of 20: what else the machine does shows in the worst. */
  readonly mostFrame: number;
  readonly worstFrame: number;
  /** The page's own part. */
  readonly medianPaint: number;
  readonly mostPaint: number;
  readonly worstPaint: number;
}

const folder = mkdtempSync(join(tmpdir(), 'moebius-studio-'));
const HEIGHTS = [1, 2, 4, 14];
const FRAMES = Number(values.frames);
const SIZE = { width: 1440, height: 900 };
const SCHEDULE = 'schedule=dualpipe&pp=16&microBatches=128&replicas=128';

try {
  await measureAll();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measureAll(): Promise<void> {
  const runs = join(folder, 'runs');
  mkdirSync(runs);
  if (values.picture.includes('charts')) writeLongRun(join(runs, 'long'), Number(values.steps));
  const settings = { folder: runs, host: '127.0.0.1', port: 0, checkpoint: null, page: null };
  const studio = await openStudio(settings, (text) => console.error(text));
  const browser = await startChromium();
  try {
    const wanted = (picture: string): boolean => values.picture.includes(picture);
    const figures = {
      schedule: wanted('schedule') ? await measureSchedule(browser, studio.url) : null,
      trace: wanted('trace') ? await measureTrace(browser, studio.url) : null,
      charts: wanted('charts') ? await measureCharts(browser, studio.url) : null,
    };
    if (values.record) {
      const words = process.argv.slice(2).filter((word) => !/^--(?:record|json)$/.test(word));
      const command = ['node bench/studioBrowser.ts', ...words].join(' ');
      appendResult(LEDGER, { command, figures: { ...SIZE, ...figures } });
    }
    console.log(JSON.stringify({ ...SIZE, ...figures }));
  } finally {
    await browser.close();
    await studio.close();
  }
}

async function open(browser: Browser, address: string): Promise<Page> {
  const context = await browser.newContext({ viewport: SIZE });
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  await page.goto(address);
  return page;
}

/** All 2,048 ranks of PP 16, 128 micro-batches and 128 replicas. */
async function measureSchedule(browser: Browser, url: string): Promise<object> {
  const times: FrameTimes[] = [];
  for (const height of HEIGHTS) {
    const page = await open(browser, `${url}/#/timeline?${SCHEDULE}&rowHeight=${height}`);
    times.push(...(await moveAround(page, `${height} px`)));
    await page.context().close();
  }
  print('2,048 ranks of PP 16 × 128 micro-batches', times);
  return { ranks: 2048, times };
}

async function measureTrace(browser: Browser, url: string): Promise<object> {
  const path = join(folder, 'trace.json');
  const replicas = Number(values.replicas);
  const { bytes, spans, ranks } = writeSimulatedTrace(path, replicas);
  const page = await open(browser, `${url}/#/timeline?picture=trace&rowHeight=1`);
  await record(page, []);
  const began = performance.now();
  await page.locator('input[type=file]').nth(1).setInputFiles(path);
  await page.locator('canvas').waitFor({ timeout: 300_000 });
  const readSeconds = (performance.now() - began) / 1e3;
  const { frames } = await recorded(page);
  const longestFrame = Math.max(...frames);
  const size = `${spans} spans of ${ranks} ranks, ${(bytes / 1e6).toFixed(0)} MB`;
  const read = `read in ${readSeconds.toFixed(1)} s, longest frame ${longestFrame.toFixed(0)} ms`;
  if (!values.json) console.log(`trace: ${size}: ${read}`);
  const times: FrameTimes[] = [];
  for (const height of HEIGHTS) {
    await page.evaluate(`location.hash = '#/timeline?picture=trace&rowHeight=${height}'`);
    times.push(...(await moveAround(page, `${height} px`)));
  }
  print('the trace', times);
  return { bytes, spans, ranks, readSeconds, longestFrame, times };
}

/** Zoomed in to a third, to and fro by keys, by dragging both ways, and by the wheel. */
async function moveAround(page: Page, name: string): Promise<FrameTimes[]> {
  const canvas = page.locator('canvas[data-from]');
  await canvas.waitFor({ timeout: 60_000 });
  await page.waitForFunction("document.querySelector('canvas').dataset.from !== undefined");
  await canvas.focus();
  for (const key of ['0', '+', '+', '+']) await page.keyboard.press(key);
  await page.waitForTimeout(600);
  const times: FrameTimes[] = [];
  const keep = async (how: string, act: () => Promise<void>): Promise<void> => {
    await record(page, ['moebius.timeline.frame']);
    await act();
    times.push(timesOf(`${name}, ${how}`, await recorded(page)));
    await page.waitForTimeout(600);
  };
  await keep('keys', async () => {
    for (let frame = 0; frame < FRAMES; frame++) {
      const isBack = frame % 12 >= 6;
      await page.keyboard.press(isBack ? 'ArrowLeft' : 'ArrowRight');
      if (frame % 4 === 3) await page.keyboard.press(isBack ? 'ArrowUp' : 'ArrowDown');
    }
  });
  await keep('drag', () => drag(page, canvas));
  await keep('zoom', async () => {
    const { x, y } = await middleOf(canvas);
    await page.mouse.move(x, y);
    for (let frame = 0; frame < FRAMES; frame++) {
      await page.mouse.wheel(0, frame % 40 < 20 ? -60 : 60);
    }
  });
  return times;
}

async function middleOf(canvas: Locator): Promise<{ x: number; y: number }> {
  const box = await canvas.boundingBox();
  if (box === null) throw new Error('there is no timeline');
  return { x: box.x + box.width / 2, y: box.y + Math.min(box.height, 500) / 2 };
}

async function drag(page: Page, canvas: Locator): Promise<void> {
  const { x, y } = await middleOf(canvas);
  await page.mouse.move(x, y);
  await page.mouse.down();
  for (let frame = 0; frame < FRAMES; frame++) {
    // A slow circle, so that all four sides come into view.
    const angle = (frame / 60) * 2 * Math.PI;
    await page.mouse.move(x + 300 * Math.sin(angle), y + 100 * Math.sin(2 * angle));
  }
  await page.mouse.up();
}

interface Recorded {
  /** From one animation frame to the next. */
  readonly frames: readonly number[];
  readonly measures: readonly number[];
}

/** Begins to note frames and the page's measures of these names. */
async function record(page: Page, names: readonly string[]): Promise<void> {
  await page.evaluate(`{
    const kept = { frames: [], measures: [], isOn: true };
    globalThis.kept = kept;
    const names = new Set(${JSON.stringify(names)});
    kept.observer = new PerformanceObserver((list) => {
      for (const { name, duration } of list.getEntries()) {
        if (names.has(name)) kept.measures.push(duration);
      }
    });
    kept.observer.observe({ entryTypes: ['measure'] });
    let before = performance.now();
    const frame = (now) => {
      kept.frames.push(now - before);
      before = now;
      if (kept.isOn) requestAnimationFrame(frame);
    };
    requestAnimationFrame((now) => { before = now; requestAnimationFrame(frame); });
  }`);
}

async function recorded(page: Page): Promise<Recorded> {
  return (await page.evaluate(`new Promise((done) => setTimeout(() => {
    kept.isOn = false;
    kept.observer.disconnect();
    done({ frames: kept.frames, measures: kept.measures });
  }, 50))`)) as Recorded;
}

function timesOf(how: string, { frames, measures }: Recorded): FrameTimes {
  return {
    how,
    frames: measures.length,
    medianFrame: median(frames),
    mostFrame: mostOf(frames),
    worstFrame: Math.max(...frames),
    medianPaint: median(measures),
    mostPaint: mostOf(measures),
    worstPaint: Math.max(...measures),
  };
}

function mostOf(times: readonly number[]): number {
  return at(
    times.toSorted((a, b) => a - b),
    Math.ceil(times.length * 0.95) - 1,
  );
}

/** Each curve of a long run, drawn again while the window changes its width. */
async function measureCharts(browser: Browser, url: string): Promise<object> {
  const page = await open(browser, `${url}/#/runs`);
  const points = `figure.chart[data-points="${values.steps}"]`;
  await page.locator(points).first().waitFor({ timeout: 60_000 });
  await page.waitForTimeout(1000);
  const names = (await page.evaluate(
    `[...document.querySelectorAll('figure.chart')].map(({ dataset }) => dataset.curve)`,
  )) as string[];
  const times: FrameTimes[] = [];
  for (const name of names) {
    await record(page, [`moebius.chart.${name}`]);
    for (let width = 0; width < 10; width++) {
      await page.setViewportSize({ ...SIZE, width: SIZE.width - 20 * (width % 2) - 20 });
      await page.waitForTimeout(80);
    }
    times.push(timesOf(name, await recorded(page)));
  }
  print(`${values.steps} steps`, times);
  return { steps: Number(values.steps), times };
}

function print(title: string, times: readonly FrameTimes[]): void {
  if (values.json) return;
  const cell = (value: number): string => value.toFixed(1).padStart(8);
  console.log(`\n${title}; milliseconds`);
  console.log(`${''.padEnd(22)} redraws  frame   19/20   worst   paint   19/20   worst`);
  for (const each of times) {
    const { how, frames, medianFrame, mostFrame, worstFrame } = each;
    const numbers = [medianFrame, mostFrame, worstFrame];
    numbers.push(each.medianPaint, each.mostPaint, each.worstPaint);
    const cells = numbers.map(cell).join('');
    console.log(`${how.padEnd(22)} ${String(frames).padStart(6)} ${cells}`);
  }
}
