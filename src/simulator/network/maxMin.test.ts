/** Progressive filling against the definition of max-min fairness, and small cases by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../base/assert.ts';
import { type FlowProblem, maxMinRates, simulateFlows } from './maxMin.ts';

interface PlainFlow {
  readonly links: readonly number[];
  readonly bytes: number;
}

function problemOf(capacity: readonly number[], flows: readonly PlainFlow[]): FlowProblem {
  const start = [0];
  for (const { links } of flows) start.push(at(start, start.length - 1) + links.length);
  const link = flows.flatMap(({ links }) => links);
  return {
    capacity: Float64Array.from(capacity),
    count: new Float64Array(flows.length).fill(1),
    bytes: Float64Array.from(flows, ({ bytes }) => bytes),
    latency: new Float64Array(flows.length),
    start: Int32Array.from(start),
    link: Int32Array.from(link),
    weight: new Float64Array(link.length).fill(1),
  };
}

const anyProblem = fc
  .record({
    capacity: fc.array(fc.double({ min: 0.5, max: 20, noNaN: true }), {
      minLength: 2,
      maxLength: 8,
    }),
    flows: fc.array(
      fc.record({
        links: fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 4 }),
        bytes: fc.double({ min: 0.1, max: 100, noNaN: true }),
      }),
      { minLength: 1, maxLength: 15 },
    ),
  })
  .map(({ capacity, flows }) => {
    const within = flows.map(({ links, bytes }) => ({
      links: [...new Set(links.map((l) => l % capacity.length))],
      bytes,
    }));
    return { capacity, flows: within };
  });

test('max-min: no link is over capacity, every flow has a full link on which none is faster', () => {
  fc.assert(
    fc.property(anyProblem, ({ capacity, flows }) => {
      const rates = maxMinRates(problemOf(capacity, flows));
      const load = capacity.map((_, l) =>
        flows.reduce((sum, { links }, f) => sum + (links.includes(l) ? at(rates, f) : 0), 0),
      );
      for (const [l, limit] of capacity.entries()) {
        assert.ok(at(load, l) <= limit * (1 + 1e-9), `link ${l}: ${at(load, l)} of ${limit}`);
      }
      for (const [f, { links }] of flows.entries()) {
        const held = links.some(
          (l) =>
            at(load, l) >= at(capacity, l) * (1 - 1e-9) &&
            flows.every(
              (o, g) => !o.links.includes(l) || at(rates, g) <= at(rates, f) * (1 + 1e-9),
            ),
        );
        assert.ok(held, `flow ${f} could be faster`);
      }
    }),
  );
});

test('max-min: one long flow and two short ones share as in the textbook', () => {
  // Links of 10 and 4: the long flow and one short share the 4, the other short has the rest.
  const flows = [
    { links: [0, 1], bytes: 1 },
    { links: [0], bytes: 1 },
    { links: [1], bytes: 1 },
  ];
  assert.deepEqual([...maxMinRates(problemOf([10, 4], flows))], [2, 8, 2]);
});

test('simulation: what one flow leaves when it is done, the others get', () => {
  // Both have half of the link for 2 s; then the second has all of it: 2 + (6 − 2) / 2 s.
  const flows = [
    { links: [0], bytes: 2 },
    { links: [0], bytes: 6 },
  ];
  const outcome = simulateFlows(problemOf([2], flows));
  assert.deepEqual([...outcome.finish], [2, 4]);
  assert.equal(outcome.numEvents, 2);
  assert.equal(outcome.seconds, 4);
});

test('simulation: every byte arrives, no earlier than its fullest link allows', () => {
  fc.assert(
    fc.property(anyProblem, ({ capacity, flows }) => {
      const { seconds, finish } = simulateFlows(problemOf(capacity, flows));
      for (const [l, limit] of capacity.entries()) {
        const bytes = flows.reduce((s, f) => s + (f.links.includes(l) ? f.bytes : 0), 0);
        assert.ok(seconds >= (bytes / limit) * (1 - 1e-9));
      }
      // Alone in the network none would be faster.
      for (const [f, { links, bytes }] of flows.entries()) {
        const alone = bytes / Math.min(...links.map((l) => at(capacity, l)));
        assert.ok(at(finish, f) >= alone * (1 - 1e-9));
      }
    }),
  );
});

test('simulation: a flow without bytes or links takes its latency', () => {
  const problem = problemOf([1], [{ links: [0], bytes: 0 }]);
  assert.equal(simulateFlows({ ...problem, latency: Float64Array.of(3) }).seconds, 3);
});
