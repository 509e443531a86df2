/**
 * The studio's runs and experts in Chromium: a real training run is followed while it goes on, what
 * the page shows is what its metrics say, and long and broken runs are shown too.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { formatDuration, formatNumber } from '../../studio/runs/duration.ts';
import { needsChromium } from '../support/browser.ts';
import { startMoebius } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

const NUM_STEPS = 30;
const LIMIT = { ...needsChromium, timeout: 300_000 };
const PATIENCE = { timeout: 120_000 };

interface StepLine {
  readonly step: number;
  readonly mainLoss: number;
  readonly mtpLoss: number;
  readonly gradientNorm: number;
  readonly tokensPerSecond: number;
  readonly remainingSeconds: number;
  readonly balance: {
    readonly maxVioMax: number;
    readonly deadExperts: number;
    readonly layers: readonly { readonly utilisation: readonly number[] }[];
  };
  /** Not of every step. */
  readonly experts?: {
    readonly tokens: readonly (readonly number[])[];
    readonly bias: readonly (readonly number[])[];
  };
}

function linesOf<T>(metrics: string, kind: string): readonly T[] {
  if (!existsSync(metrics)) return [];
  const whole = readFileSync(metrics, 'utf8').split('\n').slice(0, -1);
  return whole.map((line) => JSON.parse(line)).filter((line) => line.kind === kind);
}

const stepsOf = (metrics: string): readonly StepLine[] => linesOf<StepLine>(metrics, 'step');

function points(page: Page, curve: string): Promise<number> {
  const figure = page.locator(`figure.chart[data-curve=${curve}]`);
  return figure.getAttribute('data-points').then(Number);
}

function untilPoints(page: Page, curve: string, count: number): Promise<unknown> {
  const figure = `figure.chart[data-curve=${curve}][data-points="${count}"]`;
  return page.waitForSelector(figure, PATIENCE);
}

function cells(page: Page, selector: string): Promise<readonly string[]> {
  return page.locator(selector).allInnerTexts();
}

test(
  'runs: a run that trains is followed live, and its experts are what the metrics say',
  LIMIT,
  async (t) => {
    const folder = temporaryFolder(t);
    const runs = join(folder, 'runs');
    const out = join(runs, 'live');
    const metrics = join(out, 'metrics.jsonl');
    mkdirSync(runs);
    const browser = await chromiumFor(t);
    const url = await serveStudio(t, runs);
    const { page, troubles } = await openStudioPage(browser, url, { hash: '#/runs' });
    await page.getByText('No run yet').waitFor();

    const settings = ['steps=30', 'length=128', 'batch.sequences=8', 'checkpoint.every=15'];
    const command = tinyRun({ text: writeText(folder), out }, settings);
    const run = startMoebius([...command, '--ui', '--ui-port', '0']);
    t.after(() => run.kill('SIGKILL'));
    let hasEnded = false;
    void run.ended.then(() => {
      hasEnded = true;
    });
    const meanwhile = (isSo: () => boolean): Promise<void> =>
      until(() => {
        assert.ok(!hasEnded, run.stderr());
        return isSo();
      });

    // The page that the run itself opens.
    await meanwhile(() => /studio at http/.test(run.stderr()));
    const own = /studio at (http:\S+?),/.exec(run.stderr())?.[1] ?? assert.fail(run.stderr());
    const opened = await openStudioPage(browser, own, { hash: '#/runs' });
    const drawn = 'figure.chart[data-curve=loss]:not([data-points="0"])';
    const shown = opened.page.waitForSelector(drawn, PATIENCE);

    // The run stands still while the page is compared with its metrics.
    const seen: number[] = [];
    for (const least of [4, 12]) {
      await meanwhile(() => stepsOf(metrics).length >= least);
      run.kill('SIGSTOP');
      const steps = stepsOf(metrics);
      const last = steps.at(-1) ?? assert.fail('no step');
      await untilPoints(page, 'loss', steps.length);
      seen.push(steps.length);
      assert.ok(steps.length < NUM_STEPS, 'it is still under way');
      const fact = (name: string) => page.locator(`.run-card [data-fact=${name}] dd`).innerText();
      assert.equal(await fact('step'), `${last.step} of ${NUM_STEPS}`);
      assert.equal(await fact('remaining'), formatDuration(last.remainingSeconds), 'time left');
      assert.equal(await fact('loss'), formatNumber(last.mainLoss));
      run.kill('SIGCONT');
      if (least > 4) continue;
      await shown;
      assert.ok((await points(opened.page, 'loss')) > 0);
      assert.deepEqual(opened.troubles, []);
      await opened.page.context().close();
    }
    assert.equal((await run.ended).code, 0, run.stderr());
    await untilPoints(page, 'loss', NUM_STEPS);
    assert.ok(seen[0] !== undefined && seen[1] !== undefined && seen[0] < seen[1]);
    await page.locator('tr[data-run=live] .state.finished').waitFor(PATIENCE);
    assert.equal(await page.locator('[data-fact=remaining]').count(), 0);

    await compareFacts(page, metrics);
    await compareExperts(page, metrics);
    await compareRuns(page, { runs, metrics });
    assert.deepEqual(troubles, []);
  },
);

