/** What an engine tells of its requests afterwards: when each waited, began, spoke and ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../src/base/clock.ts';
import type { RequestTimes } from '../../src/serving/engineClient.ts';
import {
  engineOn,
  engineRequest,
  finish,
  Listener,
  localExecutor,
  VOCABULARY,
} from '../support/engineWorld.ts';

const executor = await localExecutor();

/** An engine whose every step takes a second. */
function clockedEngine(maxSequences = 8) {
  const clock = new ManualClock();
  const slow = {
    run: async (programs: Parameters<typeof executor.run>[0]) => {
      clock.advance(1);
      return executor.run(programs);
    },
  };
  return { clock, ...engineOn(slow, { clock, maxSequences }) };
}

async function timesOf(engine: {
  lookInside(): Promise<{ requests: readonly RequestTimes[] }>;
}): Promise<readonly RequestTimes[]> {
  return (await engine.lookInside()).requests;
}

test('RequestTimes: a request that waits for another, second by second', async () => {
  const { engine, clock } = clockedEngine(1);
  const listener = new Listener();
  engine.add(engineRequest('first', [1, 2, 3], { maxTokens: 3 }));
  clock.advance(0.5);
  engine.add(engineRequest('second', [4, 5], { maxTokens: 2 }));
  const waiting = await timesOf(engine);
  assert.deepEqual(
    waiting.map(({ arrived, started, ended, reason }) => ({ arrived, started, ended, reason })),
    [0, 0.5].map((arrived) => ({ arrived, started: null, ended: null, reason: null })),
  );
  assert.equal(waiting[1]?.usage.queueSeconds, 0);
  listener.hear(await engine.step());
  const [first] = await timesOf(engine);
  // The step began at half past and took a second, at the end of which there was a token.
  assert.deepEqual(
    [first?.started, first?.firstToken, first?.ended, first?.usage.completionTokens],
    [0.5, 1.5, null, 1],
  );
  await finish(engine, listener);
  const ended = await timesOf(engine);
  assert.deepEqual(
    ended.map(({ requestId, started, firstToken, ended: end, reason }) => {
      return [requestId, started, firstToken, end, reason];
    }),
    [
      ['first', 0.5, 1.5, 3.5, 'length'],
      ['second', 3.5, 4.5, 5.5, 'length'],
    ],
  );
});

test('RequestTimes: in any company in order, and the same as the end that was told', async () => {
  const request = fc.record({
    prompt: fc.array(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 20 }),
    maxTokens: fc.integer({ min: 1, max: 6 }),
    abortAt: fc.option(fc.nat(8)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 6 }), async (requests) => {
      const { engine } = clockedEngine(2);
      const listener = new Listener();
      for (const [i, { prompt, maxTokens }] of requests.entries()) {
        engine.add(engineRequest(`${i}`, prompt, { maxTokens }));
      }
      await finish(engine, listener, (step) => {
        for (const [i, { abortAt }] of requests.entries()) {
          if (abortAt === step) engine.abort(`${i}`);
        }
      });
      const told = await timesOf(engine);
      assert.deepEqual(
        told.map(({ requestId }) => requestId),
        requests.map((_, i) => `${i}`),
      );
      for (const { requestId, arrived, started, firstToken, ended, reason, usage } of told) {
        const { end } = listener.of(requestId);
        assert.deepEqual([reason, usage], [end?.reason, end?.usage]);
        assert.ok(ended !== null);
        const borders = [arrived, started ?? ended, firstToken ?? ended, ended];
        assert.deepEqual(
          borders,
          borders.toSorted((a, b) => a - b),
        );
        const [wait = 0, prefill = 0, decode = 0] = borders.map((each, i) => {
          return (borders[i + 1] ?? each) - each;
        });
        assert.deepEqual(
          [usage.queueSeconds, usage.prefillSeconds, usage.decodeSeconds],
          [wait, prefill, decode],
        );
      }
    }),
    { numRuns: 12 },
  );
});

test('RequestTimes: of those that ended the last 128 are kept, of those under way all', async () => {
  const { engine } = clockedEngine();
  const listener = new Listener();
  for (let i = 0; i < 140; i++)
    engine.add(engineRequest(`${i}`, [i % VOCABULARY], { maxTokens: 1 }));
  assert.equal((await timesOf(engine)).length, 140);
  await finish(engine, listener);
  const kept = await timesOf(engine);
  assert.deepEqual(
    kept.map(({ requestId }) => requestId),
    Array.from({ length: 128 }, (_, i) => `${i + 12}`),
  );
});
