/** Training, held to the definition and to what others make of the file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { loadTokenizer } from './byteLevelBpe.ts';
import { byteTokenizer } from './byteTokenizer.ts';
import { DEFAULT_SPECIAL_TOKENS } from './specialTokens.ts';
import { saveTokenizerJson } from './tokenizerFile.ts';
import { type TrainBpeProgress, trainBpe } from './trainBpe.ts';

/** The definition: all pairs counted anew before every merge. Words are cut before spaces. */
function trainByDefinition(texts: readonly string[], numTokens: number): readonly string[] {
  // The byte alphabet spells a space Ġ, which comes after the letters.
  const spelledTexts = texts.map((text) => text.replaceAll(' ', 'Ġ'));
  const tokens = ['a', 'b', 'c', 'Ġ'];
  const target = tokens.length + numTokens;
  const words = spelledTexts.flatMap((text) => text.match(/Ġ?[^Ġ]+/g) ?? []).map((w) => [...w]);
  const merges: string[] = [];
  while (tokens.length < target) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const pair = `${word[i]}+${word[i + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const ranked = [...counts].map(([pair, count]) => {
      const [left = '', right = ''] = pair.split('+');
      return { left, right, count, ids: [tokens.indexOf(left), tokens.indexOf(right)] as const };
    });
    ranked.sort((x, y) => y.count - x.count || x.ids[0] - y.ids[0] || x.ids[1] - y.ids[1]);
    const [best] = ranked;
    if (best === undefined || best.count < 2) break;
    const { left, right } = best;
    merges.push(`${left}+${right}`.replaceAll('Ġ', ' '));
    assert.ok(!tokens.includes(left + right), 'no token is made twice');
    tokens.push(left + right);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
      }
    }
  }
  return merges;
}

const PROSE = [
  'Call me Ishmael. Some years ago, never mind how long precisely, having little money,',
  'I thought I would sail about a little and see the watery part of the world. It is a way I',
  'have of driving off the spleen, and regulating the circulation. 船、船长和鲸鱼；船长和鲸鱼。',
  'Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly November',
];

test('trainBpe: merges what the definition merges, ties included', () => {
  const word = fc.string({
    unit: fc.constantFrom('a', 'b', 'c'),
    minLength: 1,
    maxLength: 14,
    size: 'max',
  });
  const text = fc
    .array(word, { minLength: 1, maxLength: 12, size: 'max' })
    .map((words) => words.join(' '));
  const decoder = new TextDecoder();
  fc.assert(
    fc.property(fc.array(text, { maxLength: 4, size: 'max' }), fc.nat(30), (texts, numTokens) => {
      const { merges, vocabSize } = trainBpe(texts, {
        vocabSize: 256 + numTokens,
        specialTokens: [],
      });
      const spelled = merges.map((rule) => rule.map((side) => decoder.decode(side)).join('+'));
      assert.deepEqual(spelled, trainByDefinition(texts, numTokens));
      assert.equal(vocabSize, 256 + spelled.length);
    }),
    { numRuns: 300 },
  );
});

test('trainBpe: the file is read by Hugging Face’s tokenizer, which gives the same ids', () => {
  const json = saveTokenizerJson(trainBpe(PROSE, { vocabSize: 400, minFrequency: 1 }));
  const ours = loadTokenizer(json);
  const peer = new PeerTokenizer(JSON.parse(json), { clean_up_tokenization_spaces: false });
  const unit = fc.oneof(fc.constantFrom(...'aeinth ,.船长\n19'), fc.string({ unit: 'grapheme' }));
  const piece = fc.oneof(fc.constantFrom(...DEFAULT_SPECIAL_TOKENS, ...PROSE), unit);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12, size: 'max' }), (pieces) => {
      const text = pieces.join('');
      const ids = [...ours.encode(text)];
      assert.deepEqual(ids, peer.encode(text, { add_special_tokens: false }).ids);
      assert.equal(ours.decode(ids), text.toWellFormed());
    }),
    { numRuns: 300 },
  );
  assert.equal(ours.vocabSize, 400);
  assert.equal(ours.encode('whenever').length < 'whenever'.length, true);
});

test('trainBpe: special tokens have the first ids, then the bytes; BOS and EOS are known', () => {
  const trained = trainBpe(PROSE, { vocabSize: 300 });
  const tokenizer = loadTokenizer(saveTokenizerJson(trained));
  DEFAULT_SPECIAL_TOKENS.forEach((token, id) => {
    assert.equal(tokenizer.tokenToId(token), id);
  });
  assert.deepEqual([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId], [0, 1, 2]);
  const bytes = Array.from({ length: 256 }, (_, i) => [...tokenizer.tokenBytes(8 + i)]).flat();
  assert.deepEqual(
    bytes.sort((a, b) => a - b),
    Array.from({ length: 256 }, (_, i) => i),
  );
});

test('trainBpe: strings and their bytes give one vocabulary, and so do two runs', () => {
  const options = { vocabSize: 350 };
  const asBytes = PROSE.map((text) => new TextEncoder().encode(text));
  const json = saveTokenizerJson(trainBpe(PROSE, options));
  assert.equal(saveTokenizerJson(trainBpe(asBytes, options)), json);
  assert.equal(saveTokenizerJson(trainBpe(PROSE, options)), json);
});

test('trainBpe: stops when no pair comes often enough, and says how far it came', () => {
  const corpus = ['abab abab cdcd cdcd x'];
  const often = trainBpe(corpus, { vocabSize: 1000, specialTokens: [], minFrequency: 4 });
  assert.deepEqual(
    often.merges.map((rule) => rule.map((side) => new TextDecoder().decode(side))),
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  );
  assert.equal(often.vocabSize, 258);
  assert.equal(trainBpe([], { vocabSize: 300, specialTokens: [] }).vocabSize, 256);
});

test('trainBpe: tells how far it is', () => {
  const seen: TrainBpeProgress[] = [];
  const onProgress = (progress: TrainBpeProgress): number => seen.push(progress);
  trainBpe(PROSE, { vocabSize: 400, minFrequency: 1, onProgress });
  const numBytes = new TextEncoder().encode(PROSE.join('')).length;
  const counting = seen.filter((one) => one.kind === 'counting');
  assert.equal(counting.length, PROSE.length);
  assert.deepEqual(counting.at(-1), { kind: 'counting', numTexts: PROSE.length, numBytes });
  assert.deepEqual(
    seen.slice(PROSE.length).map((one) => one.kind === 'merging' && one.numTokens),
    [328, 392, 400],
  );
});

test('trainBpe: no merge is spelled like a special token', () => {
  const trained = trainBpe(['Users User User Use'.repeat(4)], {
    vocabSize: 300,
    specialTokens: ['<s>', 'User'],
  });
  const tokenizer = loadTokenizer(saveTokenizerJson(trained));
  assert.equal(tokenizer.vocabSize, trained.vocabSize);
  assert.deepEqual([...tokenizer.encode('User')], [1]);
  const text = tokenizer.encode('User', { addedTokens: 'text' });
  assert.equal(text.length, 2);
  assert.equal(tokenizer.decode(text), 'User');
});

test('trainBpe: a token spelled like a property of objects is one like any other', () => {
  const corpus = Array(8).fill('__proto__ constructor __proto__ constructor');
  const json = saveTokenizerJson(trainBpe(corpus, { vocabSize: 300, specialTokens: [] }));
  const tokenizer = loadTokenizer(json);
  const ids = tokenizer.encode('__proto__');
  assert.equal(tokenizer.decode(ids), '__proto__');
  assert.deepEqual([...ids], new PeerTokenizer(JSON.parse(json), {}).encode('__proto__').ids);
});

test('trainBpe: refuses sizes, frequencies and special tokens that cannot be', () => {
  const refusals = [
    [{ vocabSize: 263 }, 'tokenizer.vocabSize', /Raise vocabSize to a whole number from 264 up/],
    [{ vocabSize: 300.5 }, 'tokenizer.vocabSize', /whole number/],
    [{ vocabSize: 300, minFrequency: 0 }, 'tokenizer.minFrequency', /1 or more/],
    [{ vocabSize: 300, specialTokens: ['<a>', '<a>'] }, 'tokenizer.specialToken', /once/],
    [{ vocabSize: 300, specialTokens: [''] }, 'tokenizer.specialToken', /valid text/],
    [{ vocabSize: 300, specialTokens: ['<\ud800>'] }, 'tokenizer.specialToken', /valid text/],
  ] as const;
  for (const [options, code, hint] of refusals)
    assert.throws(() => trainBpe([], options), { code, hint });
});

test('byteTokenizer: one id per byte, and the special tokens', () => {
  const tokenizer = byteTokenizer();
  assert.equal(tokenizer.vocabSize, DEFAULT_SPECIAL_TOKENS.length + 256);
  const ids = tokenizer.encode('é 船');
  assert.deepEqual(
    [...ids].flatMap((id) => [...tokenizer.tokenBytes(id)]),
    [...new TextEncoder().encode('é 船')],
  );
  assert.equal(tokenizer.decode(ids), 'é 船');
});
