/** The choice of what to recompute, against trying everything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../base/assert.ts';
import { chooseRecompute, type RecomputeGroup, type RecomputeOption } from './chooseRecompute.ts';

/** All assignments of options to single layers. */
function exhaustive(
  groups: readonly RecomputeGroup[],
  cap: number,
): { flops: number; bytes: number } | null {
  const layers = groups.flatMap(({ numLayers, options }) =>
    Array.from({ length: numLayers }, () => options),
  );
  let best: { flops: number; bytes: number } | null = null;
  const walk = (index: number, sum: RecomputeOption): void => {
    if (index < layers.length) {
      for (const { bytes, flops, work } of at(layers, index)) {
        walk(index + 1, {
          bytes: sum.bytes + bytes,
          flops: sum.flops + flops,
          work: Math.max(sum.work, work),
        });
      }
      return;
    }
    const bytes = sum.bytes + sum.work;
    if (bytes > cap) return;
    const isBetter = best === null || sum.flops < best.flops;
    if (isBetter || (sum.flops === best?.flops && bytes < best.bytes)) {
      best = { flops: sum.flops, bytes };
    }
  };
  walk(0, { bytes: 0, flops: 0, work: 0 });
  return best;
}

const option = fc.record({
  bytes: fc.nat(40),
  flops: fc.nat(40),
  work: fc.nat(15),
});
const group = fc.record({
  numLayers: fc.nat(3),
  options: fc.array(option, { minLength: 1, maxLength: 4 }),
});

test('chooseRecompute: as good as trying everything, on small cases', () => {
  fc.assert(
    fc.property(fc.array(group, { maxLength: 3 }), fc.nat(200), (groups, cap) => {
      const chosen = chooseRecompute(groups, cap);
      const best = exhaustive(groups, cap);
      assert.deepEqual(chosen && { flops: chosen.flops, bytes: chosen.bytes }, best);
    }),
    { numRuns: 2000 },
  );
});

test('chooseRecompute: finds the same where FLOPs are no whole numbers and far apart', () => {
  const fraction = fc.record({
    bytes: fc.nat(40),
    flops: fc.tuple(fc.nat(1000), fc.constantFrom(1e-3, 1, 1e9)).map(([x, unit]) => (x / 7) * unit),
    work: fc.nat(15),
  });
  const fractions = fc.record({
    numLayers: fc.nat(3),
    options: fc.array(fraction, { minLength: 1, maxLength: 4 }),
  });
  fc.assert(
    fc.property(fc.array(fractions, { maxLength: 3 }), fc.nat(200), (groups, cap) => {
      const [chosen, best] = [chooseRecompute(groups, cap), exhaustive(groups, cap)];
      assert.equal(chosen === null, best === null);
      if (chosen === null || best === null) return;
      const flops = groups.flatMap(({ options }) => options.map((each) => each.flops));
      assert.ok(Math.abs(chosen.flops - best.flops) <= 1e-11 * Math.max(0, ...flops));
    }),
    { numRuns: 2000 },
  );
});

test('chooseRecompute: counts add up to the layers, and to the bytes and FLOPs it names', () => {
  fc.assert(
    fc.property(fc.array(group, { maxLength: 3 }), fc.nat(200), (groups, cap) => {
      const chosen = chooseRecompute(groups, cap);
      if (chosen === null) return;
      let [bytes, flops, work] = [0, 0, 0];
      for (const [index, { numLayers, options }] of groups.entries()) {
        const counts: readonly number[] = at(chosen.counts, index);
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          numLayers,
        );
        for (const [which, count] of counts.entries()) {
          bytes += count * at(options, which).bytes;
          flops += count * at(options, which).flops;
          if (count > 0) work = Math.max(work, at(options, which).work);
        }
      }
      assert.deepEqual([chosen.flops, chosen.bytes], [flops, bytes + work]);
      assert.ok(chosen.bytes <= cap);
    }),
  );
});

test('chooseRecompute: more room never costs more FLOPs', () => {
  fc.assert(
    fc.property(fc.array(group, { maxLength: 4 }), fc.nat(200), fc.nat(50), (groups, cap, more) => {
      const small = chooseRecompute(groups, cap);
      const large = chooseRecompute(groups, cap + more);
      if (small === null) return;
      assert.ok(large !== null && large.flops <= small.flops);
    }),
  );
});

test('chooseRecompute: a hundred alike layers with nine options are chosen among exactly', () => {
  const options = [
    { bytes: 276, flops: 0, work: 40 },
    { bytes: 231, flops: 3, work: 60 },
    { bytes: 198, flops: 640, work: 70 },
    { bytes: 153, flops: 655, work: 90 },
    { bytes: 257, flops: 41, work: 45 },
    { bytes: 212, flops: 44, work: 65 },
    { bytes: 179, flops: 681, work: 75 },
    { bytes: 134, flops: 696, work: 95 },
    { bytes: 14, flops: 9000, work: 260 },
  ];
  const chosen = chooseRecompute([{ numLayers: 100, options }], 20_000);
  assert.ok(chosen !== null && chosen.bytes <= 20_000);
  // No single layer can be moved to a cheaper option within the cap.
  const counts = at(chosen.counts, 0);
  for (const [from, count] of counts.entries()) {
    if (count === 0) continue;
    for (const to of options) {
      if (to.flops >= at(options, from).flops) continue;
      const work = Math.max(
        to.work,
        ...options.filter((_, i) => at(counts, i) > 0).map((o) => o.work),
      );
      const kept = counts.reduce((sum, n, i) => sum + n * at(options, i).bytes, 0);
      assert.ok(kept - at(options, from).bytes + to.bytes + work > 20_000, `${from}`);
    }
  }
});
