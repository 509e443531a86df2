/**
 * The planner as a reader uses it, through the real studio: every number that it shows is the
 * command line's, a plan is a link, a search can be stopped, and the page stays awake meanwhile.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { formatBytes } from '../../src/base/units.ts';
import { memoryParts } from '../../src/planner/memoryParts.ts';
import { formatStep } from '../../src/planner/quantities.ts';
import { needsChromium } from '../support/browser.ts';
import { moebius, moebiusJson } from '../support/commandLine.ts';
import {
  candidatesOf,
  columnOf,
  headlineOf,
  memoryOf,
  operationsOf,
  type PlanJson,
  phasesOf,
  sourcesOf,
  tablesOf,
  whatIfsOf,
} from '../support/plannerTables.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { chromiumFor, openStudioPage, serveStudio, takePicture } from '../support/studioPage.ts';
import { until } from '../support/testServer.ts';

const LIMIT = { timeout: 300_000, ...needsChromium };
/** A plan or a search may take its time on a busy machine. */
const PATIENCE = { timeout: 120_000 };

interface Planner {
  readonly page: Page;
  readonly troubles: readonly string[];
  /** A second page, in a profile of its own. */
  readonly open: (hash: string, look?: object) => Promise<Planner>;
}

async function openPlanner(
  context: TestContext,
  hash: string,
  look: object = {},
): Promise<Planner> {
  const url = await serveStudio(context, temporaryFolder(context));
  const browser = await chromiumFor(context);
  const open: Planner['open'] = async (hash, look = {}) => {
    const opened = await openStudioPage(browser, url, { ...look, hash });
    opened.page.setDefaultTimeout(PATIENCE.timeout);
    return { ...opened, open };
  };
  return open(hash, look);
}

async function plan(...args: readonly string[]): Promise<PlanJson> {
  return (await moebiusJson('plan', 'train', ...args)) as unknown as PlanJson;
}

/** Once the page says that it has planned a step of so many seconds. */
async function planned(
  page: Page,
  { stepSeconds }: { readonly stepSeconds: number },
): Promise<void> {
  const done = `Planned: ${formatStep(stepSeconds)} a step.`;
  await page.getByRole('status').filter({ hasText: done }).waitFor(PATIENCE);
  await page.locator('.planner [aria-busy=false]').waitFor(PATIENCE);
}

/** Every number of a plan, in the tables beside the pictures. */
async function assertSame(page: Page, json: PlanJson): Promise<void> {
  const tables = await tablesOf(page);
  const tableOf = (label: string): readonly (readonly string[])[] => {
    const rows = tables.get(label);
    assert.ok(rows !== undefined, `a table of ${label} among ${[...tables.keys()].join(', ')}`);
    return rows;
  };
  const [name, value] = [0, 1].map((column) => columnOf(tableOf('Result'), column));
  assert.deepEqual(
    [name, value],
    [0, 1].map((column) => columnOf(headlineOf(json), column)),
  );
  const phases = tableOf('Phases of a step; What the cost pays for');
  assert.deepEqual(
    phases.slice(0, -1).map((row) => row.slice(0, 2)),
    phasesOf(json),
  );
  assert.deepEqual(tableOf('Memory of each rank').length, json.ranks.length);
  if (json.whatIfs === undefined) {
    assert.deepEqual(tableOf('Memory of each rank'), memoryOf(json));
    assert.deepEqual(tableOf('Roofline of operations'), operationsOf(json));
    const sources = sourcesOf(json);
    assert.deepEqual(tableOf('Where the numbers are from').slice(0, sources.length), sources);
  } else {
    assert.deepEqual(tableOf('Each change by itself'), whatIfsOf(json));
  }
  if (json.candidates !== undefined) assert.deepEqual(tableOf('Plans found'), candidatesOf(json));
}

const V3 = ['--model', 'deepseek-v3', '--cluster', 'h800x2048', '--layout', 'pp16,ep64,zero1'];

test(
  'planner: the run of the V3 report, with every number of the command line',
  LIMIT,
  async (context) => {
    const { page, troubles, open } = await openPlanner(context, '#/planner');
    const json = await plan(...V3);
    await planned(page, json);
    await assertSame(page, json);
    await takePicture(page, 'studio-planner');

    const published = json.published?.stepSeconds ?? 0;
    await page.getByText(`Published: ${formatStep(published)}`).waitFor();
    // The bars tell the same as the table: each carries its words.
    const titles = await page
      .getByRole('img', { name: 'Memory of each rank' })
      .locator('rect title')
      .allTextContents();
    assert.deepEqual(
      titles,
      json.ranks.flatMap(({ rank, memory }) =>
        memoryParts
          .filter(({ key }) => memory[key] > 0)
          .map(({ key, name }) => `${rank}, ${name}: ${formatBytes(memory[key])}`),
      ),
    );
    const computing = json.operations.filter(({ flops, bytes }) => flops > 0 && bytes > 0);
    const roofline = page.getByRole('img', { name: /^Roofline/ });
    assert.equal(await roofline.locator('path title').count(), computing.length);

    for (const [name, look] of [
      ['studio-planner-dark', { colorScheme: 'dark' }],
      ['studio-planner-390', { width: 390, height: 844 }],
    ] as const) {
      const other = await open('#/planner', look);
      await planned(other.page, json);
      await assertSame(other.page, json);
      await takePicture(other.page, name);
      assert.deepEqual(other.troubles, []);
    }
    assert.deepEqual(troubles, []);
  },
);

