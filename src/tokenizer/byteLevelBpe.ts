/**
 * A byte-level BPE tokenizer: text to ids and back, exactly as Hugging Face's tokenizers do it for
 * the same `tokenizer.json`.
 *
 *   text ─ added tokens ─ normalizer ─ added tokens ─ words ─┬─ cache ──────────────┬─► ids
 *                                                            └─ bytes ─ merges ─────┘
 *
 * Every byte has a token, so any text encodes and decodes to itself. What a JavaScript string holds
 * that UTF-8 cannot (a lone surrogate) becomes U+FFFD, as everywhere on the web.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { type AddedToken, AddedTokenMatcher } from './addedTokens.ts';
import { spellBytes } from './byteAlphabet.ts';
import { IntList } from './intList.ts';
import { WordMerger } from './mergeWord.ts';
import type { WordSplitter } from './preTokenizer.ts';
import { BOS_TOKEN, EOS_TOKEN, PAD_TOKEN } from './specialTokens.ts';
import { StreamDecoder } from './streamDecoder.ts';
import type { TokenizerConfig } from './tokenizerConfig.ts';
import { readTokenizerJson, type TokenizerParts } from './tokenizerJson.ts';
import { unspell, utf8Bytes } from './wordBytes.ts';
import { WordCache } from './wordCache.ts';
import { WordCuts } from './wordCuts.ts';

export interface EncodeOptions {
  /**
   * What to put around the ids. `none` (the default): nothing. `bos`: the beginning-of-sequence
   * token in front. `template`: what the file's post-processor says. Neither of the last two ever
   * repeats a beginning that the text already spells, so a rendered chat template stays as it is.
   */
  readonly addSpecialTokens?: 'none' | 'bos' | 'template';
  /**
   * Whether text that spells an added token becomes that token (`match`, the default, as Hugging
   * Face) or stays text (`text`): for documents and messages that must not forge control tokens.
   */
  readonly addedTokens?: 'match' | 'text';
  /**
   * A mark that stands inside spellings which must stay text, and is taken out again before the
   * text is cut into words (see `shield`).
   */
  readonly shieldMark?: string;
}

export interface DecodeOptions {
  /** Leaves out tokens the file calls special (beginning and end of sequence, padding, …). */
  readonly skipSpecialTokens?: boolean;
}

/** Words are scanned this many at a time, so that the scratch space does not grow with the text. */
const WORDS_PER_SCAN = 4096;
/** Texts up to this length become UTF-8 in scratch space, longer ones in space of their own. */
const MAX_SCRATCH_UNITS = 32768;
/** Shorter words merge faster than they are cut. */
const MIN_CUT_BYTES = 10;
/** A cut word this short is a word of some alphabet rather than a clause, and will come again. */
const MAX_KEPT_CUT_BYTES = 28;

/**
 * Reads a tokenizer.
 *
 * @param json `tokenizer.json`, best as bytes
 * @param config of `readTokenizerConfig`; names the BOS, EOS and padding tokens. Without it they
 *   are known only where the file has DeepSeek's own names for them.
 * @throws tokenizer.* when the file is damaged, or uses what the byte-level BPE family does not
 */
export function loadTokenizer(json: string | Uint8Array, config: TokenizerConfig = {}): Tokenizer {
  const bytes = typeof json === 'string' ? new TextEncoder().encode(json) : json;
  return new Tokenizer(readTokenizerJson(bytes), config);
}

export class Tokenizer {
  /** The largest id plus one: the least number of rows an embedding may have. */
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  /** All tokens that are found in the text before it is cut into words, special or not. */
  readonly addedTokens: readonly AddedToken[];
  /** Those of `addedTokens` that `skipSpecialTokens` leaves out. */
  readonly specialTokens: readonly AddedToken[];

  readonly #parts: TokenizerParts;
  readonly #rawMatcher: AddedTokenMatcher;
  readonly #normalizedMatcher: AddedTokenMatcher;
  readonly #addedById: ReadonlyMap<number, AddedToken>;
  readonly #merger: WordMerger;
  readonly #cache = new WordCache();
  readonly #ends = new Int32Array(WORDS_PER_SCAN);
  readonly #utf8 = new TextEncoder();
  #bytes = new Uint8Array(MAX_SCRATCH_UNITS * 3);
  #symbols = new Int32Array(256);
  #cuts = new Int32Array(256);
  /** Made when first needed: text in ASCII never does. */
  #wordCuts: WordCuts | undefined;