/** The table of facts against the file. */
async function compareFacts(page: Page, metrics: string): Promise<void> {
  const steps = stepsOf(metrics);
  const values: Readonly<Record<string, readonly number[]>> = {
    loss: steps.map(({ mainLoss }) => mainLoss),
    mtpLoss: steps.map(({ mtpLoss }) => mtpLoss),
    gradientNorm: steps.map(({ gradientNorm }) => gradientNorm),
    tokensPerSecond: steps.map(({ tokensPerSecond }) => tokensPerSecond),
    maxVio: steps.map(({ balance }) => balance.maxVioMax),
  };
  const words = (column: readonly number[], value: number): string =>
    `${formatNumber(value)} at step ${column.indexOf(value) + 1}`;
  for (const [curve, column] of Object.entries(values)) {
    assert.deepEqual(await cells(page, `.facts tr[data-curve=${curve}] td`), [
      ...['live', String(NUM_STEPS)],
      `${formatNumber(column.at(-1))} at step ${NUM_STEPS}`,
      words(column, Math.min(...column)),
      words(column, Math.max(...column)),
    ]);
  }
  const [evaluation] = linesOf<{ bitsPerByte: number; step: number }>(metrics, 'evaluation');
  const [, numPoints] = await cells(page, '.facts tr[data-curve=bitsPerByte] td');
  assert.equal(numPoints, String(linesOf(metrics, 'evaluation').length));
  assert.ok(evaluation !== undefined);
}

/** The heat map's table against the file, for a step in the middle and the last one. */
async function compareExperts(page: Page, metrics: string): Promise<void> {
  const steps = stepsOf(metrics);
  for (const step of [7, NUM_STEPS]) {
    const line = steps[step - 1] ?? assert.fail();
    const shown = async (measure: string): Promise<readonly number[]> => {
      const { origin } = new URL(page.url());
      await page.goto(`${origin}/#/experts?run=live&step=${step}&measure=${measure}`);
      const shownStep = page.locator('.experts-view output', { hasText: `${step} of` });
      await shownStep.waitFor(PATIENCE);
      const table = page.locator('.experts-view table', {
        hasText: measure === 'load' ? 'Load' : 'Bias',
      });
      await table.waitFor({ ...PATIENCE, state: 'attached' });
      const values = table.locator('td[data-value]');
      return values.evaluateAll((all) => all.map((cell) => Number(cell.dataset.value)));
    };
    const utilisation = line.balance.layers.flatMap((layer) => layer.utilisation);
    assert.deepEqual(await shown('load'), utilisation, `load at step ${step}`);
    // Written with four digits; the tokens are exact.
    const exact = line.experts?.tokens.flatMap((tokens) => {
      const sum = tokens.reduce((total, count) => total + count, 0);
      return tokens.map((count) => (count * tokens.length) / sum);
    });
    for (const [i, value] of exact?.entries() ?? []) {
      assert.ok(Math.abs(value - (utilisation[i] ?? Number.NaN)) <= 5.1e-5, `${value} ${i}`);
    }
    const dead = await page.locator('.experts-view [data-dead]').getAttribute('data-dead');
    assert.equal(Number(dead), line.balance.deadExperts);
    const known = steps.slice(0, step).findLast(({ experts }) => experts !== undefined)?.experts;
    assert.deepEqual(await shown('bias'), known?.bias.flat(), `bias at step ${step}`);
  }
}

