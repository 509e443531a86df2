/**
 * The audit against answers that were worked out apart from it: the verdict of every claim of the
 * articles, and every numeric check of the collected figures.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countVerdicts, figureGroups, findGroup, sourceNames } from './audit.ts';
import { agrees, type Figure, judge, readPrinted, type Verdict } from './figure.ts';
import { activationsHeld, dualpipePhases, passCounts, walkedBubble } from './pipelineWalk.ts';

const figures = figureGroups.flatMap((group) => group.figures);
const byId = new Map(figures.map((figure) => [figure.id, figure]));

/** The collection's own words, and which of the four verdicts each means. */
const MEANING = {
  ok: 'agrees',
  'ok as ratio': 'agrees',
  'ok for v1': 'agrees',
  'ok (rounding)': 'agrees',
  'ok (report)': 'agrees',
  approx: 'agrees',
  early: 'agrees',
  garbled: 'garbled',
  'unit slip': 'garbled',
  'not in paper': 'not reproducible',
  unverified: 'not reproducible',
  'not reproduced': 'not reproducible',
  invented: 'invented',
} as const satisfies Record<string, Verdict>;

const ARTICLES: readonly (readonly [string, keyof typeof MEANING])[] = [
  ['seed0.gpus', 'ok'],
  ['seed0.gpu-hours', 'garbled'],
  ['seed0.parameters', 'ok'],
  ['seed0.active', 'ok'],
  ['seed0.cost-ratio', 'ok as ratio'],
  ['seed0.kv', 'garbled'],
  ['seed0.kv-ratio', 'ok'],
  ['seed0.experts', 'ok'],
  ['seed0.compute-ratio', 'ok'],
  ['seed0.fp8-loss', 'ok'],
  ['seed0.mtp-speed', 'ok'],
  ['seed0.mtp-acceptance', 'ok'],
  ['seed0.mtp-tokens', 'garbled'],
  ['seed0.decode-speed', 'not in paper'],
  ['seed0.consumer-gpu', 'garbled'],
  ['seed0.network-bandwidth', 'invented'],
  ['seed0.all-reduce', 'invented'],
  ['seed0.node-bandwidth', 'invented'],
  ['seed0.utilisation', 'invented'],
  ['seed0.stability', 'invented'],
  ['seed0.stacked-memory', 'invented'],
  ['seed0.pages', 'ok for v1'],
  ['seed1.gpu-hours', 'ok'],
  ['seed1.dollars', 'ok'],
  ['seed1.shares', 'ok (rounding)'],
  ['seed1.days', 'approx'],
  ['seed1.llama-days', 'garbled'],
  ['seed1.llama-hours', 'ok'],
  ['seed1.configs', 'ok'],
  ['seed1.hidden-size', 'garbled'],
  ['seed1.other-models', 'invented'],
  ['seed1.decode-speed', 'unverified'],
  ['seed1.fp8-throughput', 'not in paper'],
  ['seed1.layout', 'ok'],
  ['seed1.links', 'ok'],
  ['seed1.sms', 'ok'],
  ['seed1.expert-memory', 'garbled'],
  ['seed1.bubbles', 'ok'],
  ['seed1.serving-units', 'ok (report)'],
  ['seed1.decode-overlap', 'early'],
  ['seed1.peak-hours', 'ok'],
  ['seed1.deepseek-6nd', 'ok'],
  ['seed1.deepseek-8nd', 'ok'],
  ['seed1.llama-nd', 'ok'],
  ['seed1.module-mfu', 'unit slip'],
  ['seed1.attention-mfu', 'not reproduced'],
  ['seed1.flop-formulas', 'ok'],
  ['seed2.active-experts', 'garbled'],
  ['seed2.memory-bandwidth', 'ok'],
  ['seed2.nvlink', 'garbled'],
  ['seed2.nodes', 'invented'],
  ['seed2.layout', 'invented'],
  ['seed2.tuning', 'invented'],
];

