/**
 * An answer from a running server, over the OpenAI protocol.
 *
 * Thinking comes before the answer and is not kept in the conversation, as the models' templates
 * want it. On a terminal it is shown dim as it comes; elsewhere it is folded into one line.
 */
import { MoebiusError } from '../../base/errors.ts';
import { formatPercent } from '../../base/units.ts';
import { machineClock } from '../../runtime/clock.ts';
import type { ChatMessage } from '../../tokenizer/chatTemplate.ts';
import { type StreamDelta, type StreamUsage, streamEvents } from '../client/completionStream.ts';
import { type ServedModel, servedModel, serverUrl } from '../client/servedModel.ts';
import { describeError, print } from '../output.ts';

export interface RemoteOptions {
  readonly url: string;
  readonly apiKey?: string;
  readonly name?: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topP?: number;
}

export interface RemoteServer {
  readonly url: URL;
  readonly model: ServedModel;
}

/** @throws client.*, when there is no server or no model */
export async function openRemote(options: RemoteOptions): Promise<RemoteServer> {
  const model = await servedModel({ ...options, url: serverUrl(options.url) });
  return { url: new URL('v1/chat/completions', model.base), model };
}

/** @returns the answer, or null where the server gave none: the conversation goes on */
export async function remoteReply(
  { url, model }: RemoteServer,
  options: RemoteOptions,
  asked: { messages: readonly ChatMessage[]; seed: number; signal: AbortSignal },
): Promise<string | null> {
  const { maxTokens, temperature, topP } = options;
  const body = JSON.stringify({
    model: model.name,
    messages: asked.messages,
    max_tokens: maxTokens,
    temperature,
    ...(topP === undefined ? {} : { top_p: topP }),
    seed: asked.seed,
    stream: true,
    stream_options: { include_usage: true },
  });
  const screen = new AnswerScreen();
  let usage: StreamUsage | null = null;
  let firstAt: number | null = null;
  const { apiKey } = options;
  try {
    await streamEvents({ url, body, apiKey, signal: asked.signal }, (event, at) => {
      usage = event.usage ?? usage;
      const delta = event.choices?.[0]?.delta;
      if (delta == null) return;
      firstAt ??= at;
      screen.show(delta);
    });
  } catch (error) {
    screen.end();
    if (asked.signal.aborted) print('\n[stopped]');
    else if (error instanceof MoebiusError) print(`\n${describeError(error)}`);
    else throw error;
    return asked.signal.aborted ? screen.answer : null;
  }
  screen.end();
  print(`\n[${costOf(usage, machineClock.now() - (firstAt ?? machineClock.now()))}]`);
  return screen.answer;
}

const [DIM, PLAIN] = ['\u001b[2m', '\u001b[22m'];

/** Keeps the answer, and shows thinking apart from it. */
class AnswerScreen {
  readonly #isTerminal = process.stdout.isTTY === true;
  #thought = 0;
  #isThinking = false;
  #answer = '';

  get answer(): string {
    return this.#answer;
  }

  show({ content, reasoning_content, reasoning }: StreamDelta): void {
    const thought = reasoning_content ?? reasoning ?? '';
    if (thought !== '') {
      if (!this.#isThinking && this.#isTerminal) process.stdout.write(DIM);
      this.#isThinking = true;
      this.#thought += thought.length;
      if (this.#isTerminal) process.stdout.write(thought);
    }
    if (!content) return;
    this.end();
    this.#answer += content;
    process.stdout.write(content);
  }

  /** Of the thinking, if it still goes on. */
  end(): void {
    if (!this.#isThinking) return;
    this.#isThinking = false;
    const folded = `[thought: ${this.#thought} characters]\n`;
    process.stdout.write(this.#isTerminal ? `${PLAIN}\n` : folded);
  }
}

function costOf(usage: StreamUsage | null, seconds: number): string {
  const tokens = usage?.completion_tokens ?? 0;
  const details = usage?.completion_tokens_details ?? {};
  const { accepted_prediction_tokens: accepted = 0, rejected_prediction_tokens: no = 0 } = details;
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const parts = [`${tokens} tokens`, `${(tokens / Math.max(seconds, 1e-3)).toFixed(1)}/s`];
  if (accepted + no > 0) parts.push(`${formatPercent(accepted / (accepted + no))} of drafts`);
  if (cached > 0) parts.push(`${cached} of ${usage?.prompt_tokens ?? 0} prompt tokens cached`);
  return parts.join(', ');
}