interface Compared {
  readonly runs: string;
  readonly metrics: string;
}

/** A second run beside the first: both curves, both in the legend. */
async function compareRuns(page: Page, { runs, metrics }: Compared): Promise<void> {
  const other = join(runs, 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'train.json'), readFileSync(join(runs, 'live', 'train.json')));
  const text = readFileSync(metrics, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const event = JSON.parse(line) as StepLine & { readonly kind: string };
      const mainLoss = 5 - 1 / (1 + event.step);
      return JSON.stringify(event.kind === 'step' ? { ...event, mainLoss } : event);
    });
  writeFileSync(join(other, 'metrics.jsonl'), `${text.join('\n')}\n`);
  await page.goto(`${new URL(page.url()).origin}/#/runs?run=live`);
  await untilPoints(page, 'loss', NUM_STEPS);
  await page.getByLabel('Show other').check(PATIENCE);
  await untilPoints(page, 'loss', 2 * NUM_STEPS);
  assert.match(page.url(), /run=live%2Cother/);
  const legend = await cells(page, 'figure.chart[data-curve=loss] .legend .entry');
  const last = stepsOf(metrics).at(-1)?.mainLoss;
  assert.deepEqual(
    legend.map((entry) => entry.trim()),
    [`live ${formatNumber(last)}`, `other ${formatNumber(5 - 1 / (1 + NUM_STEPS))}`],
  );
  await bothDrawn(page);
  await takePicture(page, 'studio-runs');
  await page.getByLabel('Theme').selectOption('dark');
  await bothDrawn(page);
  await takePicture(page, 'studio-runs-dark');
}

/** A picture is painted in the frame after its numbers are there. */
function bothDrawn(page: Page): Promise<void> {
  return until(async () => (await coloursDrawn(page)).join() === '--curve-1,--curve-2');
}

/** The colours of curves that are in the picture of the loss. */
function coloursDrawn(page: Page): Promise<readonly string[]> {
  return page.evaluate(`(() => {
    const canvas = document.querySelector('figure.chart[data-curve=loss] canvas');
    // Read from a copy: the page's own canvas stays as it is.
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const brush = copy.getContext('2d', { willReadFrequently: true });
    brush.drawImage(canvas, 0, 0);
    const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
    const drawn = new Set();
    for (let i = 0; i < data.length; i += 4) {
      const bytes = [data[i], data[i + 1], data[i + 2]];
      drawn.add('#' + bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(''));
    }
    const style = getComputedStyle(document.documentElement);
    const names = [1, 2, 3, 4, 5, 6].map((index) => '--curve-' + index);
    return names.filter((name) => drawn.has(style.getPropertyValue(name).trim()));
  })()`);
}

/** A run of made-up lines. @returns its metrics */
function madeRun(runs: string, name: string, steps: number, lines: Iterable<string>): string {
  const folder = join(runs, name);
  mkdirSync(folder, { recursive: true });
  const config = { name: 'made', steps, model: { modelType: 'v3', numHiddenLayers: 4 } };
  writeFileSync(join(folder, 'train.json'), JSON.stringify(config));
  const metrics = join(folder, 'metrics.jsonl');
  writeFileSync(metrics, [...lines].join(''));
  return metrics;
}

function madeLine(step: number, mainLoss: number, numSteps: number): string {
  const curves = { mainLoss, mtpLoss: mainLoss, mtpLossPerDepth: [mainLoss], gradientNorm: 1 };
  const pace = { tokens: step, tokensPerSecond: 100, elapsedSeconds: step, remainingSeconds: 9 };
  const balance = { maxVioMax: 0.5 };
  return `${JSON.stringify({ kind: 'step', step, numSteps, ...curves, ...pace, balance })}\n`;
}

async function madePage(t: TestContext, runs: string, run: string) {
  const browser = await chromiumFor(t);
  const url = await serveStudio(t, runs);
  return openStudioPage(browser, url, { hash: `#/runs?run=${run}` });
}

