/** Other members of the family: published pre-tokenizers, held to Hugging Face's tokenizer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { loadTokenizer } from './byteLevelBpe.ts';
import { DEEPSEEK_V3_PATTERNS } from './deepseekScanner.ts';
import { readPreTokenizer } from './preTokenizer.ts';
import { saveTokenizerJson } from './tokenizerFile.ts';
import { trainBpe } from './trainBpe.ts';

type Json = Record<string, unknown>;

function regex(pattern: string, behavior = 'Isolated', invert = false): Json {
  return { type: 'Split', pattern: { Regex: pattern }, behavior, invert };
}

function bytes(change: Json = {}): Json {
  return { type: 'ByteLevel', add_prefix_space: false, use_regex: false, ...change };
}

function sequence(...pretokenizers: Json[]): Json {
  return { type: 'Sequence', pretokenizers };
}

const LLAMA_3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const O200K =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+' +
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+" +
  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
  '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const BLOOM = ' ?[^(\\s|[.,!?…。，、।۔،])]+';

/** Pre-tokenizers and normalizers as published files have them. */
const FAMILY: readonly (readonly [string, Json, (Json | null)?])[] = [
  ['GPT-2', bytes({ use_regex: true })],
  ['RoBERTa', bytes({ use_regex: true, add_prefix_space: true })],
  ['Llama 3', sequence(regex(LLAMA_3), bytes())],
  ['Qwen 2', sequence(regex(LLAMA_3.replace('{1,3}', '')), bytes()), { type: 'NFC' }],
  ['GPT-4, split by what it matches', sequence(regex(LLAMA_3, 'Removed', true), bytes())],
  ['GPT-4o', sequence(regex(O200K), bytes())],
  ['BLOOM', sequence(regex(BLOOM), bytes())],
  ['StarCoder', sequence({ type: 'Digits', individual_digits: true }, bytes({ use_regex: true }))],
  [
    'DeepSeek-V2',
    sequence(
      regex('[\r\n]'),
      regex('\\s?\\p{L}+'),
      regex('\\s?\\p{P}+'),
      regex('[一-龥ࠀ-一가-퟿]+'),
      { type: 'Digits', individual_digits: true },
      bytes(),
    ),
  ],
  ['compatibility forms', sequence(regex(LLAMA_3), bytes()), { type: 'NFKC' }],
];

const PROSE =
  "It's THE 12345 days' end; we'll go, you're in… 中国的 été ﬁn 1/2\n\n  if (x >= 10) {\treturn; }\n";
const baseFile: Json = JSON.parse(
  saveTokenizerJson(trainBpe([PROSE.repeat(3)], { vocabSize: 420, specialTokens: ['<s>'] })),
);

// Not among these: U+0085 and U+FEFF (the peer's GPT-2 pattern uses JavaScript's \s) and numbers
// beyond ASCII (the peer's Digits uses JavaScript's \d; Hugging Face's own counts all numbers).
const UNITS = [
  ..."abcdeTHEsrtvmld  \n\r\t0123456789.,;:!?'()[]{}<>/\\_-+=*$…—“”éàñß",
  ...['中', '国', '的', '한', 'ア', '、', '。', '😀', '\u0301', '\u200d', '\u0000', '\ud800', 'ǅ'],
  ...["'s", "'LL", "'ve", 'ﬁ', 'Å', 'A\u030a', '<s>', ' the', 'The', '\u00a0', '\u3000'],
];

for (const [name, preTokenizer, normalizer = null] of FAMILY) {
  test(`pre-tokenizer of ${name}: ids of Hugging Face’s tokenizer`, () => {
    const file = { ...baseFile, pre_tokenizer: preTokenizer, normalizer };
    const ours = loadTokenizer(JSON.stringify(file));
    const peer = new PeerTokenizer(file as never, {});
    const unit = fc.constantFrom(...UNITS);
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 24, size: 'max' }), (units) => {
        const text = units.join('');
        const expected = peer.encode(text, { add_special_tokens: false }).ids;
        assert.deepEqual(Array.from(ours.encode(text)), expected);
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(Array.from(ours.encode(PROSE)), peer.encode(PROSE).ids);
  });
}

/** What a pre-tokenizer makes of a text. */
function words(preTokenizer: Json, text: string): readonly string[] {
  return readPreTokenizer(preTokenizer, 'pre_tokenizer').split(text);
}

test('pre-tokenizer of GPT-2: white space is Unicode’s, not JavaScript’s', () => {
  assert.deepEqual(words(bytes({ use_regex: true }), 'a\u0085\u0085b\ufeffc'), [
    'a',
    '\u0085',
    '\u0085',
    'b',
    '\ufeff',
    'c',
  ]);
});

test('Digits: counts every number of Unicode, one by one or in runs', () => {
  const digits = (individual_digits: boolean): Json =>
    sequence({ type: 'Digits', individual_digits }, bytes());
  assert.deepEqual(words(digits(true), 'a12½b'), ['a', '1', '2', '½', 'b']);
  assert.deepEqual(words(digits(false), 'a12½b'), ['a', '12½', 'b']);
});

