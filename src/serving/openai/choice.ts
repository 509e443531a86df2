/**
 * One output as it grows: thinking, content, tool calls, the tokens that were shown, and the end.
 * Responses in chunks send the deltas that `push` gives; whole responses read the sums.
 */
import { assert, at } from '../../base/assert.ts';
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { EngineEnd, EngineEvent, EngineToken } from '../engineClient.ts';
import { AlignedText, type TextItem } from './alignedText.ts';
import { OutputParser, type ParserOptions, type Span } from './outputParser.ts';

export type Delta =
  /** `tokens` are those that this text shows, each once; their characters may reach further. */
  | {
      readonly kind: 'reasoning' | 'content';
      readonly text: string;
      readonly tokens: readonly EngineToken[];
    }
  | { readonly kind: 'callBegin'; readonly call: ToolCall }
  | { readonly kind: 'callArguments'; readonly call: ToolCall; readonly text: string }
  | { readonly kind: 'callEnd'; readonly call: ToolCall };

export interface ToolCall {
  /** Of the choice's calls: 0, 1, … */
  readonly index: number;
  readonly id: string;
  readonly name: string;
  /** So far. */
  arguments: string;
}

export interface ChoiceOptions {
  readonly tokenizer: Tokenizer;
  /** null: the text is shown as it is, whatever it says. */
  readonly parser: ParserOptions | null;
  /** Whether the engine was asked to show special tokens. */
  readonly special: 'shown' | 'skipped';
  newCallId(): string;
}

export class Choice {
  readonly #aligned: AlignedText;
  readonly #parser: OutputParser | null;
  readonly #newCallId: () => string;
  #offset = 0;
  #reasoning = '';
  #content = '';
  readonly #calls: ToolCall[] = [];
  readonly #reasoningShown: EngineToken[] = [];
  readonly #contentShown: EngineToken[] = [];
  #numReasoning = 0;
  #cachedTokens = 0;
  #end: EngineEnd | null = null;

  constructor(options: ChoiceOptions) {
    this.#aligned = new AlignedText(options.tokenizer, options.special);
    this.#parser = options.parser === null ? null : new OutputParser(options.parser);
    this.#newCallId = options.newCallId;
  }

  get reasoning(): string {
    return this.#reasoning;
  }
  get content(): string {
    return this.#content;
  }
  get calls(): readonly ToolCall[] {
    return this.#calls;
  }
  get reasoningShown(): readonly EngineToken[] {
    return this.#reasoningShown;
  }
  get contentShown(): readonly EngineToken[] {
    return this.#contentShown;
  }
  /** Tokens spent on thinking, its markers included. */
  get numReasoning(): number {
    return this.#numReasoning;
  }
  get cachedTokens(): number {
    return this.#cachedTokens;
  }
  get end(): EngineEnd | null {
    return this.#end;
  }

  push(event: EngineEvent): readonly Delta[] {
    assert(this.#end === null, 'nothing comes behind the end');
    if (event.started !== undefined) this.#cachedTokens = event.started.cachedTokens;
    const items = this.#aligned.push(event.text, event.tokens);
    const deltas: Delta[] = [];
    for (const item of items) this.#item(item, deltas);
    if (event.end === undefined) return merged(deltas);
    for (const item of this.#aligned.end()) this.#item(item, deltas);
    const how = event.end.reason === 'stop' ? 'stop' : 'cut';
    for (const span of this.#parser?.end(how) ?? []) this.#span(span, deltas);
    this.#end = event.end;
    this.#cachedTokens = event.end.usage.cachedTokens;
    return merged(deltas);
  }

  #item(item: TextItem, deltas: Delta[]): void {
    if (this.#parser === null) this.#span({ kind: 'content', text: item.text }, deltas);
    else for (const span of this.#parser.push(item)) this.#span(span, deltas);
  }

  #span(span: Span, deltas: Delta[]): void {
    switch (span.kind) {
      case 'reasoning':
      case 'content': {
        const { kind, text } = span;
        this.#pass(text, kind === 'reasoning' ? 'thinking' : 'other');
        const tokens = this.#aligned.take(this.#offset, 'show');
        if (kind === 'reasoning') {
          this.#reasoning += text;
          this.#reasoningShown.push(...tokens);
        } else {
          this.#content += text;
          this.#contentShown.push(...tokens);
        }
        deltas.push({ kind, text, tokens });
        return;
      }
      case 'hidden':
        this.#pass(span.text, span.of);
        this.#aligned.take(this.#offset, 'hide');
        return;
      case 'callBegin': {
        const call = {
          index: this.#calls.length,
          id: this.#newCallId(),
          name: span.name,
          arguments: '',
        };
        this.#calls.push(call);
        deltas.push({ kind: 'callBegin', call });
        return;
      }
      case 'arguments':
        this.#pass(span.text, 'other');
        this.#aligned.take(this.#offset, 'hide');
        this.#argue(span.text, deltas);
        return;
      case 'callEnd': {
        const call = this.#lastCall();
        // A function without parameters may be called with nothing; clients parse JSON.
        if (call.arguments === '' && span.isWhole) this.#argue('{}', deltas);
        deltas.push({ kind: 'callEnd', call });
        return;
      }
      default:
        span satisfies never;
    }
  }

  #argue(text: string, deltas: Delta[]): void {
    const call = this.#lastCall();
    call.arguments += text;
    deltas.push({ kind: 'callArguments', call, text });
  }

  #lastCall(): ToolCall {
    return at(this.#calls, this.#calls.length - 1);
  }

  #pass(text: string, of: 'thinking' | 'other'): void {
    this.#offset += text.length;
    const begun = this.#aligned.countBegun(this.#offset);
    if (of === 'thinking') this.#numReasoning += begun;
  }
}

/** Neighbours of one kind become one. */
function merged(deltas: readonly Delta[]): readonly Delta[] {
  if (deltas.length < 2) return deltas;
  const out: Delta[] = [];
  for (const delta of deltas) {
    const last = out[out.length - 1];
    if (last?.kind === 'callArguments' && delta.kind === 'callArguments') {
      out[out.length - 1] = { ...last, text: last.text + delta.text };
    } else if (
      (last?.kind === 'content' && delta.kind === 'content') ||
      (last?.kind === 'reasoning' && delta.kind === 'reasoning')
    ) {
      const tokens = [...last.tokens, ...delta.tokens];
      out[out.length - 1] = { kind: last.kind, text: last.text + delta.text, tokens };
    } else out.push(delta);
  }
  return out;
}
