/** What plans of known models come to, rank by rank, and what must hold of any plan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v3OnH800 } from '../../../tests/support/memoryPlans.ts';
import { at } from '../../base/assert.ts';
import { type NamedRecompute, recomputePolicies } from '../../config/parallelPlan.ts';
import { estimateMemory } from './estimateMemory.ts';

const GB = 1e9;

function peak(recompute: NamedRecompute): number {
  const ranks = estimateMemory(v3OnH800({ recompute }));
  return Math.max(...ranks.map((rank) => rank.peak.total));
}

test('estimateMemory: V3 on 2,048 H800 fits as it was trained, and without recomputation not', () => {
  assert.ok(peak('v3') < 80 * GB, `v3 ${peak('v3')}`);
  // 80 GB on the data sheet are five stacks of 16 GiB.
  assert.ok(peak('norm') < 80 * 2 ** 30, `norm ${peak('norm')}`);
  assert.ok(peak('none') > 80 * 2 ** 30, `none ${peak('none')}`);
});

test('estimateMemory: each policy that remakes more keeps less', () => {
  const names = Object.keys(recomputePolicies) as NamedRecompute[];
  assert.equal(names.length, 5);
  for (const lighter of ['norm', 'swiglu'] as const) {
    assert.ok(peak('none') > peak(lighter) && peak(lighter) > peak('v3'), lighter);
  }
  assert.ok(peak('v3') > peak('full'));
});

test('estimateMemory: a phase is the sum of its parts, and the peak the largest phase', () => {
  for (const rank of estimateMemory(v3OnH800())) {
    for (const { breakdown, total } of rank.phases) {
      const sum = Object.values(breakdown).reduce((a: number, b: number) => a + b, 0);
      assert.ok(Math.abs(sum - total) < 1, `${sum} ${total}`);
    }
    const live = rank.live.reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(Math.abs(live - rank.peak.total) < 1);
    assert.equal(rank.peak.total, Math.max(...rank.phases.map(({ total }) => total)));
    assert.equal(at(rank.phases, 1).name, 'steady');
  }
});
