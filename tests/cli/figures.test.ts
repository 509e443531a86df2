/** `moebius figures`: one screen, a group, everything, JSON, help, the page in docs, refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figuresPage } from '../../scripts/figuresPage.ts';
import { displayWidth } from '../../src/cli/output.ts';
import type { FigureRecord } from '../../src/planner/figures/audit.ts';
import { figureGroups } from '../../src/planner/figures/audit.ts';
import { assertRefused, type Json, moebius, moebiusJson } from '../support/commandLine.ts';
import { readProjectFile } from '../support/projectFiles.ts';

test('figures: one screen with counts of every group and what articles got wrong', async () => {
  const { code, stdout, stderr } = await moebius('figures');
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.trimEnd().split('\n');
  assert.ok(lines.length <= 45, `${lines.length} lines`);
  assert.ok(lines.every((line) => displayWidth(line) <= 120));
  assert.match(stdout, /^1 articles .* 53 +29 +10 +4 +10$/m);
  assert.match(stdout, /^garbled +SEED0 +training time +278\.8 GPU-h +2,788,000 GPU-h: factor/m);
  assert.match(
    stdout,
    /^invented +SEED0 +cluster utilisation +92 %.*MFU 43\.73 %, causal 38\.94 %/m,
  );
  assert.match(stdout, /29 agree: gpus, parameters/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what colours begin with
  assert.doesNotMatch(stdout, /\x1b/, 'no colours where there is no terminal');
});

test('figures --all: every claim with its formula, group by group', async () => {
  const { stdout } = await moebius('figures', '--all');
  for (const { number, title, figures } of figureGroups) {
    assert.ok(stdout.includes(`Group ${number}, ${title}: agrees `), title);
    assert.ok(figures.length > 20);
  }
  const flat = stdout.replace(/\s+/g, ' ');
  assert.match(flat, /39\.41/);
  assert.match(flat, /three-layer fat/);
  assert.equal(stdout.match(/^(?:agrees|garbled|not reproducible|invented) /gm)?.length, 166);
});

test('figures --json: every figure with what is said, ours, the formula and the verdict', async () => {
  const json = await moebiusJson('figures');
  const figures = json.figures as readonly FigureRecord[];
  assert.equal(figures.length, 166);
  assert.deepEqual(json.counts, {
    agrees: 129,
    garbled: 18,
    'not reproducible': 9,
    invented: 10,
  });
  const of = (id: string): FigureRecord =>
    figures.find((figure) => figure.id === id) ?? assert.fail(id);
  assert.deepEqual(of('seed0.gpu-hours'), {
    id: 'seed0.gpu-hours',
    group: 1,
    source: 'SEED0',
    claim: 'training time',
    formula: '2664K + 119K + 5K (V3 T1)',
    verdict: 'garbled',
    quantities: [
      {
        name: '',
        said: '278.8',
        unit: 'GPU-h',
        ours: 2_788_000,
        tolerance: 0.05,
        agrees: false,
        slip: 'factor 10⁴ lost',
      },
    ],
    said: null,
    instead: null,
    note: null,
  });
  const [nonCausal, causal] = of('i.mfu-mpft').quantities.map(({ ours }) => ours.toFixed(2));
  assert.deepEqual([nonCausal, causal], ['43.73', '38.94']);
  const rows = [
    ['seed1.deepseek-6nd', 1, '32.96'],
    ['seed1.llama-nd', 2, '34.57'],
    ['seed1.deepseek-8nd', 1, '43.94'],
    ['seed1.llama-nd', 4, '46.09'],
  ] as const;
  for (const [id, index, expected] of rows) {
    assert.equal(of(id).quantities[index]?.ours.toFixed(2), expected);
  }
  assert.equal(of('seed0.utilisation').instead, 'MFU 43.73 %, causal 38.94 %');
});

test('figures --group: by name, by number, several; an unknown one is refused', async () => {
  const idsOf = async (...args: readonly string[]): Promise<number> =>
    ((await moebiusJson('figures', ...args)).groups as readonly Json[]).length;
  assert.equal(await idsOf('--group', 'paper'), 1);
  assert.equal(await idsOf('--group', '1', '--group', 'models'), 2);
  const { stdout } = await moebius('figures', '--group', '3');
  assert.match(stdout, /^Group 3, hardware paper/);
  assert.doesNotMatch(stdout, /Group 1/);
  const refused = await moebius('figures', '--group', 'papr');
  assertRefused(refused, 'figures.group');
  assert.match(refused.stderr, /Did you mean paper\?/);
  assertRefused(await moebius('figures', '--group', '6'), 'figures.group');
});

const HELP = `Usage: moebius figures [options]

what is said about DeepSeek-V3, computed again: the audit of published figures

Options:
  --group <name>  1 to 5, or articles, report, paper, systems, models
  --all           every figure with its formula, not one screen
  --json          end with one line of JSON
  -h, --help      display help for command
`;

test('figures --help: is as it was', async () => {
  assert.equal((await moebius('figures', '--help')).stdout, HELP);
});

test('docs/figures.md: is what the code says', () => {
  const isCurrent = readProjectFile('docs/figures.md') === figuresPage();
  assert.ok(isCurrent, 'docs/figures.md is behind: run node scripts/figuresPage.ts');
});