test('runs: a hundred thousand steps are shown whole, zoomed and followed', LIMIT, async (t) => {
  const runs = temporaryFolder(t);
  const numSteps = 100_000;
  const spike = 54_321;
  const lines = Array.from({ length: numSteps }, (_, index) =>
    madeLine(index + 1, index + 1 === spike ? 77 : 2 + 1000 / (index + 1000), numSteps + 10),
  );
  const metrics = madeRun(runs, 'long', numSteps + 10, lines);
  appendFileSync(metrics, `{"kind":"evaluation","step":${numSteps},"bitsPerByte":2}\n`);
  const { page, troubles } = await madePage(t, runs, 'long');
  for (const curve of ['loss', 'mtpLoss', 'tokensPerSecond', 'gradientNorm', 'maxVio']) {
    await untilPoints(page, curve, numSteps);
  }
  await untilPoints(page, 'bitsPerByte', 1);
  assert.match((await cells(page, '.facts tr[data-curve=loss] td'))[4] ?? '', /^77 at step 54321$/);

  // A new step joins, and the chart says how long it took to draw.
  appendFileSync(metrics, madeLine(numSteps + 1, 3, numSteps + 10));
  await untilPoints(page, 'loss', numSteps + 1);
  const measured = () =>
    page.evaluate(() => performance.getEntriesByName('moebius.chart.loss').length);
  assert.equal(await measured(), 1);

  // Dragging over a curve zooms all of them; the address holds it, and a double click undoes it.
  const over = page.locator('figure.chart[data-curve=loss] .u-over');
  const box = (await over.boundingBox()) ?? assert.fail();
  await page.mouse.move(box.x + box.width * 0.25, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 60, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=\d+&to=\d+/);
  const near = async (label: string, wanted: number): Promise<void> => {
    const value = Number(await page.getByLabel(label).inputValue());
    assert.ok(Math.abs(value - wanted) < numSteps / 50, `${label}: ${value}`);
  };
  await near('From step', 25_000);
  await near('To step', 75_000);
  assert.equal(await points(page, 'loss'), numSteps + 1);
  // Pointing tells of the step and its value, in every chart.
  await page.mouse.move(box.x + box.width / 2, box.y + 50);
  await page.locator('figure.chart[data-curve=maxVio] .legend', { hasText: 'Step' }).waitFor();
  assert.match(
    (await cells(page, 'figure[data-curve=loss] .legend'))[0] ?? '',
    /Step \d+\s+long 2/,
  );
  await page.mouse.dblclick(box.x + box.width / 2, box.y + 50);
  await page.waitForURL(/run=long$/);
  // The same by keyboard.
  await page.getByLabel('From step').fill(String(spike - 5));
  await page.getByLabel('To step').fill(String(spike + 5));
  await page.keyboard.press('Tab');
  await page.waitForURL(new RegExp(`from=${spike - 5}&to=${spike + 5}`));
  assert.deepEqual(troubles, []);
});

test('runs: one begun anew, one with half a line, and ones that are no JSON', LIMIT, async (t) => {
  const runs = temporaryFolder(t);
  const first = [1, 2, 3, 4, 5].map((step) => madeLine(step, 9 - step, 8));
  const metrics = madeRun(runs, 'again', 8, first);
  madeRun(runs, 'spoilt', 8, [...first, 'this is no JSON\n']);
  writeFileSync(join(runs, 'spoilt', 'train.json'), 'nor is this');
  const { page, troubles } = await madePage(t, runs, 'again');
  await untilPoints(page, 'loss', 5);
  const [state] = await cells(page, 'tr[data-run=spoilt] .state.fault');
  assert.equal(state, 'train.json, metrics.jsonl broken');

  // Half a line waits for its other half.
  const next = madeLine(6, 3, 8);
  appendFileSync(metrics, next.slice(0, 40));
  appendFileSync(join(runs, 'spoilt', 'metrics.jsonl'), '{"kind":"st');
  appendFileSync(metrics, next.slice(40));
  await untilPoints(page, 'loss', 6);

  // Begun anew: what was drawn is gone.
  writeFileSync(metrics, madeLine(1, 5, 8));
  await untilPoints(page, 'loss', 1);
  appendFileSync(metrics, madeLine(2, 4, 8));
  await untilPoints(page, 'loss', 2);

  await page.getByLabel('Show spoilt').check();
  await untilPoints(page, 'loss', 7);
  await page.getByText('1 lines could not be read').waitFor();
  assert.deepEqual(troubles, []);
});
