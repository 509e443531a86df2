/** What data needs of a tokenizer, and the two tokens that stand between documents. */
import { MoebiusError } from '../../base/errors.ts';
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';

export type TextCodec = Pick<
  Tokenizer,
  'encode' | 'decode' | 'tokenBytes' | 'tokenToId' | 'vocabSize' | 'bosTokenId' | 'eosTokenId'
>;

export interface BoundaryTokens {
  readonly bos: number;
  readonly eos: number;
}

/** @throws data.noBoundary when the tokenizer lacks one of them */
export function boundaryTokens(codec: TextCodec): BoundaryTokens {
  const { bosTokenId: bos, eosTokenId: eos } = codec;
  if (bos !== undefined && eos !== undefined) return { bos, eos };
  throw new MoebiusError('data.noBoundary', 'the tokenizer has no token for a text’s two ends', {
    values: { bosTokenId: bos, eosTokenId: eos },
    hint: 'Use a tokenizer_config.json that names bos_token and eos_token.',
  });
}