test('Punctuation: stands alone by default; ASCII symbols count, others do not', () => {
  assert.deepEqual(words(sequence({ type: 'Punctuation' }, bytes()), 'a+$b€…«'), [
    'a',
    '+',
    '$',
    'b€',
    '…',
    '«',
  ]);
});

test('steps after ByteLevel: see the byte alphabet, as in Falcon’s tokenizer', () => {
  const falcon = sequence(
    { type: 'Punctuation', behavior: 'Contiguous' },
    bytes({ use_regex: true }),
    { type: 'Digits', individual_digits: false },
    regex('[0-9][0-9][0-9]'),
  );
  assert.deepEqual(words(falcon, 'a 12345!!é'), ['a', 'Ġ', '123', '45', '!!', 'Ã©']);
  // The byte 0xB2 is spelled ², a number: the step cuts there, inside a character.
  assert.deepEqual(words(falcon, 'ò'), ['Ã', '²']);
  const tokenizer = loadTokenizer(JSON.stringify({ ...baseFile, pre_tokenizer: falcon }));
  for (const text of [PROSE, 'òòò 中国中国中国中国', 'naïve ² façade 12345']) {
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  }
});

test('steps after ByteLevel: may cut inside a character, and long words stay right', () => {
  const text = 'Ⲁ文字文字文字文字 Ⲁ文字文字文字';
  const trained = trainBpe([text], { vocabSize: 300, specialTokens: ['<s>'], minFrequency: 1 });
  const inside = { type: 'Split', pattern: { String: '²' }, behavior: 'Isolated', invert: false };
  const file = {
    ...JSON.parse(saveTokenizerJson(trained)),
    pre_tokenizer: sequence(bytes(), inside),
  };
  const tokenizer = loadTokenizer(JSON.stringify(file));
  assert.deepEqual(
    Array.from(tokenizer.encode(text)),
    new PeerTokenizer(file, {}).encode(text).ids,
  );
});

test('DeepSeek-V3’s steps, and only those, have a scanner', () => {
  const patterns = DEEPSEEK_V3_PATTERNS.map((pattern) => regex(pattern));
  const scanner = (...steps: Json[]): unknown => readPreTokenizer(sequence(...steps), '').scan;
  assert.equal(typeof scanner(...patterns, bytes()), 'function');
  assert.equal(scanner(...patterns, bytes({ add_prefix_space: true })), undefined);
  assert.equal(scanner(...patterns, bytes({ use_regex: true })), undefined);
  assert.equal(scanner(...patterns.slice(1), bytes()), undefined);
  assert.equal(scanner(...patterns.toReversed(), bytes()), undefined);
  const inverted = regex(DEEPSEEK_V3_PATTERNS[0] as string, 'Isolated', true);
  assert.equal(scanner(inverted, ...patterns.slice(1), bytes()), undefined);
});

test('added tokens: normalized ones are found in the normalized text, others before', () => {
  const file = structuredClone(baseFile);
  file.normalizer = { type: 'Sequence', normalizers: [{ type: 'NFKC' }] };
  file.added_tokens = [
    { id: 0, content: '<s>', special: true },
    { id: 900, content: '<ﬁn>', normalized: true },
    { id: 901, content: '<ﬂat>', normalized: false },
  ];
  const tokenizer = loadTokenizer(JSON.stringify(file));
  const peer = new PeerTokenizer(file as never, {});
  for (const text of ['a<fin>b', 'a<ﬁn>b', 'a<flat>b', 'a<ﬂat>b', '＜fin＞', '<ﬁn><ﬂat>ﬁ']) {
    assert.deepEqual(Array.from(tokenizer.encode(text)), peer.encode(text).ids, text);
  }
  assert.equal(tokenizer.encode('＜fin＞')[0], 900);
  // A spelling that only comes about by normalizing is shielded as well.
  const shielded = tokenizer.encode(tokenizer.shield('x＜fin＞', '\ufdd0'), {
    shieldMark: '\ufdd0',
  });
  assert.deepEqual(shielded, tokenizer.encode('x<fin>', { addedTokens: 'text' }));
});

test('normalizers: Replace and Prepend change the text, an empty one stays empty', () => {
  const file = structuredClone(baseFile);
  file.normalizer = {
    type: 'Sequence',
    normalizers: [
      { type: 'Replace', pattern: { Regex: '\\s+' }, content: '$&' },
      { type: 'Replace', pattern: { String: '.' }, content: '' },
      { type: 'Prepend', prepend: '_' },
    ],
  };
  const tokenizer = loadTokenizer(JSON.stringify(file));
  assert.equal(tokenizer.decode(tokenizer.encode('a \n b.')), '_a$&b');
  assert.equal(tokenizer.encode('.').length, 0);
  assert.equal(tokenizer.encode('').length, 0);
});
