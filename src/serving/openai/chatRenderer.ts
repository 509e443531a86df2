/** `/v1/chat/completions`: the response, and its chunks, from one state. */
import type { EngineEvent, EngineToken } from '../engineClient.ts';
import {
  CallState,
  type CallStateOptions,
  callObject,
  finishReason,
  type Output,
} from './callState.ts';
import type { Delta } from './choice.ts';
import { chatLogprobs, type DraftMarks, type TokenNames } from './logprobs.ts';
import type { ProtocolContext, ResponseRenderer, StreamChunk } from './protocol.ts';
import { errorBody, ProtocolError } from './protocolError.ts';

export interface ChatRendererOptions extends CallStateOptions {
  readonly id: string;
  /** Likeliest tokens shown beside each; null: no log probabilities. */
  readonly numTop: number | null;
  readonly tokenNames: TokenNames;
  readonly drafts: DraftMarks;
  /** Whether a last chunk tells what it cost. */
  readonly usage: 'none' | 'last';
  /** Whether thinking is shown. */
  readonly reasoning: 'shown' | 'hidden';
}

export class ChatRenderer implements ResponseRenderer {
  readonly #options: ChatRendererOptions;
  readonly #state: CallState;
  readonly #context: ProtocolContext;
  readonly #created: number;

  constructor(options: ChatRendererOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#created = Math.floor(options.context.now());
    this.#state = new CallState(options);
  }

  get isDone(): boolean {
    return this.#state.isDone;
  }

  get failure(): ProtocolError | null {
    return this.#state.failure;
  }

  begin(): readonly StreamChunk[] {
    return this.#state.outputs.map((output) =>
      this.#chunk(output, { role: 'assistant', content: '' }),
    );
  }

  onEvent(event: EngineEvent): readonly StreamChunk[] {
    const step = this.#state.push(event);
    if (step === null) return [];
    if (step instanceof ProtocolError) return [{ data: errorBody(step) }];
    const { output, deltas } = step;
    const chunks = deltas.flatMap((delta) => this.#delta(output, delta));
    if (event.end !== undefined) chunks.push(this.#last(output));
    if (this.isDone && this.#options.usage !== 'none') {
      const extra = { usage: this.#state.usage(), timings: this.#state.timings() };
      chunks.push({ data: { ...this.#frame('chat.completion.chunk'), choices: [], ...extra } });
    }
    return chunks;
  }

  body(): object {
    return {
      ...this.#frame('chat.completion'),
      choices: this.#state.outputs.map((output) => this.#choice(output)),
      usage: this.#state.usage(),
      timings: this.#state.timings(),
    };
  }

  #choice({ index, choice }: Output): object {
    const { content, reasoning, calls } = choice;
    return {
      index,
      message: {
        role: 'assistant',
        content: content === '' && calls.length > 0 ? null : content,
        refusal: null,
        ...this.#reasoning(reasoning),
        ...(calls.length === 0 ? {} : { tool_calls: calls.map(callObject) }),
      },
      logprobs: this.#logprobs(choice.contentShown, choice.reasoningShown),
      finish_reason: finishReason(choice),
      stop_reason: choice.end?.stop ?? null,
    };
  }

  #delta(output: Output, delta: Delta): StreamChunk[] {
    switch (delta.kind) {
      case 'content': {
        const logprobs = this.#logprobs(delta.tokens, []);
        return [this.#chunk(output, { content: delta.text }, { logprobs })];
      }
      case 'reasoning': {
        if (this.#options.reasoning === 'hidden') return [];
        const logprobs = this.#logprobs([], delta.tokens);
        return [this.#chunk(output, this.#reasoning(delta.text), { logprobs })];
      }
      case 'callBegin': {
        const { index, id, name } = delta.call;
        const call = { index, id, type: 'function', function: { name, arguments: '' } };
        return [this.#chunk(output, { tool_calls: [call] })];
      }
      case 'callArguments': {
        const call = { index: delta.call.index, function: { arguments: delta.text } };
        return [this.#chunk(output, { tool_calls: [call] })];
      }
      case 'callEnd':
        return [];
      default:
        return delta satisfies never;
    }
  }

  #last(output: Output): StreamChunk {
    return this.#chunk(
      output,
      {},
      { finish_reason: finishReason(output.choice), stop_reason: output.choice.end?.stop ?? null },
      // Who asked for no usage gets the timings here.
      this.#options.usage === 'none' && this.isDone ? { timings: this.#state.timings() } : {},
    );
  }

  #chunk(output: Output, delta: object, choice: object = {}, frame: object = {}): StreamChunk {
    const { usage } = this.#options;
    const all = { index: output.index, delta, logprobs: null, finish_reason: null, ...choice };
    return {
      data: {
        ...this.#frame('chat.completion.chunk'),
        choices: [all],
        ...(usage === 'none' ? {} : { usage: null }),
        ...frame,
      },
    };
  }

  #reasoning(text: string): object {
    if (text === '' || this.#options.reasoning === 'hidden') return {};
    return { reasoning_content: text, reasoning: text };
  }

  /** DeepSeek's form: thinking has a list of its own. */
  #logprobs(content: readonly EngineToken[], reasoning: readonly EngineToken[]): object | null {
    const { numTop, tokenNames: names, drafts } = this.#options;
    if (numTop === null) return null;
    const options = { tokenizer: this.#context.tokenizer, names, numTop, drafts };
    const isThinkingShown = this.#options.reasoning === 'shown' && reasoning.length > 0;
    return {
      content: chatLogprobs(content, options),
      ...(isThinkingShown ? { reasoning_content: chatLogprobs(reasoning, options) } : {}),
      refusal: null,
    };
  }

  #frame(object: string): object {
    const { id } = this.#options;
    return { id, object, created: this.#created, model: this.#context.modelId };
  }
}
