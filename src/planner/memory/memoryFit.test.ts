/** Fitting a plan: `auto`, the fixes that a refusal names, and the refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stagesOfPlan, v3OnH800 } from '../../../tests/support/memoryPlans.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import {
  type NamedRecompute,
  type ParallelPlan,
  type TrainingPlan,
  worldSize,
} from '../../config/parallelPlan.ts';
import { estimateMemory } from '../../simulator/memory/estimateMemory.ts';
import { everyRecompute } from '../../simulator/memory/layerBytes.ts';
import { autoRecompute } from './autoRecompute.ts';
import {
  cheapestFixes,
  type FixInput,
  fitMemory,
  fullest,
  requireFit,
  requireHostFit,
} from './cheapestFixes.ts';
import { isPossible } from './planChanges.ts';

const GB = 1e9;

/** Seconds on paper: what is recomputed, what more ranks cost, what stands still. */
function priceOf({ plan, offload }: { plan: TrainingPlan; offload: string }): number {
  const recompute = { none: 0, norm: 0.3, swiglu: 0.1, v3: 0.4, full: 5, auto: 0.2 };
  const { pp, tp, zeroStage } = plan.layout;
  const waiting = 0.05 * pp + 0.8 * (tp - 1) + 0.3 * zeroStage + (offload === 'nothing' ? 0 : 4);
  return (20 + recompute[plan.recompute] + waiting) * (worldSize(plan.layout) / 2048);
}

function fixInput(changes: Partial<TrainingPlan>, capBytes: number): FixInput {
  const input = v3OnH800(changes);
  return { input, capBytes, priceOf, stagesOf: (plan) => stagesOfPlan(plan, 61) };
}

function peakOf(recompute: NamedRecompute): number {
  return fullest(estimateMemory(v3OnH800({ recompute }))).peak.total;
}

test('autoRecompute: fits at every cap that anything fits, with less work the more room', () => {
  const input = v3OnH800({ recompute: 'auto' });
  const least = peakOf('full');
  fc.assert(
    fc.property(fc.double({ min: 0.7, max: 3, noNaN: true }), (share) => {
      const cap = share * least;
      const found = autoRecompute(input, cap);
      if (found === null) {
        assert.ok(cap < least);
        return;
      }
      assert.ok(found.ranks.every(({ peak }) => peak.total <= cap));
      const more = autoRecompute(input, cap * 1.1);
      assert.ok(more !== null);
      for (const [rank, { remadeFlops }] of more.ranks.entries()) {
        assert.ok(remadeFlops <= at(found.ranks, rank).remadeFlops);
      }
    }),
    { numRuns: 25 },
  );
});

test('autoRecompute: never more FLOPs than a named policy that fits', () => {
  for (const name of ['none', 'norm', 'swiglu', 'v3', 'full'] as const) {
    const named = estimateMemory(v3OnH800({ recompute: name }));
    const cap = fullest(named).peak.total;
    const found = autoRecompute(v3OnH800({ recompute: 'auto' }), cap);
    assert.ok(found !== null, name);
    for (const [rank, { remadeFlops }] of found.ranks.entries()) {
      assert.ok(remadeFlops <= at(named, rank).remadeFlops, `${name}, rank ${rank}`);
    }
  }
});

test('autoRecompute: one policy for all layers of a stage cannot beat it', () => {
  const cap = 72 * GB;
  const input = v3OnH800({ recompute: 'auto' });
  const found = autoRecompute(input, cap);
  assert.ok(found !== null);
  // Rank 7 has stages of four layers each: any two bundles for its two stages.
  const rank = 7;
  let best = Number.POSITIVE_INFINITY;
  for (const one of everyRecompute) {
    for (const two of everyRecompute) {
      const recompute = ({ stage }: { stage: number }) => (stage === 0 ? one : two);
      const { peak, remadeFlops } = at(estimateMemory({ ...input, recompute }), rank);
      if (peak.total <= cap) best = Math.min(best, remadeFlops);
    }
  }
  assert.ok(Number.isFinite(best));
  assert.ok(at(found.ranks, rank).remadeFlops <= best);
});

test('cheapestFixes: three that fit, by rising price, each saving what it says', () => {
  for (const [recompute, cap] of [
    ['none', 80 * GB],
    ['v3', 64 * GB],
    ['none', 40 * GB],
    ['v3', 30 * GB],
  ] as const) {
    const fix = fixInput({ recompute }, cap);
    const before = fullest(estimateMemory(fix.input)).peak.total;
    assert.ok(before > cap);
    const fixes = cheapestFixes(fix);
    assert.equal(fixes.length, 3, `${recompute} under ${cap}`);
    for (const [index, each] of fixes.entries()) {
      assert.ok(each.peakBytes <= cap && each.peakBytes > 0);
      assert.ok(Math.abs(before - each.savedBytes - each.peakBytes) < 1);
      assert.ok(isPossible(fix.input.model, each.plan));
      assert.equal(each.price, priceOf(each));
      if (index > 0) assert.ok(each.price >= at(fixes, index - 1).price);
    }
  }
});

