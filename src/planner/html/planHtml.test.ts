/** The page as text: whole, closed to the network, small, and deaf to hostile names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleExtras, sampleReport, walkSample } from '../../../tests/support/samplePlan.ts';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import type { PlanExtras } from '../planExtras.ts';
import { paretoFront } from './paretoChart.ts';
import { planHtml } from './planHtml.ts';
import { timelineScript } from './timelineClient.ts';

const walked = walkSample();
const report = sampleReport(v3Plan, walked);
const extras = sampleExtras(report, walked);
const html = planHtml(report, extras);

const bare: PlanExtras = {
  ...extras,
  spans: [],
  pairSpans: [],
  candidates: [],
  whatIfs: [],
  publishedRows: null,
};

function sectionsOf(page: string): readonly string[] {
  return [...page.matchAll(/<section id="([\w-]+)"/g)].map((match) => match[1] ?? '');
}

test('planHtml: has every section, each named in the navigation', () => {
  const sections = sectionsOf(html);
  assert.deepEqual(sections, [
    'plan',
    'phases',
    'timeline-section',
    'pair',
    'memory',
    'roofline',
    'pareto',
    'what-if',
    'sources',
    'derived',
  ]);
  for (const id of sections) assert.ok(html.includes(`<a href="#${id}">`), id);
});

test('planHtml: without spans, plans and what-ifs their sections and the script are left out', () => {
  const page = planHtml({ ...report, overlap: null, operations: [] }, bare);
  assert.deepEqual(sectionsOf(page), ['plan', 'phases', 'memory', 'sources', 'derived']);
  assert.ok(!page.includes('<script'));
});

test('planHtml: tags are balanced and ids are used once', () => {
  const open: string[] = [];
  for (const [, slash, name = ''] of html.matchAll(/<(\/?)([a-z][\w]*)(?:\s[^>]*)?>/g)) {
    if (['meta', 'br'].includes(name)) continue;
    // Inside the script a "<" compares.
    if (open.at(-1) === 'script' && name !== 'script') continue;
    if (slash === '') open.push(name);
    else assert.equal(open.pop(), name);
  }
  assert.deepEqual(open, []);
  const ids = [...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(new Set(ids).size, ids.length);
});

test('planHtml: asks nobody for anything, and its policy forbids it to', () => {
  assert.match(html, /Content-Security-Policy" content="default-src &#39;none&#39;/);
  assert.ok(!/https?:\/\/|\bsrc=|@import|url\(|<link|<iframe/.test(html));
  assert.ok([...html.matchAll(/href="([^"]*)"/g)].every((match) => match[1]?.startsWith('#')));
});

test('planHtml: 16 ranks and 120 micro-batches stay far under 2 MB', () => {
  assert.ok(Buffer.byteLength(html) < 500_000, `${Buffer.byteLength(html)} bytes`);
});

test('planHtml: hostile names stay text wherever they are shown', () => {
  const evil = '</script><script>alert(1)</script>"\' onload=x <img src=x>';
  const poisoned = planHtml(
    {
      ...report,
      model: evil,
      cluster: evil,
      sources: report.sources.map((each) => ({ ...each, what: evil, from: evil })),
      operations: report.operations.map((each) => ({ ...each, name: evil })),
      derived: { [evil]: 1 },
    },
    {
      ...extras,
      command: evil,
      spans: extras.spans.map((each) => ({ ...each, name: evil })),
      pairSpans: extras.pairSpans.map((each) => ({ ...each, name: evil })),
      candidates: extras.candidates.map((each) => ({ ...each, label: evil, reason: evil })),
      whatIfs: extras.whatIfs.map((each) => ({ ...each, name: evil, note: evil })),
      publishedRows: { from: evil, stepSeconds: 1, phases: {} },
      cluster: { ...extras.cluster, gpu: { ...extras.cluster.gpu, name: evil } },
    },
  );
  assert.ok(poisoned.includes('&lt;/script&gt;&lt;script&gt;alert(1)'));
  assert.equal(poisoned.match(/<script/g)?.length, html.match(/<script/g)?.length);
  assert.ok(!poisoned.includes('<img'));
});

test('timelineScript: is a script by itself that uses no module of ours', () => {
  assert.doesNotThrow(() => new Function(timelineScript));
  assert.ok(!/\bimport\b|\bexport\b|\brequire\(/.test(timelineScript));
});

test('paretoFront: nobody on it is beaten, everybody off it is', () => {
  const front = paretoFront(extras.candidates);
  const beats = (a: (typeof front)[number], b: (typeof front)[number]): boolean =>
    a !== b && (a.days ?? 0) <= (b.days ?? 0) && a.dollars <= b.dollars;
  for (const candidate of extras.candidates) {
    const isBeaten = extras.candidates.some((other) => beats(other, candidate));
    assert.equal(front.includes(candidate), !isBeaten, candidate.label);
  }
  assert.ok(front.length > 1);
});
