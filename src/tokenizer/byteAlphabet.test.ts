/** The byte alphabet: one printable character for each byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BYTE_TO_CODE, byteOfCode, spellBytes } from './byteAlphabet.ts';

test('byte alphabet: 256 characters, no two alike, none of them blank or a control', () => {
  const characters = Array.from(BYTE_TO_CODE, (code) => String.fromCharCode(code));
  assert.equal(new Set(characters).size, 256);
  assert.deepEqual(
    characters.filter((character) => /[\s\p{C}]/u.test(character)),
    [],
  );
});

test('byte alphabet: every byte comes back from its character, and nothing from others', () => {
  for (let byte = 0; byte < 256; byte++) {
    assert.equal(byteOfCode(BYTE_TO_CODE[byte] as number), byte);
  }
  for (const foreign of [0x20, 0x0a, 0xad, 0x144, 0x4e00, 0xffff]) {
    assert.equal(byteOfCode(foreign), -1);
  }
});

test('spellBytes: spells a space, a line feed and é as GPT-2 does', () => {
  assert.equal(spellBytes(new TextEncoder().encode(' a\né')), 'ĠaĊÃ©');
});