  constructor(parts: TokenizerParts, config: TokenizerConfig) {
    const { vocabulary, addedTokens, normalizer } = parts;
    this.#parts = parts;
    this.vocabSize = vocabulary.size;
    this.addedTokens = addedTokens;
    this.specialTokens = addedTokens.filter((token) => token.isSpecial);
    this.#addedById = new Map(addedTokens.map((token) => [token.id, token]));
    this.#merger = new WordMerger(parts.merges);
    const entries = (normalized: boolean): [string, AddedToken][] =>
      addedTokens
        .filter((token) => token.isNormalized === normalized)
        .map((token) => [
          normalized && normalizer ? normalizer(token.content) : token.content,
          token,
        ]);
    this.#rawMatcher = new AddedTokenMatcher(entries(false));
    this.#normalizedMatcher = new AddedTokenMatcher(entries(true));
    this.bosTokenId = this.#namedToken(config.bosToken, BOS_TOKEN);
    this.eosTokenId = this.#namedToken(config.eosToken, EOS_TOKEN);
    this.padTokenId = this.#namedToken(config.padToken, PAD_TOKEN);
  }

  /**
   * The ids of a text.
   *
   * @throws tokenizer.noBos when `addSpecialTokens` is `bos` and the tokenizer has no such token
   * @throws tokenizer.unknownByte when the vocabulary has no token for a byte, and none for unknown
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const out = new IntList(text.length >> 1);
    const { prefix, suffix } = this.#affixes(options.addSpecialTokens ?? 'none');
    for (const id of prefix) out.push(id);
    if (options.addedTokens === 'text') this.#encodeText(this.#normalize(text), out);
    else this.#encodeMatching(text, options.shieldMark, out);
    for (const id of suffix) out.push(id);
    return withoutRepeatedPrefix(out.toArray(), prefix);
  }

  /**
   * The text of ids. Bytes that are no UTF-8 become U+FFFD, one stretch between added tokens at a
   * time.
   *
   * @throws tokenizer.unknownId
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    let bytes = new Uint8Array(ids.length * 6 + 16);
    let used = 0;
    let text = '';
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i] as number;
      const added = this.#addedById.get(id);
      if (added === undefined) {
        const token = this.tokenBytes(id);
        if (used + token.length > bytes.length) bytes = grown(bytes, used + token.length);
        bytes.set(token, used);
        used += token.length;
      } else if (!(added.isSpecial && options.skipSpecialTokens)) {
        text += utf8.decode(bytes.subarray(0, used)) + added.content;
        used = 0;
      }
    }
    return text + utf8.decode(bytes.subarray(0, used));
  }

  /** Decodes id by id, as they are generated: see `StreamDecoder`. */
  streamDecoder(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder(this, options);
  }

  tokenToId(token: string): number | undefined {
    const id = this.#parts.vocabulary.idOf(token);
    return id < 0 ? undefined : id;
  }

  /** Whether a token has this id; there may be ids below `vocabSize` that none has. */
  hasToken(id: number): boolean {
    return this.#parts.vocabulary.has(id);
  }

  /** A token as the file spells it: added tokens as text, others in the byte alphabet (`Ġa`). */
  idToToken(id: number): string | undefined {
    return this.#parts.vocabulary.token(id);
  }

  /**
   * The exact bytes a token adds to a text (an added token's content as UTF-8): a view of the
   * tokenizer's memory, not to be written.
   *
   * @throws tokenizer.unknownId
   */
  tokenBytes(id: number): Uint8Array {
    return this.#parts.vocabulary.bytes(id);
  }

  /** The added token with this id, or undefined for a token of the model. */
  addedToken(id: number): AddedToken | undefined {
    return this.#addedById.get(id);
  }

