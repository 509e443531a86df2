/** Reading a tokenizer.json: the forms it comes in, and everything that is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { loadTokenizer, type Tokenizer } from './byteLevelBpe.ts';
import { saveTokenizerJson } from './tokenizerFile.ts';

type Json = Record<string, unknown>;

const RULES = [
  ['a', 'b'],
  ['ab', 'c'],
  ['Ġ', 'ab'],
] as const;

/** A small sound file, for each test to change. */
function soundFile(): Json & { model: Json; added_tokens: Json[] } {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text.replace('Ġ', ' '));
  const merges = RULES.map(([left, right]) => [bytes(left), bytes(right)] as const);
  return JSON.parse(saveTokenizerJson({ specialTokens: ['<s>', '</s>'], merges }));
}

function load(file: unknown): Tokenizer {
  return loadTokenizer(JSON.stringify(file));
}

/** The tokens a text becomes. */
function tokensOf(tokenizer: Tokenizer, text: string): readonly (string | undefined)[] {
  return Array.from(tokenizer.encode(text), (id) => tokenizer.idToToken(id));
}

function assertRefused(file: unknown, code: string, message: RegExp): void {
  assert.throws(
    () => (typeof file === 'string' ? loadTokenizer(file) : load(file)),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(error.hint?.endsWith('.'), error.message);
      return true;
    },
  );
}

test('loadTokenizer: reads rules as "a b" and ["a", "b"], before or after the vocabulary', () => {
  const file = soundFile();
  const expected = ['abc', 'Ġab', 'Ġ', 'c'];
  assert.deepEqual(tokensOf(load(file), 'abc ab c'), expected);
  const pairs = { ...file.model, merges: RULES };
  assert.deepEqual(tokensOf(load({ ...file, model: pairs }), 'abc ab c'), expected);
  const { merges, ...rest } = pairs;
  const first = { ...file, model: { merges, ...rest } };
  assert.deepEqual(tokensOf(load(first), 'abc ab c'), expected);
});

test('loadTokenizer: reads bytes and indented text alike, and a file that names no model', () => {
  const { model, ...rest } = soundFile();
  const { type: _, ...unnamed } = model;
  const text = JSON.stringify({ ...rest, model: unnamed }, null, 4);
  const bytes = new TextEncoder().encode(text);
  assert.deepEqual(tokensOf(loadTokenizer(bytes), 'abc'), ['abc']);
  assert.deepEqual(tokensOf(loadTokenizer(text), 'abc'), ['abc']);
});

test('loadTokenizer: ids may leave gaps, which no token fills', () => {
  const file = soundFile();
  file.added_tokens.push({ id: 300, content: '<far>', special: false });
  const tokenizer = load(file);
  assert.equal(tokenizer.vocabSize, 301);
  assert.equal(tokenizer.idToToken(299), undefined);
  assert.deepEqual(tokensOf(tokenizer, 'a<far>'), ['a', '<far>']);
  assert.throws(() => tokenizer.decode([299]), { code: 'tokenizer.unknownId' });
});

test('loadTokenizer: a pair listed twice keeps its last rank, as in Hugging Face', () => {
  const file = soundFile();
  file.model.vocab = { ...(file.model.vocab as Json), bc: 290 };
  file.model.merges = ['a b', 'b c', 'a b'];
  assert.deepEqual(tokensOf(load(file), 'abc'), ['a', 'bc']);
});

test('loadTokenizer: ignore_merges takes a word that is a token whole', () => {
  const file = soundFile();
  file.model.vocab = { ...(file.model.vocab as Json), cab: 290 };
  assert.deepEqual(tokensOf(load(file), 'cab cab'), ['c', 'ab', 'Ġ', 'c', 'ab']);
  file.model.ignore_merges = true;
  assert.deepEqual(tokensOf(load(file), 'cab cab'), ['cab', 'Ġ', 'c', 'ab']);
});

test('loadTokenizer: bytes without a token become unk_token, fused or not, or are refused', () => {
  const file = soundFile();
  const { x: _, y: __, ...vocab } = file.model.vocab as Json;
  file.model.vocab = { ...vocab, '?!': 290 };
  assert.throws(() => load(file).encode('axyb'), { code: 'tokenizer.unknownByte', hint: /256/ });
  assert.deepEqual(tokensOf(load(file), 'ab'), ['ab']);
  file.model.unk_token = '?!';
  assert.deepEqual(tokensOf(load(file), 'axyb'), ['a', '?!', '?!', 'b']);
  file.model.fuse_unk = true;
  assert.deepEqual(tokensOf(load(file), 'axyb'), ['a', '?!', 'b']);
});

