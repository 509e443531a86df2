/**
 * The byte alphabet: how a `tokenizer.json` of the byte-level family spells bytes.
 *
 * Every byte is one printable character. The 188 bytes that print in Latin-1 stand for themselves
 * (`!`…`~`, `¡`…`¬`, `®`…`ÿ`); the other 68 become U+0100, U+0101, … in byte order, so a space is
 * `Ġ` and a line feed `Ċ` (Radford et al., 2019, GPT-2's byte-level BPE).
 */

/** The character code of each byte. */
export const BYTE_TO_CODE: Uint16Array = new Uint16Array(256);

/** The byte of each character code below 324, or −1 where the alphabet has no such character. */
export const CODE_TO_BYTE: Int16Array = new Int16Array(324).fill(-1);

let nextCode = 256;
for (let byte = 0; byte < 256; byte++) {
  const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const code = prints ? byte : nextCode++;
  BYTE_TO_CODE[byte] = code;
  CODE_TO_BYTE[code] = byte;
}

/** Bytes as the file spells them: `0x20 0x61` → `Ġa`. */
export function spellBytes(bytes: Uint8Array): string {
  let spelled = '';
  for (const byte of bytes) spelled += String.fromCharCode(BYTE_TO_CODE[byte] as number);
  return spelled;
}

/** The byte one character stands for, or −1. */
export function byteOfCode(code: number): number {
  return code < CODE_TO_BYTE.length ? (CODE_TO_BYTE[code] as number) : -1;
}
