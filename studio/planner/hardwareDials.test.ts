/** Dials of what-if hardware: written as settings, read back, accepted by the cluster's rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import { applyWhatIf } from '../../src/config/clusters/whatIf.ts';
import { dialRange, dials, doublingsOf, factorAt, readDial, turnDial } from './hardwareDials.ts';

const doublings = fc
  .integer({ min: dialRange.least / dialRange.step, max: dialRange.most / dialRange.step })
  .map((steps) => steps * dialRange.step);

test('hardwareDials: every place of every dial comes back, and other settings stay', () => {
  const cluster = findCluster('h800x2048');
  const other = 'communicationSms=0';
  fc.assert(
    fc.property(fc.constantFrom(...dials), doublings, (dial, place) => {
      const factor = factorAt(place);
      const before = turnDial([other], { dial, factor: 3, cluster });
      const settings = turnDial(before, { dial, factor, cluster });
      assert.equal(doublingsOf(readDial(settings, dial)), place);
      assert.ok(settings.includes(other));
      assert.equal(settings.length, 1 + (factor === 1 ? 0 : dial.paths.length));
      applyWhatIf(cluster, settings);
    }),
  );
});

test('hardwareDials: a GPU without FP8 has only one peak to turn', () => {
  const cluster = findCluster('a100');
  const [dial] = dials;
  assert.ok(dial !== undefined);
  assert.deepEqual(turnDial([], { dial, factor: 2, cluster }), ['gpu.peakFlops.bf16*=2']);
});