test('loadTokenizer: refuses what is no JSON, cut off or followed by more', () => {
  const text = JSON.stringify(soundFile());
  assertRefused('version https://git-lfs', 'tokenizer.notJson', /not JSON/);
  assertRefused('', 'tokenizer.notJson', /the end of the file/);
  assertRefused(text.slice(0, 3000), 'tokenizer.notJson', /at byte \d+ of 3\d{3}/);
  assertRefused(`${text}x`, 'tokenizer.notJson', /something after the end/);
  assertRefused('[]', 'tokenizer.shape', /tokenizer.json must be an object, not an array/);
});

test('loadTokenizer: refuses a file that lacks its model, vocabulary, rules or decoder', () => {
  const file = soundFile();
  const { model, ...noModel } = file;
  const { vocab: _, ...noVocab } = model;
  const { merges: __, ...noMerges } = model;
  assertRefused(noModel, 'tokenizer.shape', /model must be an object, not missing/);
  assertRefused({ ...file, model: 'BPE' }, 'tokenizer.shape', /model must be an object/);
  assertRefused({ ...file, model: noVocab }, 'tokenizer.shape', /model.vocab must be .* missing/);
  assertRefused({ ...file, model: noMerges }, 'tokenizer.shape', /model.merges must be .* missing/);
  const vocabList = { ...model, vocab: ['a'] };
  assertRefused({ ...file, model: vocabList }, 'tokenizer.shape', /model.vocab must be an object/);
  assertRefused({ ...file, decoder: null }, 'tokenizer.shape', /decoder must be an object/);
});

test('loadTokenizer: refuses other models and options that change what merging sees', () => {
  const { model, ...file } = soundFile();
  const refusals: readonly (readonly [Json, RegExp])[] = [
    [{ type: 'WordPiece' }, /the model WordPiece/],
    [{ type: 'Unigram', vocab: [['a', -1]] }, /the model Unigram/],
    [{ byte_fallback: true }, /byte_fallback/],
    [{ dropout: 0.1 }, /dropout/],
    [{ continuing_subword_prefix: '##' }, /continuing_subword_prefix/],
    [{ end_of_word_suffix: '</w>' }, /end_of_word_suffix/],
  ];
  for (const [change, message] of refusals) {
    assertRefused({ ...file, model: { ...model, ...change } }, 'tokenizer.unsupported', message);
  }
  assertRefused(
    { ...file, model: { ...model, unk_token: '<no>' } },
    'tokenizer.unknownToken',
    /<no>/,
  );
});

test('loadTokenizer: refuses two tokens with one id, and one token with two', () => {
  const file = soundFile();
  const vocab = file.model.vocab as Json;
  const twice = { ...file, model: { ...file.model, vocab: { ...vocab, abcd: vocab.abc } } };
  assertRefused(twice, 'tokenizer.duplicateId', /two tokens have the id/);
  const text = JSON.stringify(file).replace('"ab":', '"ab":999,"ab":');
  assertRefused(text, 'tokenizer.duplicateId', /the token ab has two ids/);
  const moved = { ...file, added_tokens: [{ id: 500, content: '<s>', special: true }] };
  assertRefused(moved, 'tokenizer.duplicateId', /the token <s> has two ids/);
  const taken = { ...file, added_tokens: [{ id: vocab.abc, content: '<new>' }] };
  assertRefused(taken, 'tokenizer.duplicateId', /two tokens have the id/);
  const same = { ...file, added_tokens: [...file.added_tokens, ...file.added_tokens] };
  assertRefused(same, 'tokenizer.shape', /no earlier added token has/);
});

test('loadTokenizer: refuses ids that are negative, broken, too large or no numbers', () => {
  const file = soundFile();
  for (const id of [-1, 1.5, 2 ** 22, 1e300]) {
    const vocab = { ...(file.model.vocab as Json), bad: id };
    const message = /the token bad has the id .* no integer in 0 … 4194303/;
    assertRefused({ ...file, model: { ...file.model, vocab } }, 'tokenizer.idOutOfRange', message);
    const added = [{ id, content: 'bad' }];
    assertRefused({ ...file, added_tokens: added }, 'tokenizer.idOutOfRange', message);
  }
  const words = { ...file, model: { ...file.model, vocab: { a: 'one' } } };
  assertRefused(words, 'tokenizer.idOutOfRange', /the token a has the id one/);
  assertRefused(
    { ...file, added_tokens: [{ content: 'x' }] },
    'tokenizer.idOutOfRange',
    /undefined/,
  );
});

