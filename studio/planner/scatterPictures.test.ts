/** The roofline and the fronts of the planner against the numbers they show. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Candidate } from '../../src/planner/planExtras.ts';
import { planForPage } from './planForPage.ts';
import { firstRequest } from './planRequest.ts';
import { frontOf, paretoPicture, rooflinePicture } from './scatterPictures.ts';
import type { Picture, Shape } from './shapes.ts';

const { report, cluster } = planForPage(firstRequest);
const names = { x: 'time', y: 'cost' };

type Of<Kind extends Shape['kind']> = Extract<Shape, { readonly kind: Kind }>;

function shapesOf<Kind extends Shape['kind']>({ shapes }: Picture, kind: Kind): Of<Kind>[] {
  return shapes.filter((shape): shape is Of<Kind> => shape.kind === kind);
}

function isInside({ shapes, width, height }: Picture): boolean {
  return shapes.every((shape) => {
    const points = shape.kind === 'line' ? shape.points : [shape];
    return points.every(({ x, y }) => x >= 0 && x <= width && y >= 0 && y <= height);
  });
}

test('rooflinePicture: every class that computes has one mark, in the frame at any width', () => {
  const { operations } = report;
  const computing = operations.filter(({ flops, bytes }) => flops > 0 && bytes > 0);
  for (const width of [340, 700, 1200]) {
    const picture = rooflinePicture({ operations, gpu: cluster.gpu }, { width, names });
    assert.equal(shapesOf(picture, 'mark').length, computing.length);
    assert.ok(isInside(picture), `at ${width}`);
  }
});

function candidate(label: string, change: Partial<Candidate>): Candidate {
  const base = { plan: report.plan, numGpus: 8, stepSeconds: 1, mfuCausal: 0.4, reason: 'why' };
  return { ...base, label, days: 1, dollars: 1, peakMemoryBytes: 1, isBest: false, ...change };
}

test('frontOf: against money and against memory other plans are on the front', () => {
  const candidates = [
    candidate('fast', { days: 1, dollars: 9, peakMemoryBytes: 90, isBest: true }),
    candidate('cheap', { days: 2, dollars: 3, peakMemoryBytes: 95 }),
    candidate('small', { days: 3, dollars: 5, peakMemoryBytes: 10 }),
  ];
  const labelsOf = (against: 'dollars' | 'peakMemoryBytes'): string[] =>
    frontOf({ candidates, against }).map(({ label }) => label);
  assert.deepEqual(labelsOf('dollars'), ['fast', 'cheap']);
  assert.deepEqual(labelsOf('peakMemoryBytes'), ['fast', 'small']);
  const picture = paretoPicture({ candidates, against: 'dollars' }, { width: 700, names });
  assert.deepEqual(
    shapesOf(picture, 'mark').map(({ tone }) => tone),
    ['best', 'onFront', 'beaten'],
  );
  assert.ok(isInside(picture));
});
