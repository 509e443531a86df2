/**
 * A text cut at its tokens. Tokens that share a character (a byte each of an emoji) share a piece,
 * and the pieces together are exactly the text, whatever was cut off its tokens at either end.
 */
import { at } from '../../src/base/assert.ts';
import type { StreamUsage } from '../../src/cli/client/completionStream.ts';
import type { Timings, ToldToken } from './chatRequest.ts';

export interface TokenPiece {
  readonly text: string;
  /** None: text that no token was told for. */
  readonly tokens: readonly ToldToken[];
}

export function tokenPieces(text: string, tokens: readonly ToldToken[]): readonly TokenPiece[] {
  const pieces: TokenPiece[] = [];
  let from = 0;
  let bytes: number[] = [];
  let pending: ToldToken[] = [];
  const give = (length: number): void => {
    const piece = text.slice(from, from + length);
    from += piece.length;
    if (piece !== '') pieces.push({ text: piece, tokens: pending });
    bytes = [];
    pending = [];
  };
  for (const token of tokens) {
    bytes.push(...(token.bytes ?? new TextEncoder().encode(token.token)));
    pending.push(token);
    if (bytes.length > 0 && endsWhole(bytes))
      give(new TextDecoder().decode(Uint8Array.from(bytes)).length);
  }
  give(text.length);
  return pieces;
}

/** Whether the last character of UTF-8 has all of its bytes. */
function endsWhole(bytes: readonly number[]): boolean {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = at(bytes, bytes.length - back);
    if (byte < 0x80) return true;
    if (byte >= 0xc0) return back >= (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2);
  }
  return true;
}

export type Mark = 'drafted' | 'plain';

/** Drafted where any of its tokens was a draft that stood. */
export function markOf({ tokens }: TokenPiece): Mark {
  return tokens.some((token) => token.is_drafted === true) ? 'drafted' : 'plain';
}

/** 0 to 1, of all tokens of the piece together. */
export function probabilityOf({ tokens }: TokenPiece): number {
  return Math.exp(tokens.reduce((sum, { logprob }) => sum + logprob, 0));
}

export interface ReplySpeed {
  readonly promptTokens: number | null;
  readonly tokens: number | null;
  readonly tokensPerSecond: number | null;
  readonly firstTokenSeconds: number | null;
  readonly drafted: number;
  readonly accepted: number;
  /** null where nothing was drafted. */
  readonly acceptance: number | null;
}

/** What a reply cost, of the server's own counts. */
export function speedOf({
  usage,
  timings,
}: {
  readonly usage: StreamUsage | null;
  readonly timings: Timings | null;
}): ReplySpeed {
  const accepted =
    timings?.draft_n_accepted ?? usage?.completion_tokens_details?.accepted_prediction_tokens ?? 0;
  const rejected = usage?.completion_tokens_details?.rejected_prediction_tokens ?? 0;
  const drafted = timings?.draft_n ?? accepted + rejected;
  const promptMs = timings?.prompt_ms;
  return {
    promptTokens: usage?.prompt_tokens ?? timings?.prompt_n ?? null,
    tokens: usage?.completion_tokens ?? timings?.predicted_n ?? null,
    tokensPerSecond: timings?.predicted_per_second ?? null,
    firstTokenSeconds: promptMs === undefined ? null : promptMs / 1000,
    ...{ drafted, accepted },
    acceptance: drafted === 0 ? null : accepted / drafted,
  };
}