test(
  'planner: pickers and fields ask for another plan, and its address is the plan',
  LIMIT,
  async (context) => {
    const { page, troubles, open } = await openPlanner(context, '#/planner');
    await page.getByLabel('Model').selectOption('deepseek-v2-lite');
    await page.getByLabel('Cluster').selectOption('h800');
    const layout = page.getByLabel('Layout', { exact: true });
    await layout.fill('pp4,ep8,zero1');
    await layout.press('Enter');
    const gpus = page.getByLabel('GPUs', { exact: true });
    await gpus.fill('64');
    await gpus.press('Enter');
    await page.getByLabel('Global batch').fill('512');
    await page.getByLabel('Global batch').press('Enter');
    await page.getByLabel('Schedule').selectOption('zb1p');
    const json = await plan(
      ...['--model', 'deepseek-v2-lite', '--cluster', 'h800', '--gpus', '64'],
      ...['--layout', 'pp4,ep8,zero1', '--global-batch', '512', '--schedule', 'zb1p'],
    );
    await planned(page, json);
    await assertSame(page, json);
    // Left empty, a field shows what is taken, and that is what was planned.
    assert.equal(
      await page.getByLabel('Sequence length').getAttribute('placeholder'),
      String(json.plan.sequenceLength),
    );
    const open_ = page.getByLabel('Recompute').locator('option:checked');
    assert.equal(await open_.textContent(), `${json.plan.recompute} (default)`);

    const { hash } = new URL(page.url());
    const second = await open(hash);
    await planned(second.page, json);
    assert.deepEqual(await tablesOf(second.page), await tablesOf(page));
    assert.deepEqual([...troubles, ...second.troubles], []);
  },
);

test(
  'planner: dials of what-if hardware, beside today and each by itself',
  LIMIT,
  async (context) => {
    const { page, troubles } = await openPlanner(context, '#/planner');
    const dial = page.getByLabel('Memory bandwidth', { exact: true });
    await dial.focus();
    // Four quarters of a doubling.
    for (let press = 0; press < 4; press++) await page.keyboard.press('ArrowRight');
    assert.equal(await dial.getAttribute('aria-valuetext'), '× 2 = 6.70 TB/s');
    const json = await plan(...V3, '--what-if', 'gpu.memoryBytesPerSecond*=2');
    await page.getByText('What-if: ').waitFor(PATIENCE);
    await planned(page, json);
    await assertSame(page, json);

    // The column of changed hardware is the plan on a cluster that is described so.
    const file = join(temporaryFolder(context), 'cluster.json');
    const changed = { extends: 'h800x2048', gpu: { memoryBytesPerSecond: '6.7 TB/s' } };
    writeFileSync(file, JSON.stringify(changed));
    const other = await plan('--model', 'deepseek-v3', '--cluster', file, ...V3.slice(4));
    const rows = (await tablesOf(page)).get('Result') ?? [];
    assert.deepEqual(columnOf(rows, 2), columnOf(headlineOf(other), 1));
    const percent = (1 - other.stepSeconds / json.stepSeconds) * 100;
    assert.equal(rows[0]?.[3], `−${percent.toFixed(1)} %`);
    await page.getByRole('button', { name: 'As it is' }).click();
    await page.getByText('What-if: ').waitFor({ ...PATIENCE, state: 'hidden' });
    await planned(page, json);
    assert.equal((await tablesOf(page)).has('Each change by itself'), false);
    assert.deepEqual(troubles, []);
  },
);