test('cheapestFixes: no single change that was left out is cheaper than a single one named', () => {
  const fix = fixInput({ recompute: 'none' }, 80 * GB);
  const fixes = cheapestFixes(fix);
  const cheapest = at(fixes, 0);
  for (const recompute of ['norm', 'swiglu', 'v3', 'full'] as const) {
    if (peakOf(recompute) > fix.capBytes) continue;
    const plan = { ...fix.input.plan, recompute };
    assert.ok(cheapest.price <= priceOf({ plan, offload: 'nothing' }), recompute);
  }
});

test('isPossible: refuses what does not divide and what a schedule cannot run', () => {
  const { model, plan } = v3OnH800();
  const possible = (changes: Partial<TrainingPlan>, layout: Partial<ParallelPlan> = {}): boolean =>
    isPossible(model, { ...plan, ...changes, layout: { ...plan.layout, ...layout } });
  assert.ok(possible({}));
  assert.ok(!possible({}, { ep: 96 }), 'ep does not divide the ranks of a stage');
  assert.ok(!possible({}, { dp: 100 }), 'nor dp the batch');
  assert.ok(!possible({}, { dp: 512, ep: 512 }), 'more ranks than experts');
  assert.ok(!possible({}, { dp: 120, tp: 3, ep: 1 }), 'nor tp the heads');
  assert.ok(!possible({}, { pp: 128, dp: 16, ep: 16 }), 'more stages than layers');
  assert.ok(!possible({}, { dp: 1024, pp: 16 }), 'DualPipe wants twice as many as ranks');
  assert.ok(!possible({ schedule: 'interleaved-1f1b' }), '120 micro-batches in groups of 16');
  assert.ok(possible({ schedule: 'interleaved-1f1b' }, { pp: 8 }));
  assert.ok(!possible({ microBatchSize: 0.5 }));
});

test('requireFit: a plan that fits passes', () => {
  const fix = fixInput({}, 80 * GB);
  requireFit(estimateMemory(fix.input), fix);
});

test('requireFit: a refusal names the rank, what is alive, the cap and the fixes', () => {
  const fix = fixInput({ recompute: 'none' }, 80 * GB);
  assert.throws(
    () => requireFit(estimateMemory(fix.input), fix),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, 'plan.memory');
      assert.match(error.message, /rank 2 needs 110\.\d+ GiB of 74\.51 GiB \(steady\)/);
      assert.match(error.message, /activations that wait for backward/);
      assert.match(error.hint ?? '', /Set recompute from none to auto \([\d.]+ GiB less\)/);
      const fixes = error.values.fixes;
      assert.ok(Array.isArray(fixes) && fixes.length === 3);
      return true;
    },
  );
});

test('requireFit: when nothing suffices the refusal says so', () => {
  const fix = fixInput({ recompute: 'none' }, 3 * GB);
  assert.throws(
    () => requireFit(estimateMemory(fix.input), fix),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError);
      assert.match(error.hint ?? '', /Choose a GPU with more memory/);
      return true;
    },
  );
});

test('fitMemory: resolves auto, and refuses a cap that nothing meets', () => {
  const { ranks, recompute } = fitMemory(fixInput({ recompute: 'auto' }, 70 * GB));
  assert.ok(recompute !== undefined && fullest(ranks).peak.total <= 70 * GB);
  assert.throws(
    () => fitMemory(fixInput({ recompute: 'auto' }, 20 * GB)),
    (error: unknown) => error instanceof MoebiusError && error.code === 'plan.memory',
  );
});

test('requireHostFit: the moving average of V3 fits in a node, without ZeRO in a small one not', () => {
  const sharded = estimateMemory(v3OnH800());
  // All weights and MTP's in float32 over 256 nodes, at most: 10.7 GB a node, uneven stages apart.
  const perNode = 8 * Math.max(...sharded.map(({ host }) => host.average));
  assert.ok(perNode > 10 * GB && perNode < 16 * GB, `${perNode}`);
  requireHostFit(sharded, { memoryBytes: 1024 * GB, gpus: 8, zeroStage: 1 });
  const { plan } = v3OnH800();
  const whole = estimateMemory(v3OnH800({ layout: { ...plan.layout, zeroStage: 0 } }));
  assert.throws(
    () => requireHostFit(whole, { memoryBytes: 64 * GB, gpus: 8, zeroStage: 0 }),
    (error: unknown) => error instanceof MoebiusError && error.code === 'plan.hostMemory',
  );
});
