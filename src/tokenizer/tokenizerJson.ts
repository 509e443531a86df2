/**
 * Reads a Hugging Face `tokenizer.json` of the byte-level BPE family into the parts an encoder
 * needs, and checks all of it first: whatever this reader cannot honour exactly ends in one
 * `MoebiusError` that names the place, never in different ids.
 *
 *   added_tokens ─► matchers        pre_tokenizer ─► words      post_processor ─► prefix, suffix
 *   normalizer ─► text → text       model ─► vocabulary, merge ranks
 *
 * `truncation` and `padding` shape batches, not tokens, and are left to whoever makes batches.
 */
import { MoebiusError } from '../base/errors.ts';
import type { AddedToken } from './addedTokens.ts';
import { BYTE_TO_CODE } from './byteAlphabet.ts';
import { IntList } from './intList.ts';
import { type ByteRange, JsonBytes } from './jsonBytes.ts';
import {
  asArray,
  asFlag,
  asObject,
  asString,
  type JsonObject,
  unsupported,
  wrongShape,
} from './jsonFields.ts';
import { MAX_MERGES, type MergeTable } from './mergeWord.ts';
import { type Normalizer, readNormalizer } from './normalizer.ts';
import { PairTable } from './pairTable.ts';
import { type Affixes, checkDecoder, readPostProcessor } from './postProcessor.ts';
import { readPreTokenizer, type WordSplitter } from './preTokenizer.ts';
import { type JoinedRange, MAX_TOKEN_ID, Vocabulary } from './vocabulary.ts';

export interface TokenizerParts {
  readonly vocabulary: Vocabulary;
  readonly merges: MergeTable;
  /** The token of each single byte, or −1 where the vocabulary has none. */
  readonly byteIds: Int32Array;
  /** A word that is a token as it stands is taken whole, merges or not (Llama 3). */
  readonly ignoresMerges: boolean;
  /** What a byte without a token becomes; without it, meeting such a byte is an error. */
  readonly unknownId: number | undefined;
  /** Neighbouring unknown bytes become one unknown token. */
  readonly fusesUnknown: boolean;
  readonly addedTokens: readonly AddedToken[];
  readonly normalizer: Normalizer | undefined;
  readonly splitter: WordSplitter;
  readonly affixes: Affixes;
}

/** @throws tokenizer.notJson, .shape, .unsupported, .duplicateId, .idOutOfRange, .unknownToken */
export function readTokenizerJson(bytes: Uint8Array): TokenizerParts {
  const json = new JsonBytes(bytes, 'tokenizer.json');
  const { file, model, vocabulary, merges } = readFile(json);
  checkModel(model);
  if (vocabulary === undefined) throw wrongShape(model.vocab, 'model.vocab', 'an object');
  if (merges === undefined) throw wrongShape(model.merges, 'model.merges', 'an array');
  const addedTokens = readAddedTokens(file.added_tokens ?? []);
  for (const token of addedTokens) addToken(vocabulary, token);
  checkDecoder(file.decoder, 'decoder');
  return {
    vocabulary,
    merges,
    byteIds: Int32Array.from(BYTE_TO_CODE, (code) => vocabulary.idOf(String.fromCharCode(code))),
    ignoresMerges: asFlag(model.ignore_merges, 'model.ignore_merges', false),
    unknownId: readUnknown(model.unk_token, vocabulary),
    fusesUnknown: asFlag(model.fuse_unk, 'model.fuse_unk', false),
    addedTokens,
    normalizer: readNormalizer(file.normalizer, 'normalizer'),
    splitter: readPreTokenizer(file.pre_tokenizer, 'pre_tokenizer'),
    affixes: readPostProcessor(file.post_processor, 'post_processor', vocabulary),
  };
}

interface FileFields {
  /** All of the file but `model`, and all of that but its two large values, read in place. */
  readonly file: JsonObject;
  readonly model: JsonObject;
  readonly vocabulary: Vocabulary | undefined;
  readonly merges: MergeTable | undefined;
}

