/** A plan is a link: there and back, and what a link is refused for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatRoute, parseRoute } from '../app/router.ts';
import { readPlanLink, writePlanLink } from './planLink.ts';
import { firstRequest, type PlanRequest } from './planRequest.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,11}$/).filter((text) => text !== 'any');
const setting = fc.constantFrom(
  'gpu.memoryBytes*=2',
  'scaleUp.bytesPerSecond=900 GB/s both ways',
  'gpu.peakFlops.bf16/=1.5',
);
const layout = fc.constantFrom('pp16,ep64,zero1', 'pp8,ep8-64', 'tp2,dp4,zero3');
const atLeast = (min: number): fc.Arbitrary<number> => fc.integer({ min, max: 1e9 });

const requests: fc.Arbitrary<PlanRequest> = fc.record(
  {
    model: name,
    cluster: name,
    mtp: fc.boolean(),
    gpus: fc.array(atLeast(1), { minLength: 1, maxLength: 3 }),
    layout,
    search: fc.boolean(),
    schedule: name,
    chunks: atLeast(2),
    globalBatch: atLeast(1),
    microBatch: atLeast(1),
    sequenceLength: atLeast(2),
    precision: fc.constantFrom('fp8', 'bf16'),
    recompute: name,
    tokens: fc.double({ min: 1, max: 1e18, noNaN: true }),
    imbalance: fc.double({ min: 1, max: 64, noNaN: true }),
    deadlineDays: fc.double({ min: 0, max: 1e6, noNaN: true }).map((days) => days + 0),
    budgetDollars: fc.nat(),
    whatIf: fc.array(setting, { minLength: 1, maxLength: 3 }),
    ideas: fc.boolean(),
  },
  { requiredKeys: ['model', 'cluster', 'mtp'], noNullPrototype: true },
);

function throughAddress(request: PlanRequest): PlanRequest {
  const parameters = Object.fromEntries(
    Object.entries(writePlanLink(request)).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
  return readPlanLink(parseRoute(formatRoute({ view: 'planner', parameters })).parameters);
}

test('planLink: every request comes back from its address', () => {
  fc.assert(fc.property(requests, (request) => assert.deepEqual(throughAddress(request), request)));
});

test('planLink: the first plan needs no parameters, and any asks for a search', () => {
  assert.deepEqual(readPlanLink({}), firstRequest);
  assert.ok(Object.values(writePlanLink(firstRequest)).every((each) => each === undefined));
  const { layout: _, ...searched } = firstRequest;
  assert.deepEqual(readPlanLink({ layout: 'any' }), searched);
});

test('planLink: a parameter of no plan is refused with the nearest name', () => {
  assert.throws(() => readPlanLink({ clutser: 'h100' }), {
    code: 'planLink.unknown',
    hint: 'Did you mean "cluster"?',
  });
  assert.throws(() => readPlanLink({ toString: 'x' }), { code: 'planLink.unknown' });
});

test('planLink: a value that means nothing is refused', () => {
  const bad = { batch: '1.5', microBatch: '0', tokens: '', gpus: '8,x', mtp: 'maybe', chunks: '1' };
  for (const [key, text] of Object.entries(bad)) {
    assert.throws(
      () => readPlanLink({ [key]: text }),
      { code: 'planLink.value' },
      `${key}=${text}`,
    );
  }
});
