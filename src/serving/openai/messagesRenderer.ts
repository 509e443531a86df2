/** `/v1/messages`: blocks that start, grow and stop; the whole message is the list of them. */
import { assert } from '../../base/assert.ts';
import type { EngineEvent } from '../engineClient.ts';
import { CallState, type CallStateOptions } from './callState.ts';
import type { Choice, Delta, ToolCall } from './choice.ts';
import type { ProtocolContext, ResponseRenderer, StreamChunk } from './protocol.ts';
import { messagesErrorEvent, ProtocolError } from './protocolError.ts';

export interface MessagesRendererOptions extends CallStateOptions {
  readonly id: string;
}

interface OpenBlock {
  readonly kind: 'reasoning' | 'content' | 'call';
  readonly call: ToolCall | null;
  text: string;
}

export class MessagesRenderer implements ResponseRenderer {
  readonly #options: MessagesRendererOptions;
  readonly #state: CallState;
  readonly #context: ProtocolContext;
  readonly #blocks: OpenBlock[] = [];
  #isOpen = false;
  #chunks: StreamChunk[] = [];

  constructor(options: MessagesRendererOptions) {
    assert(options.outputs.length === 1, 'a message is one output');
    this.#options = options;
    this.#context = options.context;
    this.#state = new CallState(options);
  }

  get isDone(): boolean {
    return this.#state.isDone;
  }

  get failure(): ProtocolError | null {
    return this.#state.failure;
  }

  begin(): readonly StreamChunk[] {
    const promptTokens = this.#options.outputs[0]?.promptTokens ?? 0;
    // What the cache has is known later; the last event tells.
    const usage = { input_tokens: promptTokens, output_tokens: 0 };
    const message = { ...this.#frame(), content: [], ...NOT_STOPPED, usage };
    this.#send('message_start', { message });
    return this.#sent();
  }

  onEvent(event: EngineEvent): readonly StreamChunk[] {
    const step = this.#state.push(event);
    if (step === null) return [];
    if (step instanceof ProtocolError) return [messagesErrorEvent(step)];
    for (const delta of step.deltas) this.#delta(delta);
    if (event.end !== undefined) {
      this.#close();
      const delta = stopOf(step.output.choice);
      this.#send('message_delta', { delta, usage: this.#usage() });
      this.#send('message_stop', {});
    }
    return this.#sent();
  }

  body(): object {
    const choice = this.#choice();
    const content = this.#blocks.map(blockObject);
    return { ...this.#frame(), content, ...stopOf(choice), usage: this.#usage() };
  }

  #choice(): Choice {
    const [output] = this.#state.outputs;
    assert(output !== undefined, 'a message is one output');
    return output.choice;
  }

  #delta(delta: Delta): void {
    switch (delta.kind) {
      case 'reasoning':
        this.#open(delta.kind, null).text += delta.text;
        this.#grow({ type: 'thinking_delta', thinking: delta.text });
        return;
      case 'content':
        this.#open(delta.kind, null).text += delta.text;
        this.#grow({ type: 'text_delta', text: delta.text });
        return;
      case 'callBegin':
        this.#open('call', delta.call);
        return;
      case 'callArguments':
        this.#open('call', delta.call).text += delta.text;
        this.#grow({ type: 'input_json_delta', partial_json: delta.text });
        return;
      case 'callEnd':
        this.#close();
        return;
      default:
        delta satisfies never;
    }
  }

  #open(kind: OpenBlock['kind'], call: ToolCall | null): OpenBlock {
    const last = this.#blocks.at(-1);
    if (this.#isOpen && last?.kind === kind) return last;
    this.#close();
    const block = { kind, call, text: '' };
    this.#blocks.push(block);
    this.#isOpen = true;
    const index = this.#blocks.length - 1;
    this.#send('content_block_start', { index, content_block: blockObject(block) });
    return block;
  }

  #grow(delta: object): void {
    this.#send('content_block_delta', { index: this.#blocks.length - 1, delta });
  }

  #close(): void {
    if (this.#isOpen) this.#send('content_block_stop', { index: this.#blocks.length - 1 });
    this.#isOpen = false;
  }

  /** Anthropic counts cached tokens apart. */
  #usage(): object {
    const usage = this.#state.usage();
    return {
      input_tokens: usage.prompt_cache_miss_tokens,
      cache_read_input_tokens: usage.prompt_cache_hit_tokens,
      cache_creation_input_tokens: 0,
      output_tokens: usage.completion_tokens,
    };
  }

  #frame(): object {
    const { id } = this.#options;
    return { id, type: 'message', role: 'assistant', model: this.#context.modelId };
  }

  #send(type: string, fields: object): void {
    this.#chunks.push({ event: type, data: { type, ...fields } });
  }

  #sent(): readonly StreamChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }
}

const NOT_STOPPED = { stop_reason: null, stop_sequence: null };

function stopOf({ end, calls }: Choice): object {
  const reasons = { length: 'max_tokens', abort: 'abort', error: 'error' } as const;
  if (end === null) return NOT_STOPPED;
  if (end.reason !== 'stop') return { stop_reason: reasons[end.reason], stop_sequence: null };
  if (calls.length > 0) return { stop_reason: 'tool_use', stop_sequence: null };
  const isSequence = typeof end.stop === 'string';
  return {
    stop_reason: isSequence ? 'stop_sequence' : 'end_turn',
    stop_sequence: isSequence ? end.stop : null,
  };
}

function blockObject({ kind, call, text }: OpenBlock): object {
  switch (kind) {
    case 'reasoning':
      return { type: 'thinking', thinking: text, signature: '' };
    case 'content':
      return { type: 'text', text };
    case 'call':
      return { type: 'tool_use', id: call?.id, name: call?.name, input: inputOf(text) };
    default:
      return kind satisfies never;
  }
}

/** Clients read an object; what is none (a call that was cut off) comes as it is under one name. */
function inputOf(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return { incomplete_json: text };
  }
}
