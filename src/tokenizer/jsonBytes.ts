/**
 * Reads JSON from bytes, by hand where it is large and regular. A published vocabulary is 8 MB of
 * 250,000 short strings; reading them in place rather than making a string of each is what lets it
 * load several times faster. Everything else in the file is small and left to `JSON.parse`.
 */
import { MoebiusError } from '../base/errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** A range of bytes that holds a string's UTF-8, until the next string is read. */
export interface ByteRange {
  bytes: Uint8Array;
  start: number;
  end: number;
}

export class JsonBytes {
  /** Where reading goes on. */
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #file: string;
  readonly #decoder = new TextDecoder();
  /** Strings with escapes are put together here. */
  #unescaped = new Uint8Array(64);

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#file = file;
  }

  /** The next byte that is not white space, not yet taken; −1 at the end. */
  peek(): number {
    const bytes = this.#bytes;
    for (; this.at < bytes.length; this.at++) {
      const byte = bytes[this.at] as number;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
    }
    return -1;
  }

  get isObject(): boolean {
    return this.peek() === OPEN_BRACE;
  }

  get isArray(): boolean {
    return this.peek() === OPEN_BRACKET;
  }

  get isString(): boolean {
    return this.peek() === QUOTE;
  }

  get isNumber(): boolean {
    const byte = this.peek();
    return byte === MINUS || (byte >= 0x30 && byte <= 0x39);
  }

  /** Takes the end of an object or array, or what must stand before its next item. */
  #isDone(close: number, isFirst: boolean): boolean {
    const byte = this.peek();
    if (byte === close) {
      this.at++;
      return true;
    }
    if (!isFirst) this.#take(COMMA);
    return false;
  }

  /** Reads an object; `visit` takes each value, after its key, which is valid until then. */
  members(visit: (key: ByteRange) => void): void {
    this.#take(OPEN_BRACE);
    for (let isFirst = true; !this.#isDone(CLOSE_BRACE, isFirst); isFirst = false) {
      const key = this.string();
      this.#take(COLON);
      visit(key);
    }
  }

  /** Reads an array; `visit` takes each element. */
  elements(visit: (index: number) => void): void {
    this.#take(OPEN_BRACKET);
    for (let index = 0; !this.#isDone(CLOSE_BRACKET, index === 0); index++) visit(index);
  }

  readonly #range: ByteRange = { bytes: new Uint8Array(0), start: 0, end: 0 };

  /** Reads a string. The range is used again by the next call. */
  string(): ByteRange {
    this.#take(QUOTE);
    const bytes = this.#bytes;
    const range = this.#range;
    range.bytes = bytes;
    range.start = this.at;
    for (let i = this.at; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (byte === QUOTE) {
        range.end = i;
        this.at = i + 1;
        return range;
      }
      if (byte === BACKSLASH) return this.#escapedString(range);
      if (byte < 0x20) throw this.#fail('a control character in a string', i);
    }
    throw this.#fail('a string without an end', this.at);
  }

  /** A string with escapes: rare and short, so the engine may read it. */
  #escapedString(range: ByteRange): ByteRange {
    this.at = range.start - 1;
    const text = this.parse() as string;
    if (this.#unescaped.length < text.length * 3) this.#unescaped = new Uint8Array(text.length * 3);
    range.bytes = this.#unescaped;
    range.start = 0;
    range.end = new TextEncoder().encodeInto(text, this.#unescaped).written;
    return range;
  }

  /** Reads a number; small whole ones, which ids are, without a detour. */
  number(): number {
    const first = this.peek();
    const bytes = this.#bytes;
    const start = this.at;
    let value = 0;
    let i = start;
    for (; i < bytes.length && i < start + 9; i++) {
      const digit = (bytes[i] as number) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const next = bytes[i];
    const isPlain = next === COMMA || next === CLOSE_BRACE || next === 0x0a || next === 0x0d;
    if (i > start && isPlain && (first !== 0x30 || i === start + 1)) {
      this.at = i;
      return value;
    }
    const parsed = this.isNumber ? this.parse() : undefined;
    if (typeof parsed !== 'number') throw this.#fail('no number', start);
    return parsed;
  }

  /** Reads any value. */
  parse(): unknown {
    const start = this.pass();
    return this.parseRange(start, this.at);
  }

  /** The value that fills `bytes[start … end)`. */
  parseRange(start: number, end: number): unknown {
    try {
      return JSON.parse(this.#decoder.decode(this.#bytes.subarray(start, end)));
    } catch (cause) {
      throw this.#fail('no JSON value', start, cause);
    }
  }

  /** Passes over a value, whose inside is not checked, and returns where it starts. */
  pass(): number {
    const first = this.peek();
    const bytes = this.#bytes;
    const start = this.at;
    let depth = 0;
    let i = start;
    if (first < 0) throw this.#fail('the end of the file', start);
    for (; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (byte === QUOTE) {
        for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++;
        if (depth === 0) {
          i++;
          break;
        }
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        depth++;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (depth === 0) break;
        if (--depth === 0) {
          i++;
          break;
        }
      } else if (depth === 0 && (byte === COMMA || byte <= 0x20)) {
        break;
      }
    }
    if (i > bytes.length || depth > 0) throw this.#fail('a value without an end', start);
    this.at = i;
    return start;
  }

  /** Nothing but white space may follow. */
  finish(): void {
    if (this.peek() >= 0) throw this.#fail('something after the end', this.at);
  }

  #take(byte: number): void {
    if (this.peek() !== byte) throw this.#fail(`no ${String.fromCharCode(byte)}`, this.at);
    this.at++;
  }

  #fail(found: string, offset: number, cause?: unknown): MoebiusError {
    return new MoebiusError(
      'tokenizer.notJson',
      `${this.#file} is not JSON: ${found} at byte ${offset} of ${this.#bytes.length}`,
      {
        values: { file: this.#file, offset, byteLength: this.#bytes.length },
        hint: 'Fetch the file again: it may be truncated, or a pointer to a large file elsewhere.',
        ...(cause === undefined ? {} : { cause }),
      },
    );
  }
}
