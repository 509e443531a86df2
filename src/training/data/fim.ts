/**
 * Fill-in-the-middle, prefix–suffix–middle (DeepSeek-V3 report, 4.1): a document is cut in two
 * random places and its middle moved to the end, so that the model learns to write towards a text
 * that is already there.
 *
 *     prefix middle suffix  →  <｜fim▁begin｜> prefix <｜fim▁hole｜> suffix <｜fim▁end｜> middle
 *
 * Cut between characters and tokenized again, not between tokens: a cursor stands anywhere.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { FIM_BEGIN_TOKEN, FIM_END_TOKEN, FIM_HOLE_TOKEN } from '../../tokenizer/specialTokens.ts';
import { documentIds, type EncodedDocuments, numDocuments } from './encode.ts';
import type { TextCodec } from './textCodec.ts';

export interface FimTokens {
  readonly begin: number;
  readonly hole: number;
  readonly end: number;
}

/** @throws data.noFim when the tokenizer lacks one of the three */
export function fimTokens(codec: TextCodec): FimTokens {
  const [begin, hole, end] = [FIM_BEGIN_TOKEN, FIM_HOLE_TOKEN, FIM_END_TOKEN].map((token) => {
    const id = codec.tokenToId(token);
    if (id !== undefined) return id;
    throw new MoebiusError('data.noFim', `the tokenizer has no token ${token}`, {
      values: { token },
      hint: 'Set data.fimRate to 0, or use a tokenizer with the FIM tokens.',
    });
  }) as [number, number, number];
  return { begin, hole, end };
}

/**
 * The documents of an epoch that are rearranged, by index.
 *
 * @param rate share of documents, drawn one by one in their order
 */
export function fimDocuments(
  documents: EncodedDocuments,
  codec: TextCodec,
  { rate, random }: { rate: number; random: Random },
): ReadonlyMap<number, Int32Array> {
  const rearranged = new Map<number, Int32Array>();
  if (rate === 0) return rearranged;
  const tokens = fimTokens(codec);
  for (let index = 0; index < numDocuments(documents); index++) {
    if (random.uniform() >= rate) continue;
    const text = codec.decode(documentIds(documents, index));
    rearranged.set(index, rearrange(text, codec, { tokens, random }));
  }
  return rearranged;
}

function rearrange(
  text: string,
  codec: TextCodec,
  { tokens, random }: { tokens: FimTokens; random: Random },
): Int32Array {
  // By code point: half a surrogate pair is no text.
  const characters = Array.from(text);
  const cuts = [random.integer(characters.length + 1), random.integer(characters.length + 1)];
  const [first, second] = cuts.sort((a, b) => a - b);
  const encode = (from: number, to?: number): Int32Array =>
    codec.encode(characters.slice(from, to).join(''), { addedTokens: 'text' });
  const prefix = encode(0, first);
  const middle = encode(first ?? 0, second);
  const suffix = encode(second ?? 0);
  const ids = new Int32Array(prefix.length + suffix.length + middle.length + 3);
  let length = 0;
  const append = (token: number, part: Int32Array): void => {
    ids[length] = token;
    ids.set(part, length + 1);
    length += 1 + part.length;
  };
  append(tokens.begin, prefix);
  append(tokens.hole, suffix);
  append(tokens.end, middle);
  return ids;
}
