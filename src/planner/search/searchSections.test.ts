/** What is worth a line of a search: the best, the front, runners-up, and each kind of loser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCluster } from '../../config/clusters/clusters.ts';
import { qwen3_30b_a3b } from '../../config/presets/dense.ts';
import { searchPlans } from './searchPlans.ts';
import { paretoSection, searchSection, worthShowing } from './searchSections.ts';

const result = searchPlans({
  model: qwen3_30b_a3b,
  cluster: findCluster('h100x64'),
  gpuCounts: [32, 64],
  globalBatch: 256,
  sequenceLength: 4096,
  precision: 'bf16',
  mtp: false,
  totalTokens: 1e12,
  schedules: ['1f1b', 'zb1p'],
  microBatchSizes: [1],
});

test('worthShowing: the best first, all of the front, few of each kind of loser', () => {
  const shown = worthShowing(result, 5);
  assert.equal(shown[0], result.best);
  for (const plan of result.pareto) assert.ok(shown.includes(plan));
  assert.ok(shown.some(({ reason }) => reason.startsWith('Does not fit')));
  assert.ok(shown.length < 25 && shown.length > 8, `${shown.length}`);
  assert.equal(new Set(shown).size, shown.length);
});

test('paretoSection: a row for each plan of the front, the best with a star', () => {
  const { header, rows } = paretoSection(result);
  assert.equal(rows.length, result.pareto.length);
  assert.equal(rows.filter(([, plan]) => plan?.startsWith('★')).length, 1);
  for (const row of rows) assert.equal(row.length, header?.length);
});

test('searchSection: how many were priced, fit and were simulated', () => {
  const { rows } = searchSection(result);
  const simulated = result.candidates.filter(({ isSimulated }) => isSimulated).length;
  assert.deepEqual(
    rows.map(([, value]) => value),
    [`${result.numPlans}`, `${result.numFitting}`, `${simulated}`],
  );
});
