/**
 * `/v1/responses`: items that are added, filled and done one after the other, each event numbered;
 * the whole response is the list of items at the end.
 */
import { assert } from '../../base/assert.ts';
import type { EngineEvent, EngineToken } from '../engineClient.ts';
import { CallState, type CallStateOptions, type Output } from './callState.ts';
import type { Delta, ToolCall } from './choice.ts';
import { chatLogprobs, type TokenNames } from './logprobs.ts';
import type { ProtocolContext, ResponseRenderer, StreamChunk } from './protocol.ts';
import { errorBody, ProtocolError } from './protocolError.ts';

export interface ResponsesRendererOptions extends CallStateOptions {
  readonly id: string;
  readonly numTop: number | null;
  readonly tokenNames: TokenNames;
  /** Fields of the request that the response repeats. */
  readonly echoed: object;
}

/** An item of the output; `text` is its thinking, its words or its arguments so far. */
interface Item {
  readonly kind: 'reasoning' | 'content' | 'call';
  readonly id: string;
  readonly call: ToolCall | null;
  text: string;
  readonly tokens: EngineToken[];
  isDone: boolean;
}

export class ResponsesRenderer implements ResponseRenderer {
  readonly #options: ResponsesRendererOptions;
  readonly #state: CallState;
  readonly #context: ProtocolContext;
  readonly #created: number;
  readonly #items: Item[] = [];
  #numEvents = 0;
  #chunks: StreamChunk[] = [];

  constructor(options: ResponsesRendererOptions) {
    assert(options.outputs.length === 1, 'a response has one output');
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
    this.#send('response.created', { response: this.#response('in_progress') });
    this.#send('response.in_progress', { response: this.#response('in_progress') });
    return this.#sent();
  }

  onEvent(event: EngineEvent): readonly StreamChunk[] {
    const step = this.#state.push(event);
    if (step === null) return [];
    if (step instanceof ProtocolError) {
      this.#send('response.failed', { response: this.#response('failed') });
      return this.#sent();
    }
    for (const delta of step.deltas) this.#delta(delta);
    if (event.end !== undefined) {
      this.#close();
      const status = this.#status(step.output);
      this.#send(`response.${status}`, { response: this.#response(status) });
    }
    return this.#sent();
  }

  body(): object {
    const [output] = this.#state.outputs;
    assert(output !== undefined, 'a response has one output');
    return this.#response(this.#status(output));
  }