test('Group 1: every claim of the articles has the verdict that was reached apart from it', () => {
  const expected = ARTICLES.map(([id, word]) => [id, MEANING[word]]);
  const found = findGroup('articles').figures.map((figure) => [figure.id, judge(figure)]);
  assert.deepEqual(found, expected);
});

/** Figure, which of its numbers, the expected value and how near, as a share. */
const CHECKS: Readonly<Record<string, readonly [string, number, number, number]>> = {
  'c.params.v3': ['d.total', 0, 671_026_404_352, 0],
  'c.kv.v3': ['i.kv', 0, 70.272, 0],
  'c.kv.qwen': ['i.kv', 1, 327.68, 0],
  'c.kv.llama': ['i.kv', 2, 516.096, 0],
  'c.flop.v3': ['m.deepseek-v3.derived', 5, 249.811, 1e-5],
  'c.flop.v2': ['m.deepseek-v2.derived', 5, 155.014, 1e-5],
  'c.mfu.causal': ['i.mfu-mpft', 1, 38.9418, 2e-6],
  'c.mfu.noncausal': ['i.mfu-mpft', 0, 43.7279, 1e-6],
  'c.step': ['i.step-mpft', 0, 19.92602, 1e-6],
  'c.gpuh': ['v3.per-trillion', 0, 180.176, 1e-5],
  'c.cost': ['v3.dollars', 3, 5.576, 0],
  'c.ep.ib': ['i.limit-ib', 0, 120.96, 1e-12],
  'c.ep.nv': ['i.limit-nvl72', 0, 6.72, 1e-12],
  'c.tpot': ['i.limit-ib', 1, 14.757_12, 1e-12],
  'c.day6.cost': ['d6.cost', 0, 87_072, 0],
  'c.day6.rev': ['d6.revenue', 0, 562_100, 1e-12],
  'c.day6.nodes': ['d6.nodes', 0, 226.86, 1e-4],
  'c.yarn': ['v3.yarn', 0, 1.368_887_945_41, 1e-11],
  'c.lr.tokens': ['v3.lr', 0, 14.8, 1e-12],
  'c.prefill.experts': ['d6.experts', 0, 9, 0],
  'c.decode.experts': ['d6.experts', 1, 2, 0],
};

function numberOf(id: string, index: number): number {
  const { basis } = byId.get(id) ?? assert.fail(`no figure ${id}`);
  assert.ok(basis.kind === 'numbers');
  return basis.quantities[index]?.ours ?? assert.fail(`${id} has no number ${index}`);
}

for (const [check, [id, index, expected, share]] of Object.entries(CHECKS)) {
  test(`${check}: ${expected}`, () => {
    const ours = numberOf(id, index);
    assert.ok(Math.abs(ours / expected - 1) <= share, `${ours}`);
    const quantities = byId.get(id)?.basis;
    assert.ok(quantities?.kind === 'numbers' && quantities.quantities[index] !== undefined);
    assert.ok(agrees(quantities.quantities[index]), 'and it is what was printed');
  });
}

test('c.days: 14.8T tokens at 272.80B a day are 54.25 days, 2664K GPU-hours 54.20', () => {
  assert.ok(Math.abs((14.8e12 / 1e12) * numberOf('v3.per-trillion', 1) - 54.2522) < 1e-3);
  assert.equal(numberOf('v3.pre-training-days', 0).toFixed(2), '54.20');
});

test('walkedBubble: what an event simulation of the action lists gave, and the formulas', () => {
  const chunk = { F: 1, B: 2, W: 1, FB: 3 };
  const at = (name: 'dualpipe' | '1f1b' | 'zb1p', numRanks: number): number =>
    walkedBubble({ name, numRanks, numMicroBatches: 20 }, chunk);
  assert.equal(at('dualpipe', 8), 6);
  assert.equal(at('dualpipe', 4), 2);
  assert.equal(at('1f1b', 8), 7 * 3);
  assert.equal(at('zb1p', 8), 7);
  const better = { ...chunk, FB: 2.5 };
  assert.equal(walkedBubble({ name: 'dualpipe', numRanks: 8, numMicroBatches: 20 }, better), 4.5);
});

