/**
 * The generation loop over a small executor of its own: a Markov chain that samples by
 * (seed, position) and drafts what it likes, so that drafts are sometimes right.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { uniformAt } from '../base/random.ts';
import type { ServingExecutor } from '../executor/executor.ts';
import { BlockManager } from '../policy/cache/blockManager.ts';
import type { SequenceTokens, ServingOutcome } from '../program/instruction.ts';
import { type GenerationRequest, generateTokens } from './generate.ts';

const VOCABULARY = 11;

/** Next token from the last one: three candidates, chosen by the position's uniform number. */
function nextToken(last: number, { seed, position }: { seed: number; position: number }): number {
  const choice = Math.floor(uniformAt(seed, position) * 3);
  return (last * 3 + choice * choice + 1) % VOCABULARY;
}

function markovExecutor(): ServingExecutor & { readonly passes: number } {
  const rows = new Map<number, SequenceTokens>();
  let passes = 0;
  return {
    get passes() {
      return passes;
    },
    run: async (programs) => {
      const outcomes: ServingOutcome[] = [];
      for (const instruction of programs[0]?.instructions ?? []) {
        if (instruction.kind === 'prefill' || instruction.kind === 'decode') {
          passes++;
          for (const sequence of instruction.sequences) rows.set(sequence.sequenceId, sequence);
          continue;
        }
        assert.ok(instruction.kind === 'sample');
        for (const { sequenceId, positions, sampling, numDrafts } of instruction.sequences) {
          const run = rows.get(sequenceId);
          assert.ok(run !== undefined);
          const first = run.ids.length - positions;
          const sampled = run.ids
            .slice(first)
            .map((id, i) =>
              nextToken(id, { seed: sampling.seed, position: run.firstPosition + first + i }),
            );
          const drafted = Array.from({ length: numDrafts }, (_, i) => {
            const last = sampled[sampled.length - 1] ?? 0;
            return (last * 3 ** (i + 1) + i + 1) % VOCABULARY;
          });
          outcomes.push({
            kind: 'tokens',
            sequenceId,
            sampled,
            logProbabilities: sampled.map(() => Math.log(1 / 3)),
            drafts: drafted,
          });
        }
      }
      return { spans: [], outcomes };
    },
  };
}

async function collect(request: Partial<GenerationRequest>): Promise<{
  ids: number[];
  reason: string;
  accepted: number;
  passes: number;
}> {
  const cache = new BlockManager({ numBlocks: 16, blockSize: 4 });
  const executor = markovExecutor();
  const generation = generateTokens(executor, cache, {
    sequenceId: 1,
    promptIds: [1, 2, 3],
    maxTokens: 20,
    sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 5 },
    endIds: new Set(),
    numDrafts: 0,
    maxContext: 64,
    ...request,
  });
  const ids: number[] = [];
  let next = await generation.next();
  for (; !next.done; next = await generation.next()) ids.push(next.value.id);
  assert.equal(cache.numFree, 16, 'the cache is given back');
  return {
    ids,
    reason: next.value.finishReason,
    accepted: next.value.numAccepted,
    passes: executor.passes,
  };
}

test('generateTokens: drafts change the number of passes and never a token', async () => {
  let saved = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(1000),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 30 }),
      async (seed, numDrafts, maxTokens) => {
        const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, seed };
        const plain = await collect({ sampling, maxTokens });
        const drafted = await collect({ sampling, maxTokens, numDrafts });
        assert.deepEqual(drafted.ids, plain.ids);
        assert.equal(drafted.ids.length, maxTokens);
        assert.ok(drafted.passes <= plain.passes);
        saved += plain.passes - drafted.passes;
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(saved > 0, 'some drafts were accepted');
});

test('generateTokens: an end token ends it and is not part of the output', async () => {
  const plain = await collect({});
  const end = plain.ids[4] ?? 0;
  const cut = plain.ids.indexOf(end);
  const ended = await collect({ endIds: new Set([end]), numDrafts: 2 });
  assert.deepEqual(ended.ids, plain.ids.slice(0, cut));
  assert.equal(ended.reason, 'end');
});

test('generateTokens: the context is a limit that is met exactly', async () => {
  const { ids, reason } = await collect({ maxContext: 9, numDrafts: 3, maxTokens: 100 });
  assert.equal(ids.length, 6);
  assert.equal(reason, 'length');
});

test('generateTokens: prompts without room or tokens are refused', async () => {
  await assert.rejects(collect({ promptIds: [] }), { code: 'generate.empty' });
  await assert.rejects(collect({ maxContext: 3 }), { code: 'generate.context' });
  await assert.rejects(collect({ maxTokens: 0 }), { code: 'generate.maxTokens' });
});

test('generateTokens: leaving the loop early gives the cache back', async () => {
  const cache = new BlockManager({ numBlocks: 4, blockSize: 4 });
  const request: GenerationRequest = {
    sequenceId: 9,
    promptIds: [1],
    maxTokens: 10,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    endIds: new Set(),
    numDrafts: 0,
    maxContext: 16,
  };
  for await (const token of generateTokens(markovExecutor(), cache, request)) {
    assert.ok(token.id >= 0);
    break;
  }
  assert.equal(cache.numFree, 4);
});