  #status({ choice }: Output): 'completed' | 'incomplete' {
    return choice.end?.reason === 'stop' ? 'completed' : 'incomplete';
  }

  #delta(delta: Delta): void {
    switch (delta.kind) {
      case 'reasoning':
      case 'content': {
        const item = this.#open(delta.kind, null);
        item.text += delta.text;
        item.tokens.push(...delta.tokens);
        const place = { ...this.#place(item), content_index: 0, delta: delta.text };
        if (delta.kind === 'reasoning') this.#send('response.reasoning_text.delta', place);
        else {
          const logprobs = this.#logprobs(delta.tokens);
          this.#send('response.output_text.delta', { ...place, logprobs });
        }
        return;
      }
      case 'callBegin':
        this.#open('call', delta.call);
        return;
      case 'callArguments': {
        const item = this.#open('call', delta.call);
        item.text += delta.text;
        const place = { ...this.#place(item), delta: delta.text };
        this.#send('response.function_call_arguments.delta', place);
        return;
      }
      case 'callEnd':
        this.#close();
        return;
      default:
        delta satisfies never;
    }
  }

  /** The item that is under way, or a new one where it is of another kind. */
  #open(kind: Item['kind'], call: ToolCall | null): Item {
    const last = this.#items.at(-1);
    if (last !== undefined && !last.isDone && last.kind === kind) return last;
    this.#close();
    const prefix = { reasoning: 'rs_', content: 'msg_', call: 'fc_' }[kind];
    const id = `${prefix}${this.#context.randomId()}`;
    const item: Item = { kind, id, call, text: '', tokens: [], isDone: false };
    this.#items.push(item);
    const place = this.#place(item);
    const shown = this.#item(item);
    const empty = kind === 'call' ? shown : { ...shown, content: [] };
    this.#send('response.output_item.added', { output_index: place.output_index, item: empty });
    if (kind !== 'call') {
      const added = { ...place, content_index: 0, part: this.#part(item) };
      this.#send('response.content_part.added', added);
    }
    return item;
  }

  #close(): void {
    const item = this.#items.at(-1);
    if (item === undefined || item.isDone) return;
    item.isDone = true;
    const place = this.#place(item);
    const { text } = item;
    if (item.kind === 'call') {
      const name = item.call?.name ?? '';
      this.#send('response.function_call_arguments.done', { ...place, name, arguments: text });
    } else {
      const done = { ...place, content_index: 0, text };
      if (item.kind === 'reasoning') this.#send('response.reasoning_text.done', done);
      else {
        const logprobs = this.#logprobs(item.tokens);
        this.#send('response.output_text.done', { ...done, logprobs });
      }
      const part = { ...place, content_index: 0, part: this.#part(item) };
      this.#send('response.content_part.done', part);
    }
    this.#send('response.output_item.done', {
      output_index: place.output_index,
      item: this.#item(item),
    });
  }

  #place(item: Item): { readonly item_id: string; readonly output_index: number } {
    return { item_id: item.id, output_index: this.#items.indexOf(item) };
  }

  #item(item: Item): object {
    const { id, kind, call, text } = item;
    const reason = this.#state.outputs[0]?.choice.end?.reason;
    const isCut = reason !== undefined && reason !== 'stop' && item === this.#items.at(-1);
    const finished = isCut ? 'incomplete' : 'completed';
    const status = item.isDone ? finished : 'in_progress';
    switch (kind) {
      case 'reasoning':
        return { id, type: 'reasoning', summary: [], content: [this.#part(item)], status };
      case 'content':
        return { id, type: 'message', role: 'assistant', content: [this.#part(item)], status };
      case 'call': {
        const name = call?.name ?? '';
        return { id, type: 'function_call', call_id: call?.id, name, arguments: text, status };
      }
      default:
        return kind satisfies never;
    }
  }

  #part({ kind, text, tokens }: Item): object {
    if (kind === 'reasoning') return { type: 'reasoning_text', text };
    return { type: 'output_text', text, annotations: [], logprobs: this.#logprobs(tokens) };
  }

  #logprobs(tokens: readonly EngineToken[]): readonly object[] {
    const { numTop, tokenNames: names } = this.#options;
    if (numTop === null) return [];
    return chatLogprobs(tokens, { tokenizer: this.#context.tokenizer, names, numTop });
  }

  #response(status: 'in_progress' | 'completed' | 'incomplete' | 'failed'): object {
    const isOver = status === 'completed' || status === 'incomplete';
    const reason = this.#state.outputs[0]?.choice.end?.reason;
    const why = reason === 'length' ? 'max_output_tokens' : reason;
    return {
      id: this.#options.id,
      object: 'response',
      created_at: this.#created,
      model: this.#context.modelId,
      status,
      error: this.failure === null ? null : errorBody(this.failure).error,
      incomplete_details: status === 'incomplete' ? { reason: why } : null,
      output: this.#items.map((item) => this.#item(item)),
      ...this.#options.echoed,
      usage: isOver ? this.#usage() : null,
    };
  }

  #usage(): object {
    const usage = this.#state.usage();
    return {
      input_tokens: usage.prompt_tokens,
      input_tokens_details: usage.prompt_tokens_details,
      output_tokens: usage.completion_tokens,
      output_tokens_details: usage.completion_tokens_details,
      total_tokens: usage.total_tokens,
    };
  }

  #send(type: string, fields: object): void {
    const data = { type, sequence_number: this.#numEvents++, ...fields };
    this.#chunks.push({ event: type, data });
  }

  #sent(): readonly StreamChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }
}
