/** `moebius plan scorecard`: how far the planner is off, held as it is; the page in docs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scorecardPage } from '../../scripts/scorecardPage.ts';
import { misses } from '../../src/planner/scorecard/misses.ts';
import { type GroupScore, WORST_WANTED } from '../../src/planner/scorecard/score.ts';
import type { ScoreRecord } from '../../src/planner/scorecard/scorecardTable.ts';
import { moebius, moebiusJson } from '../support/commandLine.ts';
import { readProjectFile } from '../support/projectFiles.ts';

const json = await moebiusJson('plan', 'scorecard');
const groups = json.groups as readonly GroupScore[];
const runs = json.runs as readonly ScoreRecord[];

test('plan scorecard: the planner is no further off than it was', () => {
  const [all] = groups;
  assert.equal(all?.group, 'all');
  assert.equal(all.count, runs.length);
  assert.ok(all.median <= 0.09, `median ${all.median}`);
  assert.ok(all.worst <= 0.51, `worst ${all.worst}`);
  assert.ok(all.shareInside >= 0.9, `inside ${all.shareInside}`);
});

test('plan scorecard: every run has an error, a bar and where it is from', () => {
  for (const { run, predictedSeconds, measuredSeconds, ...score } of runs) {
    assert.ok(Math.abs(predictedSeconds / measuredSeconds - 1 - score.error) < 1e-12, run);
    const off = Math.abs(measuredSeconds / predictedSeconds - 1);
    assert.equal(score.isInside, off <= score.errorBar, run);
    assert.ok(score.errorBar > 0.05 && score.errorBar < 0.6, `${run}: ± ${score.errorBar}`);
    assert.ok(score.source.length > 10, run);
  }
});

test('plan scorecard: whatever is off by more than a quarter has its reason, and nothing else', () => {
  const off = runs.filter(({ error }) => Math.abs(error) > WORST_WANTED).map(({ run }) => run);
  assert.deepEqual(Object.keys(misses).sort(), off.sort());
});

test('plan scorecard: a line for each run, then one for each group', async () => {
  const { code, stdout } = await moebius('plan', 'scorecard');
  assert.equal(code, 0);
  for (const { run } of runs) assert.ok(stdout.includes(`\n${run} `), run);
  for (const { group } of groups) assert.match(stdout, new RegExp(`^${group} `, 'm'));
});

const HELP = `Usage: moebius plan scorecard [options]

published runs, planned again: how far the planner is off, row by row

Options:
  --json      end with one line of JSON
  -h, --help  display help for command
`;

test('plan scorecard --help: is as it was', async () => {
  assert.equal((await moebius('plan', 'scorecard', '--help')).stdout, HELP);
});

test('docs/scorecard.md: is what the planner says', () => {
  const isCurrent = readProjectFile('docs/scorecard.md') === scorecardPage();
  assert.ok(isCurrent, 'docs/scorecard.md is behind: run node scripts/scorecardPage.ts');
});
