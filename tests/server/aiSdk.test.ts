/**
 * Vercel's `ai`, version 7, by its two providers that speak to servers like ours: the generic one
 * and DeepSeek's, which asks without `/v1`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeepSeek } from '@ai-sdk/deepseek';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  generateObject,
  generateText,
  type LanguageModel,
  streamText,
  tool,
} from 'ai';
import { z } from 'zod';
import { at } from '../../src/base/assert.ts';
import { getJson } from '../../src/cli/client/completionStream.ts';
import { liveServer, settledState } from '../support/liveServer.ts';

// It warns of every setting that a provider leaves out.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

const server = liveServer();

async function modelId(): Promise<string> {
  const { data } = (await getJson(new URL('/v1/models', server.url))) as { data: { id: string }[] };
  return at(data, 0).id;
}

async function models(): Promise<readonly (readonly [name: string, model: LanguageModel])[]> {
  const id = await modelId();
  const generic = createOpenAICompatible({
    name: 'moebius',
    baseURL: `${server.origin}/v1`,
    apiKey: 'any',
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const deepseek = createDeepSeek({ baseURL: server.origin, apiKey: 'any' });
  return [
    ['openai-compatible', generic(id)],
    ['deepseek', deepseek(id)],
  ];
}

const common = { prompt: 'hello', maxOutputTokens: 24, temperature: 0, seed: 1, maxRetries: 0 };

test('ai: streamed text equals the whole one, and usage is there, by both providers', async () => {
  for (const [name, model] of await models()) {
    const whole = await generateText({ model, ...common });
    assert.equal(whole.finishReason, 'length', name);
    assert.equal(whole.usage.outputTokens, 24, name);
    const stream = streamText({ model, ...common });
    let text = '';
    for await (const part of stream.textStream) text += part;
    assert.equal(text, whole.text, name);
    assert.equal((await stream.usage).outputTokens, 24, name);
  }
});

test('ai: thinking is reasoning text, whole and streamed, by both providers', async () => {
  for (const [name, model] of await models()) {
    const options = { model, ...common, providerOptions: thinkingOptions(name) };
    const whole = await generateText({ ...options, maxOutputTokens: 60 });
    assert.ok((whole.reasoningText ?? '').length > 0, name);
    const stream = streamText({ ...options, maxOutputTokens: 60 });
    let reasoning = '';
    for await (const part of stream.fullStream) {
      if (part.type === 'reasoning-delta') reasoning += part.text;
      if (part.type === 'error') throw part.error;
    }
    // DeepSeek's provider drops temperature and seed of a model that thinks.
    if (name === 'deepseek') assert.ok(reasoning.length > 0);
    else assert.equal(reasoning, whole.reasoningText);
  }
});

function thinkingOptions(provider: string): Record<string, Record<string, never>> {
  const wish = { thinking: { type: 'enabled', budget_tokens: 10 } };
  const own = provider === 'deepseek' ? { thinking: { type: 'enabled' } } : wish;
  const name = provider === 'deepseek' ? 'deepseek' : 'moebius';
  return { [name]: own } as unknown as Record<string, Record<string, never>>;
}

test('ai: a required tool is called with arguments of its schema, and its result goes back', async () => {
  for (const [name, model] of await models()) {
    const asked: string[] = [];
    const weather = tool({
      description: 'of a city',
      inputSchema: z.object({ city: z.enum(['Hangzhou', 'Delft']) }),
      execute: async ({ city }: { city: string }) => {
        asked.push(city);
        return 'sunny';
      },
    });
    const options = { model, ...common, maxOutputTokens: 400, tools: { weather } };
    const { toolCalls, toolResults, response } = await generateText({
      ...options,
      toolChoice: 'required',
    });
    assert.ok(toolCalls.length > 0 && asked.length === toolCalls.length, name);
    assert.match(at(asked, 0), /^(Hangzhou|Delft)$/, name);
    assert.equal(at(toolResults, 0).output, 'sunny', name);
    const { prompt: _, ...rest } = options;
    const messages = [{ role: 'user' as const, content: 'hello' }, ...response.messages];
    const next = await generateText({ ...rest, messages, maxOutputTokens: 8, toolChoice: 'none' });
    assert.equal(next.finishReason, 'length', name);
  }
});

test('ai: generateObject gives an object of its zod schema', async () => {
  const schema = z.object({ answer: z.enum(['yes', 'no']), many: z.boolean() });
  const [, model] = at(await models(), 0);
  const { object } = await generateObject({ model, schema, ...common, maxOutputTokens: 300 });
  assert.ok(schema.safeParse(object).success);
});

test('ai: an aborted stream leaves nothing running', async () => {
  const before = await settledState(server.url);
  for (const [, model] of await models()) {
    const abort = new AbortController();
    const stream = streamText({
      ...{ model, ...common, maxOutputTokens: 3000 },
      abortSignal: abort.signal,
    });
    let parts = 0;
    for await (const part of stream.fullStream) {
      if (part.type === 'text-delta' && ++parts === 3) abort.abort();
    }
    assert.ok(parts < 200, `${parts} parts`);
  }
  const { running, waiting, open, usedBlocks } = await settledState(server.url);
  assert.deepEqual([running, waiting, open], [0, 0, 0]);
  assert.equal(usedBlocks, before.usedBlocks);
});

test('ai: a refusal is an APICallError with status and message, and is not tried again', async () => {
  for (const [name, model] of await models()) {
    const call = generateText({ model, ...common, temperature: 9 });
    await assert.rejects(call, (error) => {
      assert.ok(APICallError.isInstance(error), `${name}: ${error}`);
      assert.equal(error.statusCode, 400, name);
      assert.equal(error.isRetryable, false, name);
      assert.match(error.message, /temperature/, name);
      return true;
    });
  }
});
