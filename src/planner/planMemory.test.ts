/** Memory of a plan: splits that fit where the fastest does not, and fixes that are no cheating. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v3Plan as plan } from '../../tests/support/v3Plan.ts';
import { MoebiusError } from '../base/errors.ts';
import { findCluster, withNumGpus } from '../config/clusters/clusters.ts';
import { applyWhatIf } from '../config/clusters/whatIf.ts';
import type { TrainingPlan } from '../config/parallelPlan.ts';
import { findPlannedModel } from '../config/presets/dense.ts';
import { planMemory } from './planMemory.ts';
import { PriceBook } from './priceBook.ts';

const model = findPlannedModel('deepseek-v3');

test('planMemory: V3 fits however fast its parts are: slower links or faster cores move layers', () => {
  const cluster = findCluster('h800x2048');
  for (const changes of [
    [],
    ['gpu.peakFlops.bf16=2 PFLOP/s'],
    ['gpu.memoryBytesPerSecond/=5'],
    ['scaleOut.nicsPerNode=1'],
    ['scaleUp.bytesPerSecond/=8'],
  ]) {
    const book = new PriceBook({ model, cluster: applyWhatIf(cluster, changes) });
    const { ranks, stages } = planMemory({ plan, book });
    assert.ok(ranks.every(({ peak }) => peak.total <= cluster.gpu.memoryBytes));
    assert.equal(stages.at(-1)?.last, 61);
  }
});

interface Fix {
  readonly text: string;
  readonly savedBytes: number;
  readonly price: number;
}

function fixesOf(changed: Partial<TrainingPlan>, numGpus: number): readonly Fix[] {
  const book = new PriceBook({ model, cluster: withNumGpus(findCluster('h800'), numGpus) });
  let fixes: readonly Fix[] = [];
  assert.throws(
    () => planMemory({ plan: { ...plan, ...changed }, book }),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError && error.code === 'plan.memory');
      fixes = error.values.fixes as readonly Fix[];
      return true;
    },
  );
  return fixes;
}

test('planMemory: what a fix saves and costs is finite, under auto too', () => {
  const layout = { dp: 256, pp: 8, ep: 8, tp: 1, zeroStage: 0 } as const;
  const fixes = fixesOf({ layout, schedule: '1f1b', chunksPerRank: 1, recompute: 'auto' }, 2048);
  assert.ok(fixes.length > 0);
  for (const { savedBytes, price } of fixes) {
    assert.ok(Number.isFinite(savedBytes) && savedBytes > 0 && Number.isFinite(price));
  }
});

test('planMemory: more GPUs are never the cheapest fix where recomputation alone fits', () => {
  const fixes = fixesOf({ recompute: 'none' }, 2048);
  assert.equal(fixes.length, 3);
  assert.match(fixes[0]?.text ?? '', /recompute/);
});

test('planMemory: on a single GPU fixes that take more are priced on as many', () => {
  const small = findPlannedModel('llama-3.1-8b');
  const book = new PriceBook({ model: small, cluster: withNumGpus(findCluster('h800'), 1) });
  const layout = { dp: 1, pp: 1, ep: 1, tp: 1, zeroStage: 0 } as const;
  const one = { schedule: '1f1b', chunksPerRank: 1, globalBatch: 4, recompute: 'auto' } as const;
  assert.throws(
    () => planMemory({ plan: { ...plan, ...one, layout, precision: 'bf16', mtp: false }, book }),
    { code: 'plan.memory' },
  );
});
