/** `/v1/completions`: texts, and log probabilities in the older form. */
import type { EngineEvent, EngineToken } from '../engineClient.ts';
import { CallState, type CallStateOptions, finishReason, type Output } from './callState.ts';
import { type DraftMarks, finite, type TokenNames, tokenName, topOf } from './logprobs.ts';
import type { ProtocolContext, ResponseRenderer, StreamChunk } from './protocol.ts';
import { errorBody, ProtocolError } from './protocolError.ts';

export interface CompletionsRendererOptions extends CallStateOptions {
  readonly id: string;
  readonly numTop: number | null;
  readonly tokenNames: TokenNames;
  readonly drafts: DraftMarks;
  readonly usage: 'none' | 'last';
  /** What stands before the text of each prompt's choices. */
  readonly echoes: readonly string[] | null;
}

export class CompletionsRenderer implements ResponseRenderer {
  readonly #options: CompletionsRendererOptions;
  readonly #state: CallState;
  readonly #context: ProtocolContext;
  readonly #created: number;
  /** Characters that the chunks of each choice have shown. */
  readonly #shown: number[];

  constructor(options: CompletionsRendererOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#created = Math.floor(options.context.now());
    this.#state = new CallState(options);
    this.#shown = options.outputs.map(() => 0);
  }

  get isDone(): boolean {
    return this.#state.isDone;
  }

  get failure(): ProtocolError | null {
    return this.#state.failure;
  }

  begin(): readonly StreamChunk[] {
    return this.#state.outputs.flatMap((output) => {
      const echo = this.#echo(output);
      return echo === '' ? [] : [this.#chunk(output, { text: echo })];
    });
  }

  onEvent(event: EngineEvent): readonly StreamChunk[] {
    const step = this.#state.push(event);
    if (step === null) return [];
    if (step instanceof ProtocolError) return [{ data: errorBody(step) }];
    const { output, deltas } = step;
    const chunks: StreamChunk[] = [];
    for (const delta of deltas) {
      if (delta.kind !== 'content') continue;
      const from = this.#shown[output.index] ?? 0;
      this.#shown[output.index] = from + delta.text.length;
      const logprobs = this.#logprobs(delta.tokens, from);
      chunks.push(this.#chunk(output, { text: delta.text, logprobs }));
    }
    if (event.end !== undefined) {
      const timings =
        this.isDone && this.#options.usage === 'none' ? { timings: this.#state.timings() } : {};
      chunks.push(this.#chunk(output, { text: '', ...this.#end(output) }, timings));
    }
    if (this.isDone && this.#options.usage !== 'none') {
      const extra = { usage: this.#state.usage(), timings: this.#state.timings() };
      chunks.push({ data: { ...this.#frame(), choices: [], ...extra } });
    }
    return chunks;
  }

  body(): object {
    return {
      ...this.#frame(),
      choices: this.#state.outputs.map((output) => ({
        index: output.index,
        text: this.#echo(output) + output.choice.content,
        logprobs: this.#logprobs(output.choice.contentShown, 0),
        ...this.#end(output),
      })),
      usage: this.#state.usage(),
      timings: this.#state.timings(),
    };
  }

  #echo({ place }: Output): string {
    return this.#options.echoes?.[place.promptIndex] ?? '';
  }

  #end({ choice }: Output): object {
    return { finish_reason: finishReason(choice), stop_reason: choice.end?.stop ?? null };
  }

  #chunk({ index }: Output, choice: object, frame: object = {}): StreamChunk {
    const all = { index, logprobs: null, finish_reason: null, ...choice };
    const usage = this.#options.usage === 'none' ? {} : { usage: null };
    return { data: { ...this.#frame(), choices: [all], ...usage, ...frame } };
  }

  /** @param from offset of the first token's text */
  #logprobs(tokens: readonly EngineToken[], from: number): object | null {
    const { numTop, tokenNames: names, drafts } = this.#options;
    if (numTop === null) return null;
    const { tokenizer } = this.#context;
    const texts = tokens.map((token) => tokenName(token.id, tokenizer, 'text'));
    let offset = from;
    const offsets = texts.map((text) => {
      const at = offset;
      offset += text.length;
      return at;
    });
    return {
      tokens: tokens.map((token) => tokenName(token.id, tokenizer, names)),
      token_logprobs: tokens.map((token) => finite(token.logProbability)),
      top_logprobs: tokens.map((token) =>
        Object.fromEntries(
          topOf(token, numTop).map(([id, logprob]) => [
            tokenName(id, tokenizer, names),
            finite(logprob),
          ]),
        ),
      ),
      text_offset: offsets,
      ...(drafts === 'shown' ? { is_drafted: tokens.map((token) => token.isDrafted) } : {}),
    };
  }

  #frame(): object {
    const { id } = this.#options;
    return { id, object: 'text_completion', created: this.#created, model: this.#context.modelId };
  }
}
