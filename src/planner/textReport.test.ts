/** The terminal's report: its sections, its rows against the plan, and what is absent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  sampleCluster,
  sampleExtras,
  sampleReport,
  walkSample,
} from '../../tests/support/samplePlan.ts';
import { v3Plan } from '../../tests/support/v3Plan.ts';
import { formatStep } from './quantities.ts';
import { type TextSection, textReport } from './textReport.ts';

const walked = walkSample();
const report = sampleReport(v3Plan, walked);
const options = {
  ...sampleExtras(report, walked),
  memoryCapacityBytes: sampleCluster.gpu.memoryBytes,
};

function find(sections: readonly TextSection[], title: string): TextSection {
  return sections.find((section) => section.title === title) ?? assert.fail(`no ${title}`);
}

test('textReport: all sections in order, each row as long as its header', () => {
  const sections = textReport(report, options);
  assert.deepEqual(
    sections.map(({ title }) => title),
    [
      'deepseek-v3 on h800x2048',
      'Phases of rank 0',
      'Memory per rank',
      'Operations of rank 0',
      'Plans',
      'What if',
      'Sources',
      'Derived',
      'To get this again',
    ],
  );
  for (const { title, header, rows } of sections) {
    for (const row of rows) assert.equal(row.length, header?.length ?? row.length, title);
  }
  assert.deepEqual(sections.at(-1)?.notes, [options.command]);
});

test('textReport: phases stand beside the published ones, and add up to the step', () => {
  const { rows, header, notes } = find(textReport(report, options), 'Phases of rank 0');
  assert.deepEqual(header, ['phase', 'ours', 'share', 'published', 'difference']);
  assert.deepEqual(rows.at(-1)?.slice(0, 4), [
    'step',
    formatStep(report.stepSeconds),
    '',
    '19.93 s',
  ]);
  const sum = Object.values(report.phases).reduce((total, seconds) => total + seconds, 0);
  assert.ok(Math.abs(sum - report.stepSeconds) < 1e-9);
  assert.match(notes.join(), /ISCA 2025, table 4, MPFT; not used/);
  const alone = find(textReport(report, { ...options, publishedRows: null }), 'Phases of rank 0');
  assert.deepEqual(alone.header, ['phase', 'ours', 'share']);
});

test('textReport: neighbouring ranks that hold the same are one row', () => {
  const { rows } = find(textReport(report, options), 'Memory per rank');
  assert.deepEqual(
    rows.map(([ranks]) => ranks),
    ['0', '1', '2', '3', '4', '5', '6', '7–8', '9', '10', '11', '12', '13', '14', '15'],
  );
});

test('textReport: a single step has no run, and nothing searched has no table of plans', () => {
  const step = { ...report, totalTokens: null, days: null, overlap: null, derived: {} };
  const sections = textReport(step, { ...options, candidates: [], whatIfs: [] });
  const names = sections.map(({ title }) => title);
  assert.ok(!names.includes('Plans') && !names.includes('What if') && !names.includes('Derived'));
  const rows = sections[0]?.rows.map(([name]) => name);
  assert.ok(!rows?.includes('run') && !rows?.includes('overlapped pair'));
  assert.deepEqual(sections[0]?.rows.find(([name]) => name === 'cost')?.[2], 'of one step');
});

test('textReport: many operations are cut, and what the rest takes is said', () => {
  const many = Array.from({ length: 20 }, (_, index) => ({
    ...(report.operations[0] ?? assert.fail()),
    name: `operation ${index}`,
    seconds: 1,
  }));
  const { rows, notes } = find(
    textReport({ ...report, operations: many }, options),
    'Operations of rank 0',
  );
  assert.equal(rows.length, 12);
  assert.deepEqual(notes, ['8 more take 8.00 s together.']);
});
