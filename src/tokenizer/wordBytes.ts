/** The bytes of a short word, without the cost of a call into the engine's encoder. */
import { assert } from '../base/assert.ts';
import { byteOfCode } from './byteAlphabet.ts';

/**
 * Writes the UTF-8 bytes of `text` to `out`, which has room for three per unit; a lone
 * surrogate is written as U+FFFD.
 *
 * @returns how many bytes there are
 */
export function utf8Bytes(text: string, out: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    let point = text.codePointAt(at) as number;
    if (point < 0x80) {
      out[count++] = point;
      continue;
    }
    if (point < 0x800) {
      out[count++] = 0xc0 | (point >> 6);
    } else {
      if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
      if (point < 0x10000) {
        out[count++] = 0xe0 | (point >> 12);
      } else {
        at++;
        out[count++] = 0xf0 | (point >> 18);
        out[count++] = 0x80 | ((point >> 12) & 0x3f);
      }
      out[count++] = 0x80 | ((point >> 6) & 0x3f);
    }
    out[count++] = 0x80 | (point & 0x3f);
  }
  return count;
}

/** The same for a word spelled in the byte alphabet: one byte per character. */
export function unspell(text: string, out: Uint8Array): number {
  for (let at = 0; at < text.length; at++) {
    const byte = byteOfCode(text.charCodeAt(at));
    assert(byte >= 0, 'a spelled word holds only the byte alphabet');
    out[at] = byte;
  }
  return text.length;
}
