/** The hand-written scanner, held to the regular expressions it stands for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEEPSEEK_V3_PATTERNS, scanDeepseekV3 } from './deepseekScanner.ts';
import { compileOniguruma } from './oniguruma.ts';
import { splitText } from './splitPattern.ts';

const RULES = DEEPSEEK_V3_PATTERNS.map((pattern) => ({
  pattern: compileOniguruma(pattern),
  behavior: 'Isolated' as const,
  isInverted: false,
}));

function wordsByRegex(text: string): readonly string[] {
  return RULES.reduce((pieces, rule) => pieces.flatMap((piece) => splitText(piece, rule)), [text]);
}

/** Scans with room for `room` ends at a time. */
function wordsByScanner(text: string, room: number): readonly string[] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const ends = new Int32Array(room);
  const words: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const count = scanDeepseekV3(bytes, { start: at, end: bytes.length }, ends);
    assert.ok(count > 0);
    for (const end of ends.subarray(0, count)) {
      words.push(decoder.decode(bytes.subarray(at, end)));
      at = end;
    }
  }
  return words;
}

/** One or more characters of every class that the patterns tell apart, and of their edges. */
const CHARACTERS = [
  ...['a', 'Z', 'é', 'ß', 'Ж', 'א', 'ا', 'ก', '가', 'ǅ', 'ʰ', '𝒜', '龦', 'ゟ', 'ヿ', '㐀', '𠀀'],
  ...['一', '龥', 'あ', 'ア', 'ー', '・', '゠', '゛', '\u3099', '\u3040', '\u3097', '〇', '、'],
  ...['\u0301', '\u20dd', '\ufe0f', '\u0903', '0', '7', '٣', '²', '½', 'Ⅷ', '𝟙', '①'],
  ...['.', "'", '!', '[', '\\', ']', '_', '`', '$', '+', '<', '^', '~', '—', '«', '€', '😀', '�'],
  ...[' ', ' ', '\n', '\n', '\r', '\t', '\v', '\f', '\u0085', '\u00a0', '\u3000', '\u2028'],
  ...['\u0000', '\u001b', '\u007f', '\u200b', '\u200d', '\ufeff', '\ue000', '\u0378', '\ufdd0'],
];

test('scanDeepseekV3: finds the words of the regular expressions, over all classes', () => {
  const unit = fc.constantFrom(...CHARACTERS);
  fc.assert(
    fc.property(
      fc.string({ unit, maxLength: 24, size: 'max' }),
      fc.integer({ min: 1, max: 9 }),
      (text, room) => {
        assert.deepEqual(wordsByScanner(text, room), wordsByRegex(text));
      },
    ),
    { numRuns: 4000 },
  );
});

test('scanDeepseekV3: finds the words of the regular expressions, over any characters', () => {
  const unit = fc.oneof(
    fc.constantFrom(...CHARACTERS),
    fc.integer({ min: 0, max: 0x10ffff }).map((point) => String.fromCodePoint(point)),
    fc.integer({ min: 0x3000, max: 0x3130 }).map((point) => String.fromCodePoint(point)),
  );
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 16, size: 'max' }), (text) => {
      const wellFormed = text.toWellFormed();
      assert.deepEqual(wordsByScanner(wellFormed, 64), wordsByRegex(wellFormed));
    }),
    { numRuns: 2000 },
  );
});

test('scanDeepseekV3: classifies each code point as the regular expressions do', () => {
  // Between letters, a code point shows its class by what it joins.
  for (let first = 0; first < 0x110000; first += 0x400) {
    if (first >= 0x40000 && first < 0xe0000) continue;
    const points = Array.from({ length: 0x400 }, (_, i) => first + i);
    const text = points
      .filter((point) => point < 0xd800 || point > 0xdfff)
      .map((point) => `a${String.fromCodePoint(point)}b `)
      .join('');
    assert.deepEqual(wordsByScanner(text, 4096), wordsByRegex(text));
  }
});

test('scanDeepseekV3: examples of each alternative', () => {
  const examples: readonly (readonly [string, readonly string[]])[] = [
    ['1234567', ['123', '456', '7']],
    ['a.b(c)', ['a', '.b', '(c', ')']],
    ["don't", ['don', "'t"]],
    ['.café', ['.caf', 'é']],
    ['  two', [' ', ' two']],
    ['x  \n\n  y', ['x', '  \n\n', ' ', ' y']],
    ['end.\r\n\n', ['end', '.\r\n\n']],
    ['日本語とカタカナ・です', ['日本語とカタカナ', '・', 'です']],
    ['第12章 的', ['第', '12', '章', ' ', '的']],
    ['\u0001\u0002abc', ['\u0001', '\u0002abc']],
  ];
  for (const [text, words] of examples) assert.deepEqual(wordsByScanner(text, 4), words);
});
