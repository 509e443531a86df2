/**
 * Trains a byte-level BPE vocabulary (Sennrich et al., 2016): start from the 256 bytes, merge the
 * most frequent pair of neighbours, and again, until the vocabulary has the size asked for.
 *
 * Counting again after every merge would cost merges × corpus. Instead each distinct word is kept
 * once with its count, each pair knows the words it is in, and a merge touches only those words and
 * only the counts beside the merged pair:
 *
 *   x [a b] y  →  x c y      count(x,a)−  count(b,y)−  count(x,c)+  count(c,y)+
 *
 * The most frequent pair comes from a heap whose entries may be out of date: a pair whose count has
 * risen is entered anew, one whose count has fallen is put back when it comes up, so the first
 * entry that is true is the maximum. Ties go to the pair with the lower ids, left first: the same
 * texts give the same vocabulary on every machine. It is the rule Hugging Face's trainer uses, too.
 */
import { MoebiusError } from '../base/errors.ts';
import { BYTE_TO_CODE, spellBytes } from './byteAlphabet.ts';
import { IntList } from './intList.ts';
import { PairTable } from './pairTable.ts';
import { DEFAULT_SPECIAL_TOKENS } from './specialTokens.ts';
import type { BpeVocabulary } from './tokenizerFile.ts';
import { WordCounts } from './wordCounts.ts';

export interface TrainBpeOptions {
  /** Special tokens, the 256 bytes and merges together. */
  readonly vocabSize: number;
  /** Take the first ids, in this order; DeepSeek-V3's names when not given. */
  readonly specialTokens?: readonly string[];
  /** Pairs that come less often are not merged. Default 2: what comes once teaches nothing. */
  readonly minFrequency?: number;
  readonly onProgress?: (progress: TrainBpeProgress) => void;
}

export type TrainBpeProgress =
  /** After each text: how much has been counted. */
  | { readonly kind: 'counting'; readonly numTexts: number; readonly numBytes: number }
  /** After every 64 merges, and at the end. */
  | { readonly kind: 'merging'; readonly numTokens: number; readonly vocabSize: number };

export interface TrainedBpe extends BpeVocabulary {
  /** Below the size asked for when no pair is left that comes `minFrequency` times. */
  readonly vocabSize: number;
}

/**
 * @param texts a corpus, document by document; bytes are read as UTF-8
 * @returns the vocabulary; `saveTokenizerJson` makes a file of it
 * @throws tokenizer.vocabSize when the size has no room for the special tokens and the bytes
 * @throws tokenizer.specialToken when a special token is empty, repeated or no valid text
 */
export function trainBpe(
  texts: Iterable<string | Uint8Array>,
  options: TrainBpeOptions,
): TrainedBpe {
  const { vocabSize, minFrequency = 2, onProgress } = options;
  const specialTokens = options.specialTokens ?? DEFAULT_SPECIAL_TOKENS;
  checkOptions(vocabSize, specialTokens, minFrequency);
  const words = new WordCounts();
  let numTexts = 0;
  let numBytes = 0;
  for (const text of texts) {
    numBytes += words.add(text);
    onProgress?.({ kind: 'counting', numTexts: ++numTexts, numBytes });
  }
  const tokens = new TokenTable(specialTokens);
  const corpus = new PairedCorpus(words, tokens.byteIds);
  const merges: [Uint8Array, Uint8Array][] = [];
  const report = (): void => onProgress?.({ kind: 'merging', numTokens: tokens.size, vocabSize });
  while (tokens.size < vocabSize) {
    const pair = corpus.mostFrequent(minFrequency);
    if (pair === undefined) break;
    if (tokens.isSpecial(pair.left, pair.right)) {
      corpus.forbid(pair);
      continue;
    }
    merges.push([tokens.bytes(pair.left), tokens.bytes(pair.right)]);
    corpus.merge(pair, tokens.join(pair.left, pair.right));
    if (merges.length % 64 === 0) report();
  }
  report();
  return { specialTokens, merges, vocabSize: tokens.size };
}

function checkOptions(
  vocabSize: number,
  specialTokens: readonly string[],
  minFrequency: number,
): void {
  const least = specialTokens.length + 256;
  if (!Number.isInteger(vocabSize) || vocabSize < least) {
    throw new MoebiusError(
      'tokenizer.vocabSize',
      `a vocabulary of ${vocabSize} has no room for the special tokens and 256 bytes`,
      {
        values: { vocabSize, least, specialTokens },
        hint: `Raise vocabSize to a whole number from ${least} up.`,
      },
    );
  }
  if (!(minFrequency >= 1)) {
    throw new MoebiusError('tokenizer.minFrequency', `minFrequency is ${minFrequency}`, {
      values: { minFrequency },
      hint: 'Set minFrequency to 1 or more.',
    });
  }
  const seen = new Set<string>();
  for (const token of specialTokens) {
    if (token !== '' && token.isWellFormed() && token.length > 1 && !seen.has(token)) {
      seen.add(token);
      continue;
    }
    throw new MoebiusError(
      'tokenizer.specialToken',
      `${JSON.stringify(token)} cannot be a special token`,
      {
        values: { token, specialTokens },
        hint: 'Name each special token once, with a valid text of two characters or more.',
      },
    );
  }
}