function readFile(json: JsonBytes): FileFields {
  const file: [string, unknown][] = [];
  const model: [string, unknown][] = [];
  let vocabulary: Vocabulary | undefined;
  let merges: MergeTable | undefined;
  let mergesAt = -1;
  if (!json.isObject) throw wrongShape(json.parse(), 'tokenizer.json', 'an object');
  json.members((range) => {
    const key = textOf(range);
    if (key !== 'model' || !json.isObject) {
      file.push([key, json.parse()]);
      return;
    }
    json.members((inner) => {
      const field = textOf(inner);
      if (field === 'vocab' && json.isObject) vocabulary = readVocabulary(json);
      else if (field === 'merges' && json.isArray) {
        // Rules name tokens, so they wait for a vocabulary that comes later.
        if (vocabulary === undefined) mergesAt = json.pass();
        else merges = readMerges(json, vocabulary);
      } else model.push([field, json.parse()]);
    });
    file.push([key, Object.fromEntries(model)]);
  });
  json.finish();
  if (vocabulary !== undefined && mergesAt >= 0) {
    json.at = mergesAt;
    merges = readMerges(json, vocabulary);
  }
  const fields = Object.fromEntries(file);
  return { file: fields, model: asObject(fields.model, 'model'), vocabulary, merges };
}

function textOf({ bytes, start, end }: ByteRange): string {
  return new TextDecoder().decode(bytes.subarray(start, end));
}

/** Refuses other models, and the options of this one that change what a merge sees. */
function checkModel(model: JsonObject): void {
  // Files from before 2021 do not name their model; the merges they must have make it BPE.
  const type = model.type ?? 'BPE';
  if (type !== 'BPE') {
    throw unsupported(`the model ${String(type)}`, 'model', 'Use a byte-level BPE tokenizer.');
  }
  if (asFlag(model.byte_fallback, 'model.byte_fallback', false)) {
    throw unsupported(
      'byte_fallback',
      'model',
      'Use a byte-level BPE tokenizer; byte_fallback marks a SentencePiece vocabulary.',
    );
  }
  if (model.dropout) {
    throw unsupported('dropout', 'model', 'Set model.dropout to null: merges here are exact.');
  }
  for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[affix]) {
      throw unsupported(affix, 'model', 'Use a byte-level BPE tokenizer, which marks no subwords.');
    }
  }
}

function readVocabulary(json: JsonBytes): Vocabulary {
  const vocabulary = new Vocabulary();
  json.members((token) => {
    // The key stays valid: it lies in the file, or in a buffer that reading an id leaves alone.
    const { bytes, start, end } = token;
    const id = json.isNumber ? json.number() : json.parse();
    if (!isTokenId(id)) throw idOutOfRange(id, textOf({ bytes, start, end }));
    if (vocabulary.has(id)) {
      throw duplicateId(id, [vocabulary.token(id) ?? '', textOf({ bytes, start, end })]);
    }
    const other = vocabulary.add(id, bytes, start, end);
    if (other >= 0) throw secondId(textOf({ bytes, start, end }), [other, id]);
  });
  return vocabulary;
}

function readAddedTokens(value: unknown): AddedToken[] {
  const contents = new Set<string>();
  return asArray(value, 'added_tokens').map((entry, i) => {
    const path = `added_tokens[${i}]`;
    const token = asObject(entry, path);
    const content = asString(token.content, `${path}.content`);
    if (content === '') throw wrongShape(content, `${path}.content`, 'a non-empty text');
    if (contents.has(content)) {
      throw wrongShape(content, `${path}.content`, 'a text that no earlier added token has');
    }
    contents.add(content);
    const isSpecial = asFlag(token.special, `${path}.special`, false);
    if (!isTokenId(token.id)) throw idOutOfRange(token.id, content);
    return {
      id: token.id,
      content,
      isSpecial,
      isNormalized: asFlag(token.normalized, `${path}.normalized`, !isSpecial),
      stripsLeft: asFlag(token.lstrip, `${path}.lstrip`, false),
      stripsRight: asFlag(token.rstrip, `${path}.rstrip`, false),
      isWholeWord: asFlag(token.single_word, `${path}.single_word`, false),
    };
  });
}

/** Enters an added token beside the model's; one that the model has too must keep its id. */
function addToken(vocabulary: Vocabulary, { id, content }: AddedToken): void {
  const known = vocabulary.idOf(content);
  if (known >= 0 && known !== id) throw secondId(content, [known, id]);
  const other = vocabulary.token(id);
  if (other !== undefined && other !== content) throw duplicateId(id, [other, content]);
  vocabulary.addLiteral(id, content);
}