  /**
   * Puts `mark` inside everything in `text` that spells an added token, so that encoding with
   * `shieldMark: mark` gives the ids of plain text. It lets untrusted words pass through a chat
   * template, which needs its own control tokens to count. White space (some vocabularies have
   * added tokens for indentation) stays as it is, for it can forge nothing.
   */
  shield(text: string, mark: string): string {
    const shielded = breakSpellings(
      breakSpellings(text, this.#rawMatcher, mark),
      this.#normalizedMatcher,
      mark,
    );
    const normalized = this.#normalize(shielded);
    if (normalized === shielded) return shielded;
    // A spelling may come about by normalizing; then only the normalized text can be marked.
    const broken = breakSpellings(normalized, this.#normalizedMatcher, mark);
    return broken === normalized ? shielded : broken;
  }

  #namedToken(named: string | undefined, usual: string): number | undefined {
    const id = this.tokenToId(named ?? usual);
    if (id !== undefined || named === undefined) return id;
    throw new MoebiusError(
      'tokenizer.unknownToken',
      `tokenizer_config.json names the token ${named}, which tokenizer.json does not have`,
      { values: { token: named }, hint: 'Take both files from one model.' },
    );
  }

  #affixes(mode: 'none' | 'bos' | 'template'): {
    prefix: readonly number[];
    suffix: readonly number[];
  } {
    switch (mode) {
      case 'none':
        return { prefix: [], suffix: [] };
      case 'template':
        return this.#parts.affixes;
      case 'bos':
        if (this.bosTokenId !== undefined) return { prefix: [this.bosTokenId], suffix: [] };
        throw new MoebiusError('tokenizer.noBos', 'this tokenizer has no BOS token', {
          hint: 'Pass tokenizer_config.json with a bos_token, or encode without it.',
        });
      default:
        return mode satisfies never;
    }
  }

  #normalize(text: string): string {
    return this.#parts.normalizer?.(text) ?? text;
  }

  #encodeMatching(text: string, mark: string | undefined, out: IntList): void {
    this.#rawMatcher.forEachSegment(text, (raw, token) => {
      if (token !== undefined) {
        out.push(token.id);
        return;
      }
      this.#normalizedMatcher.forEachSegment(this.#normalize(raw), (segment, inner) => {
        if (inner !== undefined) out.push(inner.id);
        else this.#encodeText(mark === undefined ? segment : segment.replaceAll(mark, ''), out);
      });
    });
  }

  /** Encodes a text in which no added token is looked for. */
  #encodeText(text: string, out: IntList): void {
    const { split, scan, isSpelled } = this.#parts.splitter;
    // The scanner reads UTF-8, which has no lone surrogates; they are no letters, U+FFFD is a sign.
    if (scan !== undefined && text.isWellFormed()) {
      this.#encodeScanned(text, scan, out);
      return;
    }
    for (const word of split(text)) {
      if (this.#bytes.length < word.length * 3) this.#bytes = new Uint8Array(word.length * 3);
      const bytes = this.#bytes;
      const numBytes = isSpelled ? unspell(word, bytes) : utf8Bytes(word, bytes);
      if (!this.#cache.append(bytes, 0, numBytes, out)) this.#encodeWord(bytes, 0, numBytes, out);
    }
  }

  #encodeScanned(text: string, scan: NonNullable<WordSplitter['scan']>, out: IntList): void {
    const isShort = text.length <= MAX_SCRATCH_UNITS;
    const bytes = isShort ? this.#bytes : this.#utf8.encode(text);
    const end = isShort ? this.#utf8.encodeInto(text, bytes).written : bytes.length;
    const ends = this.#ends;
    let at = 0;
    while (at < end) {
      const count = scan(bytes, { start: at, end }, ends);
      assert(count > 0, 'the scanner goes on');
      for (let i = 0; i < count; i++) {
        const wordEnd = ends[i] as number;
        if (!this.#cache.append(bytes, at, wordEnd, out)) this.#encodeWord(bytes, at, wordEnd, out);
        at = wordEnd;
      }
    }
  }

  /** A word the cache does not know: whole, or cut where no token crosses, or merged. */
  #encodeWord(bytes: Uint8Array, start: number, end: number, out: IntList): void {
    const { ignoresMerges, unknownId, splitter } = this.#parts;
    if (ignoresMerges) {
      const whole = this.#parts.vocabulary.idOf(spellBytes(bytes.subarray(start, end)));
      if (whole >= 0) {
        out.push(whole);
        this.#cache.store({ bytes, start, end }, out, out.length - 1);
        return;
      }
    } else if (end - start >= MIN_CUT_BYTES && unknownId === undefined && !splitter.isSpelled) {
      // Parts share the cache with words, so both must come from merging alone. A run of unknown
      // bytes that becomes one token must not be cut. A step after ByteLevel may have cut inside a
      // character.
      if (this.#encodeCut(bytes, start, end, out)) return;
    }
    this.#mergeBytes(bytes, start, end, out);
  }

  /** Encodes a word part by part; false, and nothing done, when it cannot be cut. */
  #encodeCut(bytes: Uint8Array, start: number, end: number, out: IntList): boolean {
    if (isAscii(bytes, start, end)) return false;
    if (this.#cuts.length < end - start) this.#cuts = new Int32Array(end - start);
    this.#wordCuts ??= new WordCuts(this.#parts.vocabulary);
    const count = this.#wordCuts.find(bytes, { start, end }, this.#cuts);
    if (count === 0) return false;
    const from = out.length;
    let at = start;
    for (let i = 0; i <= count; i++) {
      const partEnd = i < count ? (this.#cuts[i] as number) : end;
      if (!this.#cache.append(bytes, at, partEnd, out)) this.#mergeBytes(bytes, at, partEnd, out);
      at = partEnd;
    }
    if (end - start <= MAX_KEPT_CUT_BYTES) this.#cache.store({ bytes, start, end }, out, from);
    return true;
  }

  /** Merges the bytes of a word that the cache has just missed, and keeps the result. */
  #mergeBytes(bytes: Uint8Array, start: number, end: number, out: IntList): void {
    const from = out.length;
    if (this.#symbols.length < end - start) this.#symbols = new Int32Array(end - start);
    const symbols = this.#symbols;
    const count = this.#merger.merge(symbols, this.#toByteTokens(bytes, start, end));
    out.reserve(count);
    const { data } = out;
    for (let i = 0; i < count; i++) data[out.length++] = symbols[i] as number;
    this.#cache.store({ bytes, start, end }, out, from);
  }

  /** Writes the tokens of single bytes to the scratch space; returns how many there are. */
  #toByteTokens(bytes: Uint8Array, start: number, end: number): number {
    const { byteIds, unknownId, fusesUnknown } = this.#parts;
    const symbols = this.#symbols;
    let count = 0;
    let wasUnknown = false;
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number;
      const id = byteIds[byte] as number;
      if (id >= 0) symbols[count++] = id;
      else if (unknownId === undefined) throw unknownByte(byte);
      else if (!(fusesUnknown && wasUnknown)) symbols[count++] = unknownId;
      wasUnknown = id < 0;
    }
    return count;
  }
}

