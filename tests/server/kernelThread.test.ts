/**
 * A real model behind a real server, its kernels in a thread of their own: what it answers, and
 * what happens to requests and server when that thread dies.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ServingSettings } from '../../src/cli/serve/openServing.ts';
import { readServedModel } from '../../src/cli/serve/servedModel.ts';
import { ThreadEngineClient } from '../../src/cli/serve/threadEngineClient.ts';
import { machineClock } from '../../src/runtime/clock.ts';
import { createServer } from '../../src/server/http.ts';
import { DEFAULT_LIMITS, NO_KEY_LIMITS } from '../../src/server/limits.ts';
import { ChatTemplate } from '../../src/tokenizer/chatTemplate.ts';
import { goldenJson } from '../support/golden.ts';
import { lettersOf, writeLetterCheckpoint } from '../support/letterCheckpoint.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { until } from '../support/testServer.ts';

const LIMIT = { timeout: 60_000 };

interface GoldenRun {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
}

interface RealServer {
  readonly url: string;
  readonly engine: ThreadEngineClient;
  readonly crashes: string[];
  complete(prompt: string, more?: object): Promise<Response>;
}

async function realServer(context: TestContext): Promise<RealServer> {
  const path = writeLetterCheckpoint(temporaryFolder(context));
  const source = { kind: 'checkpoint', path } as const;
  const settings: ServingSettings = {
    ...{ source, kernels: null, threads: 1, maxContext: null, maxSequences: 4, tokenBudget: 64 },
    ...{ numBlocks: null, cacheBytes: null, cacheDType: 'f32', speculation: 'auto' },
    isDeterministic: false,
    streamSeconds: 0,
  };
  const crashes: string[] = [];
  const engine = new ThreadEngineClient({
    program: new URL('../../src/cli/serve/engineHost.ts', import.meta.url),
    workerData: settings,
    clock: machineClock,
    ...{ maxRestarts: 3, stableSeconds: 60, firstPauseSeconds: 0.1, hangSeconds: null },
    onNotice: () => {},
    onProgress: () => {},
    onReady: () => {},
    onCrash: ({ code, values }) => crashes.push(`${code} ${JSON.stringify(values ?? {})}`),
  });
  const { tokenizer, tokenizerConfig, defaults } = await readServedModel(source);
  const server = await createServer({
    engine,
    model: {
      ...{ modelId: 'letters', aliases: [], created: 1, maxChoices: 8, tokenizer, defaults },
      ...{ template: new ChatTemplate(tokenizerConfig), beginning: 'template' },
      logProbabilitiesOf: 'model',
    },
    ...{ version: '0', keys: [], adminKey: null, openLimits: NO_KEY_LIMITS },
    ...{ limits: DEFAULT_LIMITS, metricsAccess: 'public', metricsCompat: 'vllm' },
    ...{ expertMetrics: 'none', corsOrigins: 'none', keepAliveSeconds: 5, settings: {} },
    log: { write: () => {} },
    clock: machineClock,
  });
  context.after(async () => {
    await server.close();
    await engine.close();
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  await until(() => engine.state.kind === 'ready' || crashes.length > 0);
  assert.deepEqual(crashes, []);
  const complete = (prompt: string, more: object = {}): Promise<Response> =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, temperature: 0, ignore_eos: true, ...more }),
    });
  return { url, engine, crashes, complete };
}

test(
  'server: a model in its thread answers with golden text, also to many at once',
  LIMIT,
  async (context) => {
    const { complete } = await realServer(context);
    const { runs } = goldenJson('v3-tiny-trained/decode.json') as { runs: readonly GoldenRun[] };
    const answers = await Promise.all(
      runs.map(async ({ prompt, generated }) => {
        const response = await complete(lettersOf(prompt), { max_tokens: generated.length });
        return (await response.json()) as { choices: { text: string }[] };
      }),
    );
    assert.deepEqual(
      answers.map(({ choices }) => choices[0]?.text),
      runs.map(({ generated }) => lettersOf(generated)),
    );
  },
);

test(
  'server: when the kernel thread dies its requests fail within five seconds, and it comes back',
  LIMIT,
  async (context) => {
    const { url, engine, complete } = await realServer(context);
    // Choices enough to be under way when the thread dies.
    const more = { n: 8, max_tokens: 60, temperature: 1 };
    const streamed = complete('abc', { ...more, stream: true }).then((response) => response.text());
    const whole = complete('abd', more);
    await until(() => engine.stats.generatedTokens > 0);
    const diedAt = performance.now();
    engine.restart();
    assert.equal((await fetch(`${url}/health`)).status, 503);
    assert.equal((await complete('abc')).status, 503);
    const failed = await whole;
    assert.equal(failed.status, 503);
    const { error } = (await failed.json()) as { error: { code: string } };
    assert.equal(error.code, 'engine_crashed');
    assert.match(await streamed, /"code":"engine_crashed"/);
    assert.ok(performance.now() - diedAt < 5000);
    await until(() => engine.state.kind === 'ready');
    assert.equal((await fetch(`${url}/health`)).status, 200);
    assert.equal((await complete('abc', { max_tokens: 5 })).status, 200);
  },
);
