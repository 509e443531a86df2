/**
 * A kernel thread that dies under load, behind real HTTP: everything that was under way fails with
 * a typed error within five seconds, and the server answers again. The engine's own thread, client
 * and server are the real ones; its model is a chain of letters, which dies of a poison.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { ThreadEngineClient } from '../../src/cli/serve/threadEngineClient.ts';
import { machineClock } from '../../src/runtime/clock.ts';
import { createServer } from '../../src/server/http.ts';
import { DEFAULT_LIMITS, NO_KEY_LIMITS } from '../../src/server/limits.ts';
import { silentLog } from '../../src/server/requestLog.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { ChatTemplate } from '../../src/tokenizer/chatTemplate.ts';
import type { MarkovEngineOptions } from '../support/markovEngine.ts';

const POISON = 'arsenic';
/** A thread that never comes back must not hold up everything else. */
const LIMIT = { timeout: 60_000 };

async function startServer(
  context: TestContext,
  does: 'throw' | 'exit',
): Promise<{ origin: string; engine: ThreadEngineClient }> {
  const workerData: MarkovEngineOptions = {
    stepMs: 5,
    maxSequences: 64,
    numBlocks: 4096,
    poison: { text: POISON, does },
  };
  const engine = new ThreadEngineClient({
    program: new URL('../support/markovHost.ts', import.meta.url),
    workerData,
    clock: machineClock,
    ...{ maxRestarts: 5, stableSeconds: 60, firstPauseSeconds: 0.01, hangSeconds: null },
    onNotice: () => {},
    onProgress: () => {},
    onCrash: () => {},
    onReady: () => {},
  });
  const generation = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };
  const server = await createServer({
    engine,
    model: {
      ...{ modelId: 'letters', aliases: [], created: 0, tokenizer: byteTokenizer() },
      ...{ template: new ChatTemplate(), defaults: generation, logProbabilitiesOf: 'model' },
      ...{ beginning: 'template', maxChoices: 8 },
    },
    ...{ version: '0', keys: [], adminKey: null, openLimits: NO_KEY_LIMITS },
    limits: DEFAULT_LIMITS,
    ...{ metricsAccess: 'public', metricsCompat: 'none', expertMetrics: 'none' },
    ...{ corsOrigins: 'none', keepAliveSeconds: 10, log: silentLog, clock: machineClock },
    settings: {},
  });
  const origin = await server.listen({ host: '127.0.0.1', port: 0 });
  context.after(async () => {
    await server.close();
    await engine.close();
  });
  await isReady(origin);
  return { origin, engine };
}

async function isReady(origin: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    const { status } = await fetch(`${origin}/ready`);
    if (status === 200) return;
    await setTimeout(20);
  }
  assert.fail('the server does not become ready');
}

interface Ended {
  readonly status: number;
  readonly text: string;
  readonly seconds: number;
}

async function ask(origin: string, body: object): Promise<Ended> {
  const start = performance.now();
  const response = await fetch(`${origin}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, text, seconds: (performance.now() - start) / 1e3 };
}

for (const does of ['throw', 'exit'] as const) {
  test(
    `serve: a kernel thread that ends by ${does} fails what runs, and comes back`,
    LIMIT,
    async (context) => {
      const { origin, engine } = await startServer(context, does);
      const forever = { prompt: 'a', max_tokens: 3000, ignore_eos: true };
      const asked = Array.from({ length: 40 }, (_, i) =>
        ask(origin, { ...forever, seed: i, stream: i % 2 === 0 }),
      );
      while (engine.stats.running < 40) await setTimeout(10);
      const diedAt = performance.now();
      const poison = ask(origin, { prompt: POISON, max_tokens: 4 });
      for (const { status, text } of await Promise.all([...asked, poison])) {
        assert.ok(status === 200 || status === 503, `${status} ${text.slice(0, 200)}`);
        assert.match(text, /"code":"engine_crashed"/, text.slice(-300));
      }
      const seconds = (performance.now() - diedAt) / 1e3;
      assert.ok(seconds < 5, `${seconds} s`);
      await isReady(origin);
      const { status, text } = await ask(origin, { prompt: 'a', max_tokens: 5, temperature: 0 });
      assert.equal(status, 200, text);
      const { running, waiting, usedBlocks } = engine.stats;
      assert.deepEqual([running, waiting, usedBlocks], [0, 0, 0]);
    },
  );
}
