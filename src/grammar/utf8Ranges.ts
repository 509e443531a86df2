/**
 * A range of characters as UTF-8: a few sequences of byte ranges, each of which stands for all
 * combinations of its bytes (RFC 3629; the idea is Thompson's, as in Russ Cox, "Regular Expression
 * Matching in the Wild", 2010).
 */
import type { CodeRange } from './pattern.ts';

export type ByteRange = readonly [first: number, last: number];

/** Last code points of one, two, three and four bytes. */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** @param range without surrogates */
export function utf8Ranges([first, last]: CodeRange): readonly (readonly ByteRange[])[] {
  const sequences: (readonly ByteRange[])[] = [];
  const pending: CodeRange[] = [[first, last]];
  for (let range = pending.pop(); range !== undefined; range = pending.pop()) {
    const cut = cutOf(range);
    if (cut === null) {
      const [from, to] = [encode(range[0]), encode(range[1])];
      sequences.push(from.map((byte, i): ByteRange => [byte, to[i] as number]));
    } else pending.push([cut + 1, range[1]], [range[0], cut]);
  }
  return sequences;
}

/** Where a range must be cut so that every byte of it runs through a range of its own. */
function cutOf([first, last]: CodeRange): number | null {
  for (const end of LENGTH_ENDS) if (first <= end && last > end) return end;
  if (last <= 0x7f) return null;
  for (const bits of [6, 12, 18]) {
    const low = 2 ** bits - 1;
    if (Math.floor(first / (low + 1)) === Math.floor(last / (low + 1))) continue;
    if (first % (low + 1) !== 0) return first - (first % (low + 1)) + low;
    if (last % (low + 1) !== low) return last - (last % (low + 1)) - 1;
  }
  return null;
}

function encode(point: number): readonly number[] {
  const tail = (bits: number): number => 0x80 + (Math.floor(point / 2 ** bits) % 64);
  if (point <= 0x7f) return [point];
  if (point <= 0x7ff) return [0xc0 + Math.floor(point / 64), tail(0)];
  if (point <= 0xffff) return [0xe0 + Math.floor(point / 4096), tail(6), tail(0)];
  return [0xf0 + Math.floor(point / 262144), tail(12), tail(6), tail(0)];
}
