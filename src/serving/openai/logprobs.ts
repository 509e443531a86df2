/** Log probabilities as OpenAI's chat API and its older completions API write them. */
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { EngineToken } from '../engineClient.ts';

/** `ids`: tokens are named `token_id:123`, which no two share. */
export type TokenNames = 'text' | 'ids';

interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
}

/** Whether each token says if it was a draft that stood. */
export type DraftMarks = 'shown' | 'hidden';

/** A log probability of −∞ is no JSON; OpenAI writes −9999 for what cannot come. */
const LEAST = -9999;

export function chatLogprobs(
  tokens: readonly EngineToken[],
  options: {
    readonly tokenizer: Tokenizer;
    readonly names: TokenNames;
    readonly numTop: number;
    readonly drafts?: DraftMarks;
  },
): readonly object[] {
  const { tokenizer, names, numTop, drafts = 'hidden' } = options;
  return tokens.map((token) => ({
    ...one(token.id, token.logProbability, { tokenizer, names }),
    ...(drafts === 'shown' ? { is_drafted: token.isDrafted } : {}),
    top_logprobs: topOf(token, numTop).map(([id, logprob]) =>
      one(id, logprob, { tokenizer, names }),
    ),
  }));
}

function one(
  id: number,
  logprob: number,
  { tokenizer, names }: { readonly tokenizer: Tokenizer; readonly names: TokenNames },
): TokenLogprob {
  const bytes = bytesOf(id, tokenizer);
  return {
    token: names === 'ids' ? `token_id:${id}` : textOfBytes(bytes),
    logprob: finite(logprob),
    bytes: [...bytes],
  };
}

export function topOf(
  { top }: EngineToken,
  numTop: number,
): readonly (readonly [id: number, logprob: number])[] {
  return (top?.ids ?? []).slice(0, numTop).map((id, i) => [id, top?.logProbabilities[i] ?? LEAST]);
}

export function tokenName(id: number, tokenizer: Tokenizer, names: TokenNames): string {
  return names === 'ids' ? `token_id:${id}` : textOfBytes(bytesOf(id, tokenizer));
}

/** Half a character shows as U+FFFD; `bytes` has what it is. */
function textOfBytes(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function bytesOf(id: number, tokenizer: Tokenizer): Uint8Array {
  // The model may have more tokens than its tokenizer.
  return tokenizer.hasToken(id) ? tokenizer.tokenBytes(id) : new Uint8Array(0);
}

export function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : LEAST;
}
