/** The kernel thread's loop, in this thread: how often it tells of a text that is under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { runEngineLoop } from '../../src/cli/serve/engineLoop.ts';
import type { FromEngine, ToEngine } from '../../src/cli/serve/engineMessages.ts';
import type { EngineEvent, EngineRequest } from '../../src/serving/engineClient.ts';
import { markovEngine } from '../support/markovEngine.ts';

const REQUEST: EngineRequest = {
  requestId: 'one',
  promptIds: Int32Array.of(65, 66, 67),
  maxTokens: 30,
  ignoresEnd: true,
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 1 },
};

/** Messages of a text of 30 tokens, 3 ms each, so that several turns of the loop fall into it. */
async function messagesOf(streamSeconds: number): Promise<readonly FromEngine[]> {
  const { port1, port2 } = new MessageChannel();
  const messages: FromEngine[] = [];
  const tell = (message: ToEngine): void => port2.postMessage(message);
  port2.on('message', (message: FromEngine) => {
    messages.push(message);
    if (eventsOf([message]).some(({ end }) => end !== undefined)) tell({ kind: 'close' });
  });
  tell({ kind: 'submit', request: REQUEST });
  await runEngineLoop(markovEngine({ stepMs: 3 }), port1, streamSeconds);
  port1.close();
  return messages;
}

function eventsOf(messages: readonly FromEngine[]): readonly EngineEvent[] {
  return messages.flatMap((message) => (message.kind === 'step' ? message.events : []));
}

function tokensIn(messages: readonly FromEngine[]): number[] {
  return eventsOf(messages).flatMap(({ tokens }) => (tokens.length === 0 ? [] : [tokens.length]));
}

test('engine loop: between first token and end a text is told of no more often than asked', async () => {
  const every = await messagesOf(0);
  const rarely = await messagesOf(3600);
  assert.ok(tokensIn(every).length > 10, 'a step decides two tokens at most');
  assert.equal(tokensIn(rarely).length, 2, 'its first tokens, and all others with the end');
  const textOf = (messages: readonly FromEngine[]): string =>
    eventsOf(messages)
      .map(({ text }) => text)
      .join('');
  assert.equal(textOf(rarely), textOf(every));
  // Whoever watches for a thread that hangs hears of it all the same.
  const heard = rarely.filter((message) => message.kind === 'step' && message.events.length === 0);
  assert.ok(heard.length > 0);
});