/** Rules come as `"a b"` or `["a", "b"]`; a pair listed twice keeps its last rank. */
function readMerges(json: JsonBytes, vocabulary: Vocabulary): MergeTable {
  const pairs = new PairTable(vocabulary.size);
  const mergedIds = new IntList(vocabulary.size);
  const joined = new JoinedRule();
  let last = -1;
  json.elements((rank) => {
    if (rank >= MAX_MERGES) {
      throw wrongShape(rank + 1, 'model.merges', `at most ${MAX_MERGES} rules`);
    }
    const path = `model.merges[${rank}]`;
    const rule = json.isString ? spacedRule(json.string(), path) : joined.read(json, path);
    const { bytes, range } = rule;
    const left = vocabulary.find(bytes, range.start, range.middle);
    const right = vocabulary.find(bytes, range.resume, range.end);
    // A training run gives its tokens ids in the order of their rules: likely it is the next id.
    const next = last + 1;
    const isNext = vocabulary.isSpelled(next, bytes, range);
    const merged = isNext ? next : vocabulary.findJoined(bytes, range);
    last = merged;
    if (left < 0 || right < 0 || merged < 0) throw unknownInRule(rule, { left, right }, path);
    pairs.set(left, right, rank);
    mergedIds.push(merged);
  });
  return { pairs, mergedIds: mergedIds.toArray() };
}

interface Rule {
  readonly bytes: Uint8Array;
  readonly range: JoinedRange;
}

/** `"a b"`: the byte alphabet has no space, so the first one parts the two. */
function spacedRule({ bytes, start, end }: ByteRange, path: string): Rule {
  let middle = start;
  while (middle < end && bytes[middle] !== 0x20) middle++;
  if (middle === start || middle >= end - 1) {
    throw wrongShape(textOf({ bytes, start, end }), path, 'two tokens with a space between');
  }
  return { bytes, range: { start, middle, resume: middle + 1, end } };
}

/** `["a", "b"]`, copied side by side. */
class JoinedRule {
  #bytes = new Uint8Array(256);

  read(json: JsonBytes, path: string): Rule {
    if (!json.isArray) throw wrongShape(json.parse(), path, 'two tokens');
    const ends = [0, 0];
    let count = 0;
    json.elements((side) => {
      if (side > 1 || !json.isString) throw wrongShape(json.parse(), `${path}[${side}]`, 'a token');
      const { bytes, start, end } = json.string();
      const from = ends[0] as number;
      if (this.#bytes.length < from + end - start) {
        const larger = new Uint8Array(2 * (from + end - start));
        larger.set(this.#bytes);
        this.#bytes = larger;
      }
      this.#bytes.set(bytes.subarray(start, end), side === 0 ? 0 : from);
      ends[side] = (side === 0 ? 0 : from) + end - start;
      count = side + 1;
    });
    const [middle, end] = ends as [number, number];
    if (count !== 2) throw wrongShape(`${count} tokens`, path, 'two tokens');
    return { bytes: this.#bytes, range: { start: 0, middle, resume: middle, end } };
  }
}

function unknownInRule(
  { bytes, range }: Rule,
  { left, right }: { left: number; right: number },
  path: string,
): MoebiusError {
  const a = textOf({ bytes, start: range.start, end: range.middle });
  const b = textOf({ bytes, start: range.resume, end: range.end });
  const missing = left < 0 ? a : right < 0 ? b : a + b;
  return new MoebiusError(
    'tokenizer.unknownToken',
    `${path} names the token ${missing}, which model.vocab does not have`,
    { values: { rule: [a, b], missing }, hint: 'Take vocab and merges from one training run.' },
  );
}

function readUnknown(value: unknown, vocabulary: Vocabulary): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const token = asString(value, 'model.unk_token');
  const id = vocabulary.idOf(token);
  if (id >= 0) return id;
  throw new MoebiusError(
    'tokenizer.unknownToken',
    `model.unk_token is ${token}, which model.vocab does not have`,
    { values: { token }, hint: 'Set model.unk_token to null, or to a token of the vocabulary.' },
  );
}

function isTokenId(value: unknown): value is number {
  return (
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_TOKEN_ID
  );
}

function idOutOfRange(value: unknown, token: string): MoebiusError {
  return new MoebiusError(
    'tokenizer.idOutOfRange',
    `the token ${token} has the id ${String(value)}, which is no integer in 0 … ${MAX_TOKEN_ID}`,
    { values: { token, id: value }, hint: 'Check that the file was not damaged or cut.' },
  );
}

function secondId(token: string, ids: readonly [number, number]): MoebiusError {
  return new MoebiusError('tokenizer.duplicateId', `the token ${token} has two ids`, {
    values: { token, ids },
    hint: 'Give the token one id, the same in model.vocab and added_tokens.',
  });
}

function duplicateId(id: number, tokens: readonly [string, string]): MoebiusError {
  return new MoebiusError('tokenizer.duplicateId', `two tokens have the id ${id}`, {
    values: { id, tokens },
    hint: 'Give every token an id of its own.',
  });
}
