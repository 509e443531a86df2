/** An engine in a thread of its own: it answers, aborts, dies, is started again, and given up. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  type RestartPlan,
  ThreadEngineClient,
  type ThreadEngineOptions,
} from '../../src/cli/serve/threadEngineClient.ts';
import { machineClock } from '../../src/runtime/clock.ts';
import type { EngineEvent, EngineFailure, EngineRequest } from '../../src/serving/engineClient.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import type { MarkovEngineOptions } from '../support/markovEngine.ts';

/** A thread that never comes back must not hold up everything else. */
const LIMIT = { timeout: 30_000 };
const tokenizer = byteTokenizer();

interface Started {
  readonly client: ThreadEngineClient;
  readonly crashes: { readonly error: EngineFailure; readonly plan: RestartPlan }[];
  /** Resolves with each time that it becomes ready. */
  readonly ready: (times: number) => Promise<void>;
}

function start(
  context: TestContext,
  engine: MarkovEngineOptions,
  options: Partial<ThreadEngineOptions> = {},
): Started {
  const signal = new EventTarget();
  let numReady = 0;
  const crashes: { error: EngineFailure; plan: RestartPlan }[] = [];
  const client = new ThreadEngineClient({
    program: new URL('../support/markovHost.ts', import.meta.url),
    workerData: engine,
    clock: machineClock,
    ...{ maxRestarts: 2, stableSeconds: 60, firstPauseSeconds: 0.01, hangSeconds: null },
    onNotice: () => {},
    onProgress: () => {},
    onCrash: (error, plan) => {
      crashes.push({ error, plan });
      signal.dispatchEvent(new Event('change'));
    },
    onReady: () => {
      numReady++;
      signal.dispatchEvent(new Event('change'));
    },
    ...options,
  });
  context.after(() => client.close());
  const ready = async (times: number): Promise<void> => {
    while (numReady < times) await once(signal, 'change');
  };
  return { client, crashes, ready };
}

function request(requestId: string, prompt: string, maxTokens = 20): EngineRequest {
  return {
    ...{ requestId, promptIds: tokenizer.encode(prompt), maxTokens },
    sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 },
  };
}

/** All events of one request. */
function run(client: ThreadEngineClient, asked: EngineRequest): Promise<readonly EngineEvent[]> {
  return new Promise((resolve) => {
    const events: EngineEvent[] = [];
    client.submit(asked, (event) => {
      events.push(event);
      if (event.end !== undefined) resolve(events);
    });
  });
}

function textOf(events: readonly EngineEvent[]): string {
  return events.map(({ text }) => text).join('');
}

test(
  'ThreadEngineClient: a request gives the same text alone and among others',
  LIMIT,
  async (context) => {
    const { client, ready } = start(context, {});
    await ready(1);
    const alone = await run(client, request('a', 'once upon a time'));
    assert.equal(alone.at(-1)?.end?.reason, 'length');
    assert.equal(alone.at(-1)?.end?.usage.completionTokens, 20);
    const others = Array.from({ length: 6 }, (_, i) => run(client, request(`o${i}`, `other ${i}`)));
    const among = await run(client, request('b', 'once upon a time'));
    assert.equal(textOf(among), textOf(alone));
    await Promise.all(others);
    assert.equal(client.stats.running, 0);
  },
);

test('ThreadEngineClient: an abort ends a request within a step', LIMIT, async (context) => {
  const { client, ready } = start(context, { stepMs: 2 });
  await ready(1);
  const events: EngineEvent[] = [];
  const end = await new Promise<EngineEvent>((resolve) => {
    client.submit(request('a', 'go on', 2000), (event) => {
      events.push(event);
      if (events.length === 3) client.abort('a');
      if (event.end !== undefined) resolve(event);
    });
  });
  assert.equal(end.end?.reason, 'abort');
  // Steps that ran until this thread had its turn are told still; the engine's own test counts the
  // one step exactly (tests/serving/engine.test.ts).
  assert.ok(events.length < 200, `${events.length} events of 2,000`);
});