/**
 * The tokens so far, as bytes: ids are special tokens, bytes in alphabet order, then merges. No
 * token is ever made twice: where two neighbours come to spell it, nothing has been merged across
 * its ends, so its inside was merged as it is everywhere, from the same two parts.
 */
class TokenTable {
  readonly byteIds = new Int32Array(256);
  readonly #tokens: Uint8Array[] = [];
  readonly #specialTokens: readonly string[];

  constructor(specialTokens: readonly string[]) {
    this.#specialTokens = specialTokens;
    const byCode = Array.from(BYTE_TO_CODE, (code, byte) => ({ code, byte }));
    for (const { byte } of byCode.sort((a, b) => a.code - b.code)) {
      this.byteIds[byte] = this.#enter(Uint8Array.of(byte));
    }
  }

  get size(): number {
    return this.#specialTokens.length + this.#tokens.length;
  }

  bytes(id: number): Uint8Array {
    return this.#tokens[id - this.#specialTokens.length] as Uint8Array;
  }

  /** Whether the two joined are spelled like a special token, which must stay the only one so. */
  isSpecial(left: number, right: number): boolean {
    const spelled = spellBytes(this.bytes(left)) + spellBytes(this.bytes(right));
    return this.#specialTokens.includes(spelled);
  }

  join(left: number, right: number): number {
    const [a, b] = [this.bytes(left), this.bytes(right)];
    const joined = new Uint8Array(a.length + b.length);
    joined.set(a);
    joined.set(b, a.length);
    return this.#enter(joined);
  }

  #enter(bytes: Uint8Array): number {
    return this.#specialTokens.length + this.#tokens.push(bytes) - 1;
  }
}

interface Pair {
  readonly index: number;
  readonly left: number;
  readonly right: number;
}

/** The corpus as words of symbols, with the count and the words of every pair of neighbours. */
class PairedCorpus {
  readonly #words: WordCounts;
  /** Symbols of all words; word `w` starts at `starts[w]` and has `lengths[w]` left. */
  readonly #symbols: Int32Array;
  readonly #lengths: Int32Array;
  readonly #pairs = new PairTable(1 << 16);
  readonly #lefts = new IntList(1 << 16);
  readonly #rights = new IntList(1 << 16);
  #counts = new Float64Array(1 << 16);
  /** The words of a pair as a linked list: newest entry of each pair, and (word, next) by entry. */
  readonly #newest = new IntList(1 << 16);
  readonly #entryWord = new IntList(1 << 18);
  readonly #entryNext = new IntList(1 << 18);
  readonly #heap: PairHeap;
  /** Pairs whose count has risen during this merge, and a flag for each pair that is among them. */
  readonly #risen = new IntList(1 << 10);
  #isRisen = new Uint8Array(1 << 16);

  constructor(words: WordCounts, byteIds: Int32Array) {
    this.#words = words;
    const numSymbols = words.starts[words.size] as number;
    this.#symbols = new Int32Array(numSymbols);
    for (let i = 0; i < numSymbols; i++) {
      this.#symbols[i] = byteIds[words.bytes[i] as number] as number;
    }
    this.#lengths = new Int32Array(words.size);
    this.#heap = new PairHeap(this.#lefts, this.#rights);
    for (let word = 0; word < words.size; word++) {
      const start = words.starts[word] as number;
      const end = words.starts[word + 1] as number;
      this.#lengths[word] = end - start;
      for (let i = start; i + 1 < end; i++) {
        this.#raise(this.#symbols[i] as number, this.#symbols[i + 1] as number, word);
      }
    }
    this.#pushRisen();
  }

