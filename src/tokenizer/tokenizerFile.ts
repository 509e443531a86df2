/**
 * The `tokenizer.json` of a tokenizer trained here, as plain data and as text. It is DeepSeek-V3's
 * shape: no normalizer, DeepSeek-V3's words, byte-level BPE, and nothing added around a text (the
 * chat template writes BOS itself, and a file that added it too would double it).
 */
import { assert } from '../base/assert.ts';
import { BYTE_TO_CODE, spellBytes } from './byteAlphabet.ts';
import { DEEPSEEK_V3_PATTERNS } from './deepseekScanner.ts';

/** A trained vocabulary: ids are special tokens first, then the 256 bytes, then merges in order. */
export interface BpeVocabulary {
  readonly specialTokens: readonly string[];
  /** Merge rules by rank, as bytes of the left and right token. */
  readonly merges: readonly (readonly [left: Uint8Array, right: Uint8Array])[];
}

/** The text of a `tokenizer.json`; `loadTokenizer` and Hugging Face's tokenizers read it. */
export function saveTokenizerJson({ specialTokens, merges }: BpeVocabulary): string {
  const vocab = new Map<string, number>();
  const enter = (token: string): void => {
    assert(!vocab.has(token), `the token ${token} is made once`);
    vocab.set(token, vocab.size);
  };
  for (const token of specialTokens) enter(token);
  for (const code of Array.from(BYTE_TO_CODE).sort((a, b) => a - b))
    enter(String.fromCharCode(code));
  const rules = merges.map(([left, right]) => {
    const [a, b] = [spellBytes(left), spellBytes(right)];
    enter(a + b);
    return `${a} ${b}`;
  });
  const file = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...DEEPSEEK_V3_PATTERNS.map((pattern) => ({
          type: 'Split',
          pattern: { Regex: pattern },
          behavior: 'Isolated',
          invert: false,
        })),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: 'ByteLevel',
      add_prefix_space: true,
      trim_offsets: false,
      use_regex: true,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      // `fromEntries` defines properties, so a token spelled `__proto__` is one like any other.
      vocab: Object.fromEntries(vocab),
      merges: rules,
    },
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}