test('loadTokenizer: refuses rules that name unknown tokens or are not two tokens', () => {
  const { model, ...file } = soundFile();
  const withRules = (...merges: unknown[]): Json => ({ ...file, model: { ...model, merges } });
  const unknown = /model.merges\[1\] names the token (zq|aq|q), which model.vocab does not have/;
  assertRefused(withRules('a b', 'z q'), 'tokenizer.unknownToken', unknown);
  assertRefused(withRules('a b', 'zq a'), 'tokenizer.unknownToken', unknown);
  assertRefused(withRules('a b', ['a', 'q']), 'tokenizer.unknownToken', unknown);
  const wrong = [['a'], ['a', 'b', 'c'], 7, 'ab', ' b', 'a ', ['a', 7], {}, ''];
  for (const rule of wrong) {
    assertRefused(withRules('a b', rule), 'tokenizer.shape', /model.merges\[1\]/);
  }
});

test('loadTokenizer: refuses kinds of every stage by name', () => {
  const file = soundFile();
  const bytes = { type: 'ByteLevel', add_prefix_space: false };
  const sequence = (...pretokenizers: Json[]): Json => ({ type: 'Sequence', pretokenizers });
  const refusals: readonly (readonly [Json, RegExp])[] = [
    [{ normalizer: { type: 'Lowercase' } }, /normalizer: the normalizer Lowercase/],
    [
      { normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Precompiled' }] } },
      /normalizer.normalizers\[1\]: the normalizer Precompiled/,
    ],
    [{ pre_tokenizer: null }, /with 0 ByteLevel steps/],
    [{ pre_tokenizer: { type: 'Metaspace' } }, /the pre-tokenizer Metaspace/],
    [{ pre_tokenizer: sequence(bytes, bytes) }, /with 2 ByteLevel steps/],
    [{ post_processor: { type: 'BertProcessing' } }, /the post-processor BertProcessing/],
    [{ decoder: { type: 'WordPiece' } }, /the decoder WordPiece/],
    [{ decoder: { type: 'Sequence', decoders: [] } }, /the decoder Sequence/],
  ];
  for (const [change, message] of refusals) {
    assertRefused({ ...file, ...change }, 'tokenizer.unsupported', message);
  }
  const split = { type: 'Split', pattern: { Regex: '\\b' }, behavior: 'Isolated' };
  assertRefused({ ...file, pre_tokenizer: sequence(split, bytes) }, 'tokenizer.regex', /\\b/);
});

test('loadTokenizer: refuses fields of the wrong type, saying where', () => {
  const file = soundFile();
  const [first] = file.added_tokens;
  const refusals: readonly (readonly [Json, RegExp])[] = [
    [{ added_tokens: {} }, /added_tokens must be an array, not an object/],
    [
      { added_tokens: [{ ...first, special: 1 }] },
      /added_tokens\[0\].special must be true or false/,
    ],
    [{ added_tokens: [{ id: 0, content: '' }] }, /added_tokens\[0\].content must be a non-empty/],
    [{ added_tokens: [{ id: 0 }] }, /added_tokens\[0\].content must be a string, not missing/],
    [{ pre_tokenizer: { type: 7 } }, /pre_tokenizer.type must be a string, not 7/],
    [{ normalizer: [] }, /normalizer must be an object, not an array/],
    [
      { model: { ...file.model, ignore_merges: 'no' } },
      /model.ignore_merges must be true or false/,
    ],
  ];
  for (const [change, message] of refusals) {
    assertRefused({ ...file, ...change }, 'tokenizer.shape', message);
  }
});

test('post-processor: a template puts its tokens around the text, in a sequence too', () => {
  const file = soundFile();
  const template = {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '<s>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '</s>', type_id: 0 } },
    ],
    pair: [],
    special_tokens: { '<s>': { ids: [0] }, '</s>': { ids: [1] } },
  };
  const encoded = (post: Json): readonly number[] => [
    ...load({ ...file, post_processor: post }).encode('<s>', { addSpecialTokens: 'template' }),
  ];
  assert.deepEqual(encoded(template), [0, 1]);
  assert.deepEqual(encoded({ type: 'ByteLevel' }), [0]);
  const roberta = { type: 'RobertaProcessing', cls: ['</s>', 1], sep: ['<s>', 0] };
  assert.deepEqual(encoded(roberta), [1, 0, 0]);
  assert.deepEqual(encoded({ type: 'Sequence', processors: [template, roberta] }), [1, 0, 0, 1, 0]);

  const post = (change: Json): Json => ({ ...file, post_processor: { ...template, ...change } });
  const unknown = { special_tokens: { '<s>': { ids: [999] }, '</s>': { ids: [1] } } };
  assertRefused(post(unknown), 'tokenizer.unknownToken', /names the id 999/);
  assertRefused(post({ single: [] }), 'tokenizer.shape', /a template with a text/);
  assertRefused(
    post({ single: template.single.concat(template.single) }),
    'tokenizer.shape',
    /after/,
  );
  assertRefused(post({ special_tokens: {} }), 'tokenizer.shape', /special_tokens.<s>/);
});