test(
  'planner: a search and its front are the command line’s, and a plan can be taken',
  LIMIT,
  async (context) => {
    const asked = 'model=deepseek-v2-lite&cluster=h800&gpus=64&layout=pp4,ep8-16,tp1,zero1';
    const { page, troubles } = await openPlanner(context, `#/planner?${asked}`);
    const json = await plan(
      ...['--model', 'deepseek-v2-lite', '--cluster', 'h800', '--gpus', '64'],
      ...['--layout', 'pp4,ep8-16,tp1,zero1'],
    );
    await planned(page, json);
    await assertSame(page, json);
    const { numPlans, numFitting } = json.search ?? { numPlans: 0, numFitting: 0 };
    await page.getByText(`${numPlans} plans, ${numFitting} fit into memory.`).waitFor();
    // The front as a picture: the marks that are not hollow.
    const front = await page
      .getByRole('img', { name: 'Time against cost' })
      .locator('path.best title, path.onFront title')
      .allTextContents();
    const pareto = json.pareto ?? [];
    assert.ok(pareto.length > 0);
    assert.deepEqual(
      front.toSorted(),
      pareto.map(({ label, reason }) => `${label}: ${reason}`).toSorted(),
    );

    const [best] = json.candidates ?? [];
    assert.ok(best !== undefined);
    await page.getByRole('button', { name: `Take this plan: ${best.label}` }).click();
    await page.getByText('A front needs several plans').waitFor(PATIENCE);
    await planned(page, json);
    const rows = (await tablesOf(page)).get('Result') ?? [];
    assert.deepEqual(columnOf(rows, 1), columnOf(headlineOf(json), 1));
    assert.deepEqual(troubles, []);
  },
);

test(
  'planner: what cannot be planned is refused in the words of the command line',
  LIMIT,
  async (context) => {
    const { page, troubles, open } = await openPlanner(context, '#/planner?layout=pp3');
    for (const layout of ['pp3', 'pp16,ep64,zero4', 'pp16,xp2', 'pp2,ep64,zero1']) {
      await page.getByLabel('Layout', { exact: true }).fill(layout);
      await page.getByLabel('Layout', { exact: true }).press('Enter');
      const ran = await moebius('plan', 'train', ...V3.slice(0, 4), '--layout', layout);
      const [, message = '', code = ''] = /^moebius: (.+) \((\w+\.\w+)\)$/m.exec(ran.stderr) ?? [];
      assert.notEqual(message, '', `${layout}: ${ran.stderr}`);
      const alert = page.getByRole('alert').filter({ hasText: message });
      await alert.waitFor(PATIENCE);
      const [shown = '', hint = ''] = await alert.locator('p').allTextContents();
      assert.equal(shown, message);
      assert.equal(await alert.locator('code').textContent(), code);
      assert.ok(ran.stderr.includes(`  ${hint}`), `${layout}: ${hint}`);
      assert.equal(await page.locator('.planner table').count(), 0);
    }
    // A number that is none never becomes a plan: it is marked where it stands.
    const batch = page.getByLabel('Global batch');
    await batch.fill('many');
    await batch.press('Enter');
    await page.getByText('a whole number above 0').waitFor();
    assert.equal(await batch.getAttribute('aria-invalid'), 'true');

    const broken = await open('#/planner?modl=deepseek-v3');
    const alert = broken.page.getByRole('alert');
    await alert.filter({ hasText: 'Did you mean "model"?' }).waitFor();
    await broken.page.getByRole('button', { name: 'Back to the first plan' }).click();
    await planned(broken.page, await plan(...V3));
    assert.deepEqual([...troubles, ...broken.troubles], []);
  },
);

test(
  'planner: while a search runs the page answers, and it can be stopped',
  LIMIT,
  async (context) => {
    const { page, troubles } = await openPlanner(context, '#/planner');
    const first = await plan(...V3);
    await planned(page, first);
    assert.equal(page.workers().length, 1, 'the planner has a thread of its own');
    await page.getByRole('button', { name: 'Search the layout' }).click();
    const status = page.getByRole('status');
    await status.filter({ hasText: /plans priced|walking the best/ }).waitFor(PATIENCE);
    // Its progress draws the page anew, and takes no digit from who types.
    const batch = page.getByLabel('Global batch');
    await batch.pressSequentially('2048', { delay: 150 });
    assert.equal(await batch.inputValue(), '2048');
    await batch.fill('');
    // Each of these is answered by the page's own thread, which the search leaves alone.
    const folded = page.locator('.planner details').first();
    await folded.locator('summary').click();
    assert.notEqual(await folded.getAttribute('open'), null);
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    assert.match((await status.textContent()) ?? '', /plans priced|walking the best/);
    await page.getByRole('button', { name: 'Stop' }).click();
    await status.filter({ hasText: 'Stopped.' }).waitFor();
    // What nobody waits for is ended, in the middle of its work.
    await until(() => page.workers().length === 0);
    await assertSame(page, first);

    await page.getByLabel('Layout', { exact: true }).fill('pp16,ep64,zero1');
    await page.getByLabel('Layout', { exact: true }).press('Enter');
    await planned(page, first);
    assert.deepEqual(troubles, []);
  },
);
