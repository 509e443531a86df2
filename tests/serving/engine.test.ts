/**
 * The engine on the golden checkpoint: batches, chunks, prefixes, preemption, drafts and aborts
 * change when tokens come and never which.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../../src/base/errors.ts';
import type { ServingExecutor } from '../../src/executor/executor.ts';
import { readJson } from '../../src/runtime/openModel.ts';
import type { EngineRequest } from '../../src/serving/engineClient.ts';
import {
  engineOn,
  engineRequest,
  engineWorld,
  finish,
  GREEDY,
  Listener,
  localExecutor,
  spell,
  VOCABULARY,
} from '../support/engineWorld.ts';

interface Decode {
  readonly prompt: number[];
  readonly generated: number[];
}

async function golden(): Promise<Decode> {
  const path = new URL('../golden/v3-tiny-trained/decode.json', import.meta.url).pathname;
  const { runs } = (await readJson(path)) as { runs: Decode[] };
  assert.ok(runs[0] !== undefined);
  return runs[0];
}

const executor: ServingExecutor = await localExecutor();

/** What a request gives when it is alone, unchunked, without drafts. */
async function alone(request: EngineRequest): Promise<{ text: string; ids: number[] }> {
  const { engine } = engineOn(executor, { tokenBudget: 64 });
  const listener = new Listener();
  engine.add({ ...request, numDrafts: 0 });
  await finish(engine, listener);
  const { text, tokens } = listener.of(request.requestId);
  return { text, ids: tokens.map(({ id }) => id) };
}

test('Engine: a greedy request gives the golden tokens, drafts or not, chunked or not', async () => {
  const { prompt, generated } = await golden();
  for (const numDrafts of [0, 1, 3]) {
    for (const tokenBudget of [3, 64]) {
      const { engine, info } = engineOn(executor, { numDrafts, tokenBudget });
      const listener = new Listener();
      engine.add(engineRequest('a', prompt, { maxTokens: generated.length }));
      await finish(engine, listener);
      const { text, end } = listener.of('a');
      assert.equal(text, spell(generated), `${numDrafts} drafts, ${tokenBudget} tokens a step`);
      assert.equal(end?.reason, 'length');
      assert.equal(end?.usage.completionTokens, generated.length);
      assert.equal((end?.usage.accepted ?? 0) > 0, numDrafts > 0);
      assert.equal(engine.stats.usedBlocks, 0);
      assert.ok(engine.stats.cachedBlocks <= info.numBlocks);
    }
  }
});

function promptOf(of: { beginning: number; numShared: number; rest: number[] }): number[] {
  const shared = Array.from(
    { length: of.numShared },
    (_, i) => (i * 5 + of.beginning) % VOCABULARY,
  );
  return [...shared, ...of.rest];
}

test('Engine: in any company every request gives what it gives alone', async () => {
  const request = fc.record({
    // Of two beginnings, so that prompts meet.
    beginning: fc.nat(1),
    numShared: fc.nat(20),
    rest: fc.array(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 8 }),
    maxTokens: fc.integer({ min: 1, max: 24 }),
    seed: fc.nat(5),
    temperature: fc.constantFrom(0, 0.7, 1.3),
    numDrafts: fc.constantFrom('auto' as const, 0, 1, 2),
    priority: fc.nat(1),
    after: fc.nat(3),
  });
  let [preemptions, hits, accepted] = [0, 0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 4, max: 20 }),
      async (requests, tokenBudget) => {
        const options = { numBlocks: 17, maxSequences: 4, tokenBudget, numDrafts: 1 };
        const { engine } = engineOn(executor, options);
        const listener = new Listener();
        const all = requests.map(({ seed, temperature, ...more }, i) =>
          engineRequest(`r${i}`, promptOf(more), {
            ...{ maxTokens: more.maxTokens, numDrafts: more.numDrafts, priority: more.priority },
            sampling: { ...GREEDY, temperature, seed },
          }),
        );
        let [next, wait] = [0, 0];
        const feed = (): void => {
          while (next < all.length && wait-- <= 0) {
            engine.add(all[next] as EngineRequest);
            wait = requests[next]?.after ?? 0;
            next++;
          }
        };
        feed();
        while (next < all.length) {
          await finish(engine, listener, feed);
        }
        await finish(engine, listener, feed);
        for (const each of all) {
          const { text, ids } = await alone(each);
          const told = listener.of(each.requestId);
          assert.equal(told.text, text);
          assert.deepEqual(
            told.tokens.map(({ id }) => id),
            ids,
          );
        }
        const { stats } = engine;
        assert.equal(stats.usedBlocks + stats.running + stats.waiting, 0);
        preemptions += stats.preemptions;
        hits += stats.prefixHitTokens;
        accepted += stats.accepted;
      },
    ),
    { numRuns: 25, endOnFailure: true },
  );
  assert.ok(preemptions > 0 && hits > 0 && accepted > 0, `${[preemptions, hits, accepted]}`);
});

