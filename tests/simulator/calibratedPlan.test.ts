/** A calibration put on a plan: prices become what was measured, and the report says so. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import { parseLayout, type TrainingPlan } from '../../src/config/parallelPlan.ts';
import { v3Small } from '../../src/config/presets/small.ts';
import { predictLayers } from '../../src/planner/predictLayers.ts';
import { simulatePlan } from '../../src/planner/simulatePlan.ts';
import { calibratedNetwork, kernelFactors } from '../../src/simulator/applyCalibration.ts';
import { type Calibration, calibrate } from '../../src/simulator/calibrate.ts';
import { serializeCalibration } from '../../src/simulator/calibrationFile.ts';
import type { OperationSum } from '../../src/simulator/cost/priceParts.ts';
import { createNetworkModel } from '../../src/simulator/network/createNetworkModel.ts';
import { type CostClass, tracedClass } from '../../src/simulator/trace/costClasses.ts';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';

const cluster = findCluster('h800x64');

function planOf(change: Partial<TrainingPlan> = {}): TrainingPlan {
  return {
    layout: parseLayout('pp4,ep16,zero1', 64),
    schedule: '1f1b',
    chunksPerRank: 1,
    globalBatch: 64,
    microBatchSize: 1,
    sequenceLength: 1024,
    precision: 'fp8',
    recompute: 'v3',
    mtp: false,
    ...change,
  };
}

/** A machine on which every class is a factor of its own off, as its trace would show it. */
function measuredMachine(plan: TrainingPlan): { calibration: Calibration; factors: FactorOf } {
  const predicted = predictLayers({ model: v3Small, plan, cluster, layers: 2, repeats: 3 });
  const names = [...new Set(predicted.map((each) => tracedClass(each.class)))];
  const factors: FactorOf = (name) => 1 + (names.indexOf(tracedClass(name)) + 1) / 10;
  const work = predicted.map((each) => ({
    class: tracedClass(each.class) as CostClass,
    pass: each.pass,
    count: 1,
    seconds: each.seconds * factors(each.class),
  }));
  const { calibration } = calibrate(
    { work, byLayer: new Map(), numDevices: 1, unpricedSeconds: 0 },
    predicted,
    {
      madeOn: '2026-11-22',
      source: { trace: 't.json', gpu: null, model: 'm', cluster: 'c', layout: 'l', layers: 2 },
    },
  );
  assert.equal(calibration.classes.length, names.length);
  return { calibration, factors };
}

type FactorOf = (name: string) => number;

test('A calibrated plan: every class of a pass costs what the machine was made to take', () => {
  for (const plan of [planOf(), planOf({ precision: 'bf16' })]) {
    const { calibration, factors } = measuredMachine(plan);
    const passOf = (input: Partial<Parameters<typeof simulatePlan>[0]>): readonly OperationSum[] =>
      simulatePlan({ model: v3Small, cluster, plan, ...input }).passes.pass('forward', 1)
        .operations;
    const network = calibratedNetwork(createNetworkModel(cluster), calibration);
    const before = passOf({});
    const after = passOf({ network, factors: kernelFactors(calibration) });
    assert.ok(before.some(({ name }) => name === 'dispatch'));
    for (const [i, { name, seconds }] of before.entries()) {
      // A longer transfer takes less of the memory at once, which kernels beside it feel.
      const ratio = (after[i]?.seconds ?? 0) / seconds / factors(name);
      assert.ok(Math.abs(ratio - 1) < 0.05, `${name}: ${ratio}`);
      const isProduct = /Gemm|Gradient|attention|dispatch|combine/.test(name);
      if (isProduct) assert.ok(Math.abs(ratio - 1) < 1e-9, `${name}: ${ratio}`);
    }
  }
});

test('plan train --calibration: the step follows the factors, and the sources name the trace', async (context) => {
  const args = ['plan', 'train', '--model', 'v3-small', '--cluster', 'h800x64', '--no-mtp'];
  const layout = ['--layout', 'pp4,ep16,zero1', '--schedule', '1f1b', '--global-batch', '64'];
  const { calibration } = measuredMachine(planOf());
  const path = join(temporaryFolder(context), 'calibration.json');
  writeFileSync(path, serializeCalibration(calibration));
  const before = await moebiusJson(...args, ...layout);
  const after = await moebiusJson(...args, ...layout, '--calibration', path);
  assert.ok(Number(after.stepSeconds) > Number(before.stepSeconds));
  const sources = after.sources as readonly { readonly what: string; readonly from: string }[];
  const note = sources.find(({ what }) => what === 'calibration');
  assert.equal(note?.from, `${calibration.classes.length} classes measured in t.json, 2026-11-22`);
  writeFileSync(path, '{"format": "another"}');
  assertRefused(await moebius(...args, ...layout, '--calibration', path), 'calibration.invalid');
});

test('plan train --calibration: the search, what-ifs and uneven experts are priced by it', async (context) => {
  const args = ['plan', 'train', '--model', 'v3-small', '--cluster', 'h800x64', '--no-mtp'];
  const asked = ['--global-batch', '64', '--layout', 'pp2-4,ep16,tp1,zero1', '--schedule', '1f1b'];
  const { calibration } = measuredMachine(planOf());
  const path = join(temporaryFolder(context), 'calibration.json');
  writeFileSync(path, serializeCalibration(calibration));
  const questions = ['--what-if', 'gpu.nvlinkBytesPerSecond*=1.0001', '--expert-loads', '1,2'];
  const of = async (...more: readonly string[]): Promise<Answer> =>
    (await moebiusJson(...args, ...asked, ...questions, ...more)) as unknown as Answer;
  const before = await of();
  const after = await of('--calibration', path);
  assert.ok(after.stepSeconds > before.stepSeconds);
  const rows = (answer: Answer): number[] =>
    [...answer.candidates, ...answer.whatIfs, ...answer.expertLoads].map((row) => row.stepSeconds);
  const best = Math.min(...after.candidates.map((each) => each.stepSeconds));
  assert.ok(Math.abs(best / after.stepSeconds - 1) < 0.01, `${best}, ${after.stepSeconds}`);
  assert.ok(Math.min(...rows(after)) > before.stepSeconds);
});

interface Answer {
  readonly stepSeconds: number;
  readonly candidates: readonly Row[];
  readonly whatIfs: readonly Row[];
  readonly expertLoads: readonly Row[];
}

interface Row {
  readonly stepSeconds: number;
}
