/**
 * All outputs of one call: which request is which choice, when all have ended, what failed, what it
 * cost. Every endpoint's renderer stands on this.
 */
import { assert } from '../../base/assert.ts';
import type { EngineEvent } from '../engineClient.ts';
import { Choice, type Delta, type ToolCall } from './choice.ts';
import type { ParserOptions } from './outputParser.ts';
import type { ProtocolContext } from './protocol.ts';
import { fromFailure, type ProtocolError } from './protocolError.ts';
import { type OutputCounts, timingsOf, type Usage, usageOf } from './usage.ts';

export interface CallStateOptions {
  readonly context: ProtocolContext;
  readonly parser: ParserOptions | null;
  readonly special: 'shown' | 'skipped';
  readonly outputs: readonly OutputPlace[];
  /** `call_` in OpenAI's responses, `toolu_` in Anthropic's. */
  readonly callIdPrefix: string;
}

export interface OutputPlace {
  readonly requestId: string;
  readonly promptIndex: number;
  readonly promptTokens: number;
}

export interface Output {
  readonly index: number;
  readonly choice: Choice;
  readonly place: OutputPlace;
}

export class CallState {
  readonly outputs: readonly Output[];
  readonly #byId: ReadonlyMap<string, Output>;
  #failure: ProtocolError | null = null;

  constructor(options: CallStateOptions) {
    const { context, parser, special, callIdPrefix } = options;
    this.outputs = options.outputs.map((place, index) => ({
      index,
      place,
      choice: new Choice({
        tokenizer: context.tokenizer,
        parser,
        special,
        newCallId: () => `${callIdPrefix}${context.randomId()}`,
      }),
    }));
    this.#byId = new Map(this.outputs.map((output) => [output.place.requestId, output]));
  }

  get failure(): ProtocolError | null {
    return this.#failure;
  }

  get isDone(): boolean {
    return this.#failure !== null || this.outputs.every(({ choice }) => choice.end !== null);
  }

  /** The error comes once, when the call fails; null: it had failed, and nothing may be shown. */
  push(event: EngineEvent): { output: Output; deltas: readonly Delta[] } | ProtocolError | null {
    if (this.#failure !== null) return null;
    const output = this.#byId.get(event.requestId);
    assert(output !== undefined, `an event of this call: ${event.requestId}`);
    const deltas = output.choice.push(event);
    if (event.end?.reason === 'error') {
      this.#failure = fromFailure(
        event.end.error ?? { code: 'server.failed', message: 'the engine gave no reason' },
      );
      return this.#failure;
    }
    return { output, deltas };
  }

  usage(): Usage {
    return usageOf(this.#counts());
  }

  timings(): object {
    return timingsOf(this.#counts());
  }

  #counts(): readonly OutputCounts[] {
    return this.outputs.flatMap(({ choice, place }) => {
      const { promptIndex } = place;
      const usage = choice.end?.usage;
      return usage === undefined ? [] : [{ usage, promptIndex, numReasoning: choice.numReasoning }];
    });
  }
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'abort';

/** OpenAI's, and vLLM's for what an administrator ended. */
export function finishReason({ end, calls }: Choice): FinishReason | null {
  if (end === null || end.reason === 'error') return null;
  return end.reason === 'stop' && calls.length > 0 ? 'tool_calls' : end.reason;
}

export function callObject(call: ToolCall): object {
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  };
}
