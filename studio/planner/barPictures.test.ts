/** Bars of the planner against the numbers they show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costOfPhases, costPicture, memoryPicture, phasePicture } from './barPictures.ts';
import { planForPage } from './planForPage.ts';
import { firstRequest } from './planRequest.ts';
import type { Picture, Shape } from './shapes.ts';

const { report, cluster } = planForPage(firstRequest);

type Of<Kind extends Shape['kind']> = Extract<Shape, { readonly kind: Kind }>;

function shapesOf<Kind extends Shape['kind']>({ shapes }: Picture, kind: Kind): Of<Kind>[] {
  return shapes.filter((shape): shape is Of<Kind> => shape.kind === kind);
}

test('phasePicture: bars follow one another and are as long as the phases', () => {
  const picture = phasePicture([{ name: 'plan', phases: report.phases }], 700);
  const bars = shapesOf(picture, 'bar');
  const seconds = Object.values(report.phases).reduce((sum, each) => sum + Math.max(0, each), 0);
  const total = bars.reduce((sum, { width }) => sum + width, 0);
  const forward = bars.find(({ tone }) => tone === 'forward');
  assert.ok(forward !== undefined);
  assert.ok(Math.abs(forward.width / total - report.phases['1F'] / seconds) < 1e-9);
  for (const [index, bar] of bars.slice(1).entries()) {
    const before = bars[index];
    assert.ok(before !== undefined && Math.abs(before.x + before.width - bar.x) < 1e-6);
  }
});

test('memoryPicture: a rank is over the line exactly when it holds more than there is', () => {
  const { ranks } = report;
  for (const capacityBytes of [cluster.gpu.memoryBytes, report.peakMemoryBytes * 0.9]) {
    const picture = memoryPicture({ ranks, capacityBytes }, 700);
    const limit = shapesOf(picture, 'line').find(({ tone }) => tone === 'limit')?.points[0]?.x ?? 0;
    const ends = new Map<number, number>();
    for (const bar of shapesOf(picture, 'bar')) ends.set(bar.y, bar.x + bar.width);
    assert.deepEqual(
      [...ends.values()].map((end) => end > limit + 1e-6),
      ranks.map(({ memoryBytes }) => memoryBytes > capacityBytes),
    );
  }
});

test('costPicture: the money of a step is split as its time is, and nothing is lost', () => {
  const { phases, dollars } = report;
  const costs = costOfPhases({ phases, dollars });
  const sum = Object.values(costs).reduce((all, each) => all + each, 0);
  assert.ok(Math.abs(sum / dollars - 1) < 1e-12);
  assert.ok(Math.abs(costs.bubble / costs['1F'] - phases.bubble / phases['1F']) < 1e-9);
  const bars = [
    { name: 'plan', phases, dollars },
    { name: 'half', phases, dollars: dollars / 2 },
  ];
  const lengths = new Map<number, number>();
  for (const { y, width } of shapesOf(costPicture(bars, 700), 'bar')) {
    lengths.set(y, (lengths.get(y) ?? 0) + width);
  }
  const [whole = 0, half = 0] = lengths.values();
  assert.ok(Math.abs(whole / half - 2) < 1e-9);
});

test('memoryPicture: beside another plan its ranks and its limit are marked', () => {
  const { ranks } = report;
  const { memoryBytes: capacityBytes } = cluster.gpu;
  const before = { ranks, capacityBytes: capacityBytes / 2 };
  const lines = shapesOf(memoryPicture({ ranks, capacityBytes, before }, 700), 'line');
  const count = (tone: string): number => lines.filter((line) => line.tone === tone).length;
  assert.deepEqual([count('before'), count('limitBefore'), count('limit')], [ranks.length, 1, 1]);
});
