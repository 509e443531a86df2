/** What a person is told of a rule, and of a model, that gives no token. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SamplingRule } from '../kernels/kernels.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { sampleRows } from './sampler.ts';

const plain: SamplingRule = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 };

function sample(
  rows: readonly (readonly number[])[],
  rules: readonly SamplingRule[],
): ReturnType<typeof sampleRows> {
  const kernels = createReferenceKernels();
  const arena = kernels.createArena('sampler');
  const logits = arena.allocate('f32', [rows.length, rows[0]?.length ?? 0]);
  kernels.write(logits, Float32Array.from(rows.flat()));
  return sampleRows({ kernels, arena }, { logits, rules, positions: rows.map((_, i) => i) });
}

test('Rows are sampled each by its rule, with the model’s own log probabilities', async () => {
  const greedy = { ...plain, temperature: 0 };
  const { ids, logProbabilities } = await sample(
    [
      [0, 3, 1],
      [5, 1, 2],
    ],
    [greedy, { ...plain, topK: 1, temperature: 9 }],
  );
  assert.deepEqual([...ids], [1, 0]);
  const expected = [
    -Math.log(1 + Math.exp(-3) + Math.exp(-2)),
    -Math.log(1 + Math.exp(-4) + Math.exp(-3)),
  ].map(Math.fround);
  assert.deepEqual([...logProbabilities], expected);
});

test('Rules out of range are refused, in any row', async () => {
  const wrong: readonly Partial<SamplingRule>[] = [
    { temperature: -1 },
    { temperature: Number.NaN },
    { topK: 1.5 },
    { topK: -1 },
    { topP: 0 },
    { topP: 1.1 },
    { minP: -0.1 },
    { minP: Number.NaN },
  ];
  for (const rule of wrong) {
    const rules = [plain, { ...plain, ...rule }];
    await assert.rejects(sample([[0], [0]], rules), { code: 'sampling.invalid' });
  }
});

test('Logits that are not finite are refused by the token and its logit', async () => {
  const refused = { code: 'sampling.nonFinite' };
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  const bad = sample(
    [
      [0, 1, 2],
      [0, inf, nan],
    ],
    [plain, plain],
  );
  await assert.rejects(bad, { ...refused, values: { id: 2, logit: 'NaN' } });
  await assert.rejects(sample([[0, inf]], [plain]), {
    ...refused,
    values: { id: 1, logit: 'Infinity' },
  });
  await assert.rejects(sample([[-inf, -inf]], [plain]), {
    ...refused,
    values: { id: 0, logit: '-Infinity' },
  });
});
