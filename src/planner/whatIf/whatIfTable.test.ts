/** What-ifs: every idea moves the right way, alone and together, and says what moved. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import { parseLayout, type TrainingPlan } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { llama31_405b } from '../../config/presets/dense.ts';
import { ideaNames, ideas } from './ideas.ts';
import { imbalanceSteps } from './imbalanceSteps.ts';
import { whatIfTable } from './whatIfTable.ts';

const cluster = findCluster('h800x2048');
const plan: TrainingPlan = { ...v3Plan, schedule: '1f1b', chunksPerRank: 1 };
const v3 = { model: deepseekV3, plan, cluster, totalTokens: 14.8e12 };

/** A thousandth: collectives of a changed fabric are simulated anew. */
const ROUNDING = 1.001;

test('whatIfTable: no idea is slower than today, by itself or with all others', () => {
  for (const schedule of ['1f1b', 'dualpipe'] as const) {
    const chunksPerRank = schedule === 'dualpipe' ? 2 : 1;
    const rows = whatIfTable({
      ...v3,
      plan: { ...plan, schedule, chunksPerRank },
      ideas: ideaNames,
    });
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['today', ...ideaNames, 'all together'],
    );
    const today = at(rows, 0);
    const all = at(rows, rows.length - 1);
    for (const { name, stepSeconds, days, mfuCausal, note } of rows) {
      assert.ok(stepSeconds <= ROUNDING * today.stepSeconds, `${schedule}: ${name}`);
      assert.ok(all.stepSeconds <= ROUNDING * stepSeconds, `${schedule}: ${name} and all`);
      assert.ok(Math.abs(mfuCausal * stepSeconds - today.mfuCausal * today.stepSeconds) < 1e-9);
      assert.ok(Math.abs((days ?? 0) / stepSeconds - (today.days ?? 0) / today.stepSeconds) < 1e-9);
      assert.match(note, name === 'today' ? /as it is/ : /(Moved: .*\d.*|Nothing moved: .+)\.$/);
    }
  }
});

test('whatIfTable: bytes of the way back decide, in order of their formats', () => {
  const names = ['fp8-combine', 'logfmt-combine', 'logfmt10-combine'];
  const [today, fp8, logfmt8, logfmt10] = whatIfTable({ ...v3, ideas: names }).map(
    ({ stepSeconds }) => stepSeconds,
  );
  assert.ok(today !== undefined && fp8 !== undefined && logfmt8 !== undefined);
  assert.ok(logfmt10 !== undefined && logfmt10 < today);
  assert.ok(fp8 < logfmt8 && logfmt8 < logfmt10);
  // A row of 7,168: 14,336 bytes in BF16; 7,392, 7,616 and 9,408 in the others, scales included.
  const saved = (seconds: number): number => (today - seconds) / (today - fp8);
  // Not quite by their bytes: shared experts hide the same seconds of a longer and a shorter one.
  assert.ok(Math.abs(saved(logfmt8) - (14336 - 7616) / (14336 - 7392)) < 0.06);
  assert.ok(Math.abs(saved(logfmt10) - (14336 - 9408) / (14336 - 7392)) < 0.06);
});

test('whatIfTable: settings move what they name, and more memory moves nothing', () => {
  const settings = ['scaleOut.nicBytesPerSecond/=2', 'gpu.memoryBytes*=2'];
  const [today, slower, larger] = whatIfTable({ ...v3, settings });
  assert.ok(today !== undefined && slower !== undefined && larger !== undefined);
  assert.ok(slower.stepSeconds > 1.05 * today.stepSeconds);
  assert.match(slower.note, /^Moved: .*1[FB] \+/);
  assert.equal(larger.stepSeconds, today.stepSeconds);
  assert.match(larger.note, /^Nothing moved: no part of this step is bound by it\.$/);
});

test('whatIfTable: a dense model gains nothing from what serves experts', () => {
  const dense: TrainingPlan = {
    ...plan,
    layout: parseLayout('pp16,tp8,zero1', 2048),
    precision: 'bf16',
    recompute: 'none',
    globalBatch: 2048,
    mtp: false,
  };
  const names = ['fp32-accumulation', 'communication-coprocessor', 'logfmt-combine'];
  const [today, ...rows] = whatIfTable({ ...v3, model: llama31_405b, plan: dense, ideas: names });
  for (const { name, stepSeconds, note } of rows.slice(0, names.length)) {
    assert.equal(stepSeconds, today?.stepSeconds, name);
    assert.match(note, /Nothing moved/);
  }
});

test('whatIfTable: an unknown idea is refused with the nearest', () => {
  assert.throws(
    () => whatIfTable({ ...v3, ideas: ['fp8-combin'] }),
    (error: unknown) =>
      error instanceof MoebiusError &&
      error.code === 'whatIf.idea' &&
      /fp8-combine/.test(error.hint ?? ''),
  );
});

test('ideas: each has its paper and section, its assumption, and a name of its own', () => {
  assert.equal(new Set(ideaNames).size, ideas.length);
  for (const { name, what, source, whyNothing } of ideas) {
    assert.match(name, /^[a-z0-9-]+$/);
    assert.match(source, /\d/);
    assert.ok(what.endsWith('.') && !whyNothing.endsWith('.'), name);
  }
});

test('imbalanceSteps: the hotter an expert the longer the step; an even load is the first point', () => {
  const steps = imbalanceSteps({ model: deepseekV3, plan, cluster, loads: [1, 2, 4, 8] });
  assert.equal(at(steps, 0).slowdown, 1);
  for (const [index, { hottestExpert, hottestRank, stepSeconds }] of steps.entries()) {
    // 256 experts on 64 ranks: three others share the rank.
    assert.equal(hottestRank, (hottestExpert + 3) / 4);
    if (index > 0) assert.ok(stepSeconds > at(steps, index - 1).stepSeconds);
  }
});

test('whatIfTable: all together is the same step in whatever order the ideas were named', () => {
  const names = ['unified-network', 'stacked-dram', 'in-network-reduce', 'larger-nvlink-domain'];
  const together = (order: readonly string[]): number | undefined =>
    whatIfTable({ ...v3, ideas: order }).at(-1)?.stepSeconds;
  const [forwards, backwards] = [together(names), together(names.toReversed())];
  assert.ok(forwards !== undefined && backwards !== undefined);
  assert.ok(Math.abs(forwards / backwards - 1) < 1e-9, `${forwards}, ${backwards}`);
});
