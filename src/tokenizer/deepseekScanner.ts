/**
 * DeepSeek-V3's pre-tokenizer as one hand-written scanner over UTF-8: the same words as its three
 * regular expressions applied one after the other, found in one pass and without allocating.
 *
 *   1. \p{N}{1,3}                     numbers, three digits at a time
 *   2. [一-龥぀-ゟ゠-ヿ]+               runs of Chinese characters and kana
 *   3. inside each piece of 1 and 2, at every position the first of these that matches:
 *      a  [ASCII punctuation][A-Za-z]+               .method  /path  'll
 *      b  [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+       a word, with one space or control before it
 *      c   ?[\p{P}\p{S}]+[\r\n]*                     punctuation, with the line ends after it
 *      d  \s*[\r\n]+                                 blank space up to its last line end
 *      e  \s+(?!\S)                                  blank space but for its last character
 *      f  \s+
 *      What none of them matches (control characters, unassigned code points) forms a word of its
 *      own up to the next match.
 *
 * `\s` is White_Space. No code point is in two of N, the CJK ranges and "other", so a piece is a
 * maximal run of one kind, and the scanner needs no first pass to find its end: it gives CJK
 * letters and signs bits of their own, and a run of one kind's letters stops at the other kind by
 * itself. deepseekScanner.test.ts holds this file to the regular expressions.
 */
import { type ClassRule, classifyBlock } from './unicodeClass.ts';

/** Patterns 1 to 3 as the published tokenizer.json spells them. */
export const DEEPSEEK_V3_PATTERNS: readonly string[] = [
  '\\p{N}{1,3}',
  '[一-龥぀-ゟ゠-ヿ]+',
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+' +
    '|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*' +
    '|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
];

/** Class bits of the "other" kind … */
const WORDLIKE = 1;
const SIGN = 2;
const BLANK = 4;
/** … of numbers, which have no further classes … */
const DIGIT = 8;
/** … and of the CJK kind: any of its code points, its letters and marks, its signs. */
const CJK = 16;
const CJK_WORDLIKE = 32;
const CJK_SIGN = 64;
/** Set on every filled entry, so that 0 means "not asked yet". */
const KNOWN = 128;

/** Bits by code point, filled a block at a time when first met: a memo of a pure function. */
const CLASSES: Uint8Array = new Uint8Array(0x110000);
const RULES: readonly ClassRule[] = [
  [KNOWN, /[\s\S]+/gv],
  [WORDLIKE, /[[\p{L}\p{M}]--[一-龥぀-ゟ゠-ヿ]]+/gv],
  [SIGN, /[[\p{P}\p{S}]--[一-龥぀-ゟ゠-ヿ]]+/gv],
  [BLANK, /\p{White_Space}+/gv],
  [DIGIT, /\p{N}+/gv],
  [CJK, /[一-龥぀-ゟ゠-ヿ]+/gv],
  [CJK_WORDLIKE, /[[\p{L}\p{M}]&&[一-龥぀-ゟ゠-ヿ]]+/gv],
  [CJK_SIGN, /[[\p{P}\p{S}]&&[一-龥぀-ゟ゠-ヿ]]+/gv],
];

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;

/**
 * Writes where the words of `bytes[start … end)`, well-formed UTF-8, end, until `ends` is full.
 *
 * The scan has no memory: to go on, call it again from the last end written.
 *
 * @returns how many ends were written
 */
export function scanDeepseekV3(
  bytes: Uint8Array,
  { start, end }: { readonly start: number; readonly end: number },
  ends: Int32Array,
): number {
  let count = 0;
  let at = start;
  while (at < end && count < ends.length) {
    const bits = bitsAt(bytes, at);
    if ((bits & DIGIT) !== 0) at = numberEnd(bytes, at, end);
    else if ((bits & CJK) !== 0) at = cjkWordEnd(bytes, at, end);
    else at = otherWordEnd(bytes, at, end);
    ends[count++] = at;
  }
  return count;
}