/** Most words are, and between ASCII characters there are no cuts. */
function isAscii(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if ((bytes[at] as number) >= 0x80) return false;
  return true;
}

/** Drops a prefix that the text itself began with: one BOS, never two. */
function withoutRepeatedPrefix(ids: Int32Array, prefix: readonly number[]): Int32Array {
  if (prefix.length === 0 || ids.length < 2 * prefix.length) return ids;
  const isRepeated = prefix.every((id, i) => ids[prefix.length + i] === id);
  return isRepeated ? ids.subarray(prefix.length) : ids;
}

/** Puts `mark` after the first character of everything that `matcher` finds. */
function breakSpellings(text: string, matcher: AddedTokenMatcher, mark: string): string {
  let broken = '';
  let done = 0;
  for (let at = 0; at < text.length; at++) {
    const length = matcher.lengthAt(text, at);
    if (length === 0 || text.slice(at, at + length).trim() === '') continue;
    // Every start is looked at, as breaking the longest spelling may leave a shorter one inside.
    const first = at + String.fromCodePoint(text.codePointAt(at) as number).length;
    broken += text.slice(done, first) + mark;
    done = first;
  }
  return broken + text.slice(done);
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(length, bytes.length * 2));
  larger.set(bytes);
  return larger;
}

function unknownByte(byte: number): MoebiusError {
  return new MoebiusError(
    'tokenizer.unknownByte',
    `the vocabulary has no token for the byte ${byte}, and no unk_token`,
    { values: { byte }, hint: 'Train the vocabulary with all 256 bytes, or set model.unk_token.' },
  );
}