  /** The pair that comes most often, at least `minFrequency` times. */
  mostFrequent(minFrequency: number): Pair | undefined {
    for (;;) {
      const top = this.#heap.pop();
      if (top === undefined) return undefined;
      const count = this.#counts[top.index] as number;
      if (count === top.count) {
        if (count < minFrequency) return undefined;
        const left = this.#lefts.data[top.index] as number;
        return { index: top.index, left, right: this.#rights.data[top.index] as number };
      }
      if (count >= minFrequency) this.#heap.push(count, top.index);
    }
  }

  /** Replaces the pair by `merged` wherever it comes. */
  merge({ index, left, right }: Pair, merged: number): void {
    let entry = this.#newest.data[index] as number;
    while (entry >= 0) {
      this.#mergeInWord(this.#entryWord.data[entry] as number, { left, right, merged });
      entry = this.#entryNext.data[entry] as number;
    }
    this.#counts[index] = 0;
    this.#pushRisen();
  }

  /** Passes a pair over for good: counts of old pairs never rise. */
  forbid({ index }: Pair): void {
    this.#counts[index] = 0;
  }

  /** Merges in one word, from the left; a word listed twice is found done the second time. */
  #mergeInWord(
    word: number,
    { left, right, merged }: { left: number; right: number; merged: number },
  ): void {
    const symbols = this.#symbols;
    const start = this.#words.starts[word] as number;
    const end = start + (this.#lengths[word] as number);
    let to = start;
    for (let from = start; from < end; from++) {
      const symbol = symbols[from] as number;
      if (symbol !== left || from + 1 >= end || symbols[from + 1] !== right) {
        symbols[to++] = symbol;
        continue;
      }
      if (to > start) {
        const before = symbols[to - 1] as number;
        this.#lower(before, left, word);
        this.#raise(before, merged, word);
      }
      if (from + 2 < end) {
        const after = symbols[from + 2] as number;
        this.#lower(right, after, word);
        this.#raise(merged, after, word);
      }
      symbols[to++] = merged;
      from++;
    }
    this.#lengths[word] = to - start;
  }

  #lower(left: number, right: number, word: number): void {
    const index = this.#pairs.find(left, right);
    this.#counts[index] = (this.#counts[index] as number) - (this.#words.counts[word] as number);
  }

  #raise(left: number, right: number, word: number): void {
    let index = this.#pairs.find(left, right);
    if (index < 0) {
      index = this.#lefts.length;
      this.#pairs.set(left, right, index);
      this.#lefts.push(left);
      this.#rights.push(right);
      this.#newest.push(-1);
      if (index >= this.#counts.length) {
        const counts = new Float64Array(this.#counts.length * 2);
        counts.set(this.#counts);
        this.#counts = counts;
        const isRisen = new Uint8Array(counts.length);
        isRisen.set(this.#isRisen);
        this.#isRisen = isRisen;
      }
    }
    this.#counts[index] = (this.#counts[index] as number) + (this.#words.counts[word] as number);
    if (this.#isRisen[index] === 0) {
      this.#isRisen[index] = 1;
      this.#risen.push(index);
    }
    const newest = this.#newest.data[index] as number;
    if (newest >= 0 && this.#entryWord.data[newest] === word) return;
    this.#newest.data[index] = this.#entryWord.length;
    this.#entryWord.push(word);
    this.#entryNext.push(newest);
  }

  #pushRisen(): void {
    for (let i = 0; i < this.#risen.length; i++) {
      const index = this.#risen.data[i] as number;
      this.#heap.push(this.#counts[index] as number, index);
      this.#isRisen[index] = 0;
    }
    this.#risen.length = 0;
  }
}

/** A binary heap of (count, pair): highest count first, then lowest left id, then lowest right. */
class PairHeap {
  readonly #lefts: IntList;
  readonly #rights: IntList;
  readonly #counts: number[] = [];
  readonly #indices: number[] = [];

  constructor(lefts: IntList, rights: IntList) {
    this.#lefts = lefts;
    this.#rights = rights;
  }

  push(count: number, index: number): void {
    let at = this.#counts.length;
    this.#counts.push(count);
    this.#indices.push(index);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): { count: number; index: number } | undefined {
    const last = this.#counts.length - 1;
    if (last < 0) return undefined;
    this.#swap(0, last);
    const count = this.#counts.pop() as number;
    const index = this.#indices.pop() as number;
    for (let at = 0; ; ) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(child + 1, child)) child++;
      if (!this.#isBefore(child, at)) break;
      this.#swap(at, child);
      at = child;
    }
    return { count, index };
  }

  #isBefore(a: number, b: number): boolean {
    const difference = (this.#counts[a] as number) - (this.#counts[b] as number);
    if (difference !== 0) return difference > 0;
    const [i, j] = [this.#indices[a] as number, this.#indices[b] as number];
    const [left, otherLeft] = [this.#lefts.data[i] as number, this.#lefts.data[j] as number];
    if (left !== otherLeft) return left < otherLeft;
    return (this.#rights.data[i] as number) < (this.#rights.data[j] as number);
  }

  #swap(a: number, b: number): void {
    const [count, index] = [this.#counts[a] as number, this.#indices[a] as number];
    this.#counts[a] = this.#counts[b] as number;
    this.#indices[a] = this.#indices[b] as number;
    this.#counts[b] = count;
    this.#indices[b] = index;
  }
}