test('ThreadEngineClient: loads are counted and given, caches flushed', LIMIT, async (context) => {
  const { client, ready } = start(context, {});
  await ready(1);
  await run(client, request('a', 'a prompt of more than one block of sixteen tokens'));
  const { layers } = await client.expertLoads('reset');
  const sum = layers[0]?.tokensPerExpert.reduce((total, count) => total + count, 0) ?? 0;
  assert.ok(sum >= 49 + 19, `${sum} tokens`);
  assert.ok((await client.flushCache()) > 0);
  assert.equal(await client.flushCache(), 0);
});

for (const does of ['throw', 'exit'] as const) {
  test(
    `ThreadEngineClient: a thread that dies (${does}) fails its requests and comes back`,
    LIMIT,
    async (context) => {
      const poison = { text: 'poison', does };
      const { client, crashes, ready } = start(context, { stepMs: 2, poison });
      await ready(1);
      const longOne = run(client, request('long', 'go on', 3000));
      while (client.stats.running === 0) await setTimeout(5);
      const poisoned = await run(client, request('bad', 'this is poison'));
      for (const events of [poisoned, await longOne]) {
        const { reason, error } = events.at(-1)?.end ?? {};
        assert.equal(reason, 'error');
        assert.equal(error?.code, 'engine.crashed');
      }
      assert.equal(client.state.kind, 'starting');
      assert.equal(crashes[0]?.plan.attempt, 1);
      assert.equal(crashes[0]?.plan.failedRequests, 2);
      const early = await run(client, request('early', 'hello'));
      assert.equal(early.at(-1)?.end?.error?.code, 'engine.starting');
      await ready(2);
      assert.equal((await run(client, request('again', 'hello'))).at(-1)?.end?.reason, 'length');
    },
  );
}

test('ThreadEngineClient: a thread that hangs is replaced', LIMIT, async (context) => {
  const poison = { text: 'poison', does: 'hang' } as const;
  const { client, crashes, ready } = start(context, { poison }, { hangSeconds: 1 });
  await ready(1);
  const events = await run(client, request('bad', 'this is poison'));
  assert.equal(events.at(-1)?.end?.error?.code, 'engine.crashed');
  assert.equal(crashes[0]?.error.code, 'engine.hung');
  await ready(2);
  assert.equal((await run(client, request('again', 'hello'))).at(-1)?.end?.reason, 'length');
});

test('ThreadEngineClient: a thread that keeps dying is given up', LIMIT, async (context) => {
  const poison = { text: 'poison', does: 'throw' } as const;
  const { client, crashes, ready } = start(context, { poison });
  for (let times = 1; times <= 3; times++) {
    await ready(times);
    await run(client, request(`bad${times}`, 'this is poison'));
  }
  assert.deepEqual(
    crashes.map(({ plan }) => plan.attempt),
    [1, 2, null],
  );
  assert.equal(client.state.kind, 'failed');
  const refused = await run(client, request('late', 'hello'));
  assert.equal(refused.at(-1)?.end?.error?.code, 'engine.crashed');
  await assert.rejects(client.flushCache(), { code: 'engine.crashed' });
});

test(
  'ThreadEngineClient: what is read on behind readiness takes none of it back',
  LIMIT,
  async (context) => {
    const progress = Promise.withResolvers<readonly number[]>();
    const onProgress = (done: number, total: number): void => progress.resolve([done, total]);
    const { client, ready } = start(context, {}, { onProgress });
    await ready(1);
    assert.deepEqual(await progress.promise, [1, 2]);
    assert.deepEqual(client.state, { kind: 'ready' });
    const events = await run(client, request('late', 'hello'));
    assert.equal(events.at(-1)?.end?.reason, 'length');
    assert.deepEqual(client.state, { kind: 'ready' });
  },
);