test('activationsHeld: PP in 1F1B, PP + 1 in DualPipe', () => {
  for (const numRanks of [4, 8, 16]) {
    assert.equal(activationsHeld({ name: '1f1b', numRanks, numMicroBatches: 40 }), numRanks);
    assert.equal(
      activationsHeld({ name: 'dualpipe', numRanks, numMicroBatches: 40 }),
      numRanks + 1,
    );
  }
});

test('dualpipePhases: its eight phases are the action list, but for one pair in the middle', () => {
  for (const [numRanks, numMicroBatches] of [
    [4, 8],
    [8, 20],
    [16, 120],
  ] as const) {
    for (let rank = 0; rank < numRanks; rank++) {
      const phases = dualpipePhases({ numRanks, numMicroBatches }, { rank });
      const [p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0, p6 = 0, p7 = 0, p8 = 0] = phases;
      const apart = p1 === 0 ? 1 : 0;
      const choice = { name: 'dualpipe', numRanks, numMicroBatches } as const;
      const { split: _split, ...passes } = passCounts(choice, { rank });
      assert.deepEqual(passes, {
        forward: p1 + 2 * p2 + p3 + apart,
        pairs: 2 * p4 + p5 - apart,
        backward: p3 + p5 + 2 * p6 + p7 + apart,
        weight: p3 + p7 + p8,
      });
    }
  }
});

test('Contradictions of the sources themselves are found as such', () => {
  const found = (id: string): Verdict => judge(byId.get(id) ?? assert.fail(id));
  assert.equal(found('i.kv-ratio-qwen'), 'agrees');
  assert.equal(found('i.kv-ratio-llama'), 'not reproducible');
  assert.equal(found('i.flop-qwen'), 'garbled');
  assert.equal(found('i.flop-llama'), 'garbled');
  assert.equal(found('i.step-sum'), 'not reproducible');
  assert.equal(found('i.step-bubble'), 'not reproducible');
  assert.equal(found('d.readme-mtp'), 'garbled');
});

test('Figures: each has its own id, a source, a claim, a formula and well-printed numbers', () => {
  assert.equal(byId.size, figures.length);
  for (const { id, group, source, claim, formula, basis } of figures) {
    assert.ok(
      [source, claim, formula].every((text) => text.trim() !== ''),
      id,
    );
    assert.ok(
      findGroup(String(group)).figures.some((figure) => figure.id === id),
      id,
    );
    if (basis.kind !== 'numbers') continue;
    assert.ok(basis.quantities.length > 0, id);
    for (const { said, ours, slip } of basis.quantities) {
      assert.match(said, /^\d[\d,]*(?:\.\d+)?$/, id);
      assert.ok(Number.isFinite(readPrinted(said).value) && Number.isFinite(ours), id);
      assert.ok(slip === undefined || (slip.name !== '' && Number.isFinite(slip.value)), id);
    }
  }
});

test('Figures: every short source name is explained', () => {
  const known = sourceNames.flatMap(([names]) => names.split(', '));
  const unexplained = figures.filter(
    ({ source }) =>
      !['config.json', 'formula', 'model card'].includes(source) &&
      !known.includes(source.split(' ')[0] ?? ''),
  );
  assert.deepEqual(
    unexplained.map(({ id, source }) => [id, source]),
    [],
  );
});

test('countVerdicts: counts are those of the figures, group by group', () => {
  const sum = (of: readonly Figure[]): number =>
    Object.values(countVerdicts(of)).reduce((total, count) => total + count, 0);
  for (const group of figureGroups) assert.equal(sum(group.figures), group.figures.length);
  assert.deepEqual(countVerdicts(findGroup('1').figures), {
    agrees: 29,
    garbled: 10,
    'not reproducible': 4,
    invented: 10,
  });
});

test('findGroup: by number or name, and an unknown one is refused with the nearest', () => {
  assert.equal(findGroup('3'), findGroup('paper'));
  assert.throws(() => findGroup('papers'), { code: 'figures.group', hint: 'Did you mean paper?' });
  assert.throws(() => findGroup('9'), { code: 'figures.group' });
});
