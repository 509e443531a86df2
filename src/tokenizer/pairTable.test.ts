/** The pair table, held to a Map. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PairTable } from './pairTable.ts';

test('PairTable: answers as a Map does, while it grows', () => {
  const ids = fc.oneof(fc.nat(5), fc.nat(2 ** 22));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(ids, ids, fc.nat(2 ** 30)), { maxLength: 300, size: 'max' }),
      (entries) => {
        const table = new PairTable(1);
        const map = new Map<string, number>();
        for (const [left, right, value] of entries) {
          table.set(left, right, value);
          map.set(`${left} ${right}`, value);
        }
        assert.equal(table.size, map.size);
        for (const [left, right] of entries) {
          assert.equal(table.find(left, right), map.get(`${left} ${right}`));
          assert.equal(table.find(right, left), map.get(`${right} ${left}`) ?? -1);
        }
      },
    ),
  );
});