/** The bits of the code point whose first byte is at `at`. */
function bitsAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  let point = lead;
  if (lead >= 0x80) {
    point = (bytes[at + 1] as number) & 0x3f;
    if (lead < 0xe0) point |= (lead & 0x1f) << 6;
    else {
      point = (point << 6) | ((bytes[at + 2] as number) & 0x3f);
      if (lead < 0xf0) point |= (lead & 0x0f) << 12;
      else point = (point << 6) | ((bytes[at + 3] as number) & 0x3f) | ((lead & 0x07) << 18);
    }
  }
  if (CLASSES[point] === 0) classifyBlock(CLASSES, point, RULES);
  return CLASSES[point] as number;
}

function sizeAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function numberEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (let digits = 0; digits < 3 && at < end; digits++) {
    if ((bitsAt(bytes, at) & DIGIT) === 0) break;
    at += sizeAt(bytes, at);
  }
  return at;
}

/** Where the run of code points that have `bit` stops. */
function runEnd(bytes: Uint8Array, start: number, end: number, bit: number): number {
  let at = start;
  while (at < end && (bitsAt(bytes, at) & bit) !== 0) at += sizeAt(bytes, at);
  return at;
}

/** A word of a CJK piece: letters, signs, or unassigned code points of its ranges. */
function cjkWordEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; ; ) {
    const bits = at < end ? bitsAt(bytes, at) : 0;
    if ((bits & CJK) === 0) return at;
    const after = at + sizeAt(bytes, at);
    const isWord =
      (bits & CJK_WORDLIKE) !== 0 ||
      ((bits & CJK_SIGN) === 0 && after < end && (bitsAt(bytes, after) & CJK_WORDLIKE) !== 0);
    if (isWord || (bits & CJK_SIGN) !== 0) {
      if (at > start) return at;
      return runEnd(bytes, after, end, isWord ? CJK_WORDLIKE : CJK_SIGN);
    }
    at = after;
  }
}

/** A word of a piece of the "other" kind: the first match of pattern 3, or the gap before one. */
function otherWordEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; ; ) {
    if (at === end || (bitsAt(bytes, at) & (DIGIT | CJK)) !== 0) return at;
    const matched = matchEnd(bytes, at, end);
    if (matched >= 0) return at > start ? at : matched;
    at += sizeAt(bytes, at);
  }
}

/** Where pattern 3 stops when it starts exactly at `start`, or −1 when it does not match there. */
function matchEnd(bytes: Uint8Array, start: number, end: number): number {
  const lead = bytes[start] as number;
  const bits = bitsAt(bytes, start);
  const after = start + sizeAt(bytes, start);
  if ((bits & WORDLIKE) !== 0) return runEnd(bytes, after, end, WORDLIKE);
  if ((bits & SIGN) !== 0) {
    const isAlternativeA = lead < 0x80 && after < end && isAsciiLetter(bytes[after] as number);
    return isAlternativeA ? asciiLettersEnd(bytes, after, end) : signsEnd(bytes, after, end);
  }
  if (after < end && lead !== LINE_FEED && lead !== CARRIAGE_RETURN) {
    const next = bitsAt(bytes, after);
    if ((next & WORDLIKE) !== 0) return runEnd(bytes, after, end, WORDLIKE);
    if (lead === SPACE && (next & SIGN) !== 0) return signsEnd(bytes, after, end);
  }
  return (bits & BLANK) !== 0 ? blankEnd(bytes, start, end) : -1;
}

function isAsciiLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

function asciiLettersEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && isAsciiLetter(bytes[at] as number)) at++;
  return at;
}

function signsEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = runEnd(bytes, start, end, SIGN);
  while (at < end && isLineEnd(bytes[at] as number)) at++;
  return at;
}

function isLineEnd(byte: number): boolean {
  return byte === LINE_FEED || byte === CARRIAGE_RETURN;
}

/** Alternatives d, e and f. A piece ends at a digit or CJK character as it does at the end. */
function blankEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  let afterLineEnd = -1;
  let last = start;
  let bits = BLANK;
  for (;;) {
    if (isLineEnd(bytes[at] as number)) afterLineEnd = at + 1;
    last = at;
    at += sizeAt(bytes, at);
    bits = at < end ? bitsAt(bytes, at) : DIGIT;
    if ((bits & BLANK) === 0) break;
  }
  if (afterLineEnd >= 0) return afterLineEnd;
  const isPieceEnd = (bits & (DIGIT | CJK)) !== 0;
  return isPieceEnd || last === start ? at : last;
}