test('Engine: cached tokens are what was not run again, and their text is the same', async () => {
  const { prompt, generated } = await golden();
  const { engine } = engineOn(executor, { numDrafts: 1 });
  const listener = new Listener();
  engine.add(engineRequest('first', prompt, { maxTokens: 20 }));
  await finish(engine, listener);
  const grown = [...prompt, ...generated.slice(0, 10)];
  engine.add(engineRequest('second', grown, { maxTokens: 10 }));
  engine.add(engineRequest('salted', grown, { maxTokens: 10, cacheSalt: 'other' }));
  await finish(engine, listener);
  const expected = Math.floor((grown.length - 1) / 4) * 4;
  assert.equal(listener.of('second').end?.usage.cachedTokens, expected);
  assert.equal(listener.of('salted').end?.usage.cachedTokens, 0);
  assert.equal(listener.of('second').text, spell(generated.slice(10, 20)));
  assert.equal(listener.of('salted').text, spell(generated.slice(10, 20)));
  assert.ok(engine.flushCache() > 0);
  assert.equal(engine.stats.cachedBlocks, 0);
});

test('Engine: an abort ends a request with the next step and frees its blocks', async () => {
  const { prompt } = await golden();
  const { engine } = engineOn(executor, { maxSequences: 1 });
  const listener = new Listener();
  engine.add(engineRequest('runs', prompt, { maxTokens: 30 }));
  engine.add(engineRequest('waits', prompt, { maxTokens: 30 }));
  for (let i = 0; i < 4; i++) listener.hear(await engine.step());
  engine.abort('runs');
  engine.abort('waits');
  engine.abort('nobody');
  assert.equal(engine.stats.usedBlocks, 0);
  listener.hear(await engine.step());
  assert.ok(engine.isIdle);
  assert.equal(listener.of('runs').end?.reason, 'abort');
  assert.equal(listener.of('waits').end?.reason, 'abort');
  assert.equal(listener.of('waits').end?.usage.completionTokens, 0);
});

test('Engine: what is wrong with a request comes as its end, with a code', async () => {
  const { engine } = await engineWorld();
  const listener = new Listener();
  const wrong: [string, EngineRequest][] = [
    ['generate.empty', engineRequest('1', [])],
    ['generate.context', engineRequest('2', new Array<number>(64).fill(1))],
    ['generate.maxTokens', engineRequest('3', [1], { maxTokens: 0 })],
    ['input.tokenOutOfRange', engineRequest('4', [24])],
    ['engine.request', engineRequest('5', [1], { numDrafts: 9 })],
    ['engine.request', engineRequest('6', [1], { minTokens: 13 })],
    ['engine.request', engineRequest('7', [1], { logProbabilities: { of: 'model', numTop: 21 } })],
  ];
  for (const [, request] of wrong) engine.add(request);
  await finish(engine, listener);
  for (const [code, { requestId }] of wrong) {
    const { end } = listener.of(requestId);
    assert.equal(end?.reason, 'error');
    assert.equal(end?.error?.code, code);
  }
});

test('Engine: a token that the tokenizer lacks ends its own request and no other', async () => {
  const { prompt, generated } = await golden();
  const strange = generated[3] ?? 0;
  const refuse = (id: number): Uint8Array => {
    if (id !== strange) return new Uint8Array([97 + id]);
    throw new MoebiusError('tokenizer.unknownId', `no token has the id ${id}`);
  };
  const tokenBytes = { tokenBytes: refuse, addedToken: () => undefined };
  const { engine } = engineOn(executor, { tokenBytes });
  const listener = new Listener();
  engine.add(engineRequest('meets it', prompt));
  const logitBias = [{ id: strange, bias: -100 }];
  engine.add(engineRequest('avoids it', prompt, { logitBias, maxTokens: 20 }));
  await finish(engine, listener);
  const { end, text } = listener.of('meets it');
  assert.equal(end?.error?.code, 'tokenizer.unknownId');
  assert.equal(text, spell(generated.slice(0, 3)));
  assert.equal(listener.of('avoids it').end?.reason, 'length');
  assert.equal(engine.stats.usedBlocks, 0);
});
