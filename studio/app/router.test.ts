/** Addresses: what a view shows is in the link, and no link breaks a view. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  changeParameters,
  choice,
  formatRoute,
  integer,
  list,
  number,
  parseRoute,
  readParameters,
  type Shape,
  text,
  VIEWS,
  writeParameters,
} from './router.ts';

interface Values {
  readonly pp: number;
  readonly scale: number;
  readonly schedule: 'dualPipe' | 'zeroBubble';
  readonly name: string;
  readonly runs: readonly string[];
}

const shape: Shape<Values> = {
  pp: integer({ fallback: 8, least: 1, most: 64 }),
  scale: number({ fallback: 1 }),
  schedule: choice(['dualPipe', 'zeroBubble'], 'dualPipe'),
  name: text(''),
  runs: list([]),
};

const values = fc.record(
  {
    pp: fc.integer({ min: 1, max: 64 }),
    scale: fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => each + 0),
    schedule: fc.constantFrom('dualPipe', 'zeroBubble'),
    name: fc.string({ unit: 'grapheme' }),
    runs: fc.array(fc.string({ minLength: 1 }).filter((each) => !each.includes('%2C'))),
  },
  { noNullPrototype: true },
);

test('router: a link is read as the view and the parameters it names', () => {
  const route = parseRoute('#/timeline?pp=8&microBatches=20');
  assert.deepEqual(route, { view: 'timeline', parameters: { pp: '8', microBatches: '20' } });
  assert.equal(formatRoute(route), '#/timeline?pp=8&microBatches=20');
});

test('router: any text is a route, and an unknown view is that of the runs', () => {
  for (const hash of ['', '#', '#/', '#/nothing?x=1', '#main']) {
    assert.equal(parseRoute(hash).view, 'runs');
  }
  fc.assert(fc.property(fc.string(), (hash) => VIEWS.includes(parseRoute(hash).view)));
});

test('router: every route comes back from its own link', () => {
  const parameters = fc.dictionary(
    fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
    fc.string({ unit: 'grapheme' }),
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.constantFrom(...VIEWS), parameters, (view, each) => {
      assert.deepEqual(parseRoute(formatRoute({ view, parameters: each })), {
        view,
        parameters: each,
      });
    }),
  );
});

test('writeParameters: values come back from an address, and defaults are not in it', () => {
  fc.assert(
    fc.property(values, (each) => {
      const parameters = changeParameters({}, writeParameters(shape, each));
      assert.deepEqual(readParameters(shape, parameters), each);
    }),
  );
  const defaults = readParameters(shape, {});
  assert.deepEqual(changeParameters({}, writeParameters(shape, defaults)), {});
});

test('readParameters: what makes no sense reads as the default', () => {
  const wrong = { pp: '65', scale: 'Infinity', schedule: 'none', other: '1' };
  assert.deepEqual(readParameters(shape, wrong), readParameters(shape, {}));
  for (const pp of ['0', '1.5', 'eight', ' ', '']) {
    assert.equal(readParameters(shape, { pp }).pp, 8);
  }
});

test('changeParameters: undefined and the empty text take a key away, the rest stays', () => {
  const before = { a: '1', b: '2', c: '3' };
  assert.deepEqual(changeParameters(before, { a: undefined, b: '', d: '4' }), { c: '3', d: '4' });
});
