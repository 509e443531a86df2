/** A tokenizer whose tokens are single bytes and DeepSeek's control tokens: real, and readable. */
import { spellBytes } from '../../src/tokenizer/byteAlphabet.ts';
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import { DEFAULT_SPECIAL_TOKENS } from '../../src/tokenizer/specialTokens.ts';

/** Byte b has the id `FIRST_BYTE_ID + b`; BOS is 0 and EOS 1. */
export const FIRST_BYTE_ID: number = DEFAULT_SPECIAL_TOKENS.length;

export function byteCodec(specialTokens: readonly string[] = DEFAULT_SPECIAL_TOKENS): Tokenizer {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false };
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte++) {
    vocab[spellBytes(Uint8Array.of(byte))] = FIRST_BYTE_ID + byte;
  }
  const added = specialTokens.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  return loadTokenizer(
    JSON.stringify({
      version: '1.0',
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { ...byteLevel, use_regex: true },
      post_processor: null,
      decoder: { ...byteLevel, use_regex: true },
      model: { type: 'BPE', vocab, merges: [] },
    }),
  );
}
