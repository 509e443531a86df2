/**
 * One binary for both kinds of memory. The module imports its memory, and the import says in one
 * byte whether it is shared; all else, atomic instructions included, is valid on either. So a page
 * that may not share memory gets the same code with that one byte changed.
 *
 *     header (8 bytes), then sections: id, size, content
 *     import section (2): count, then module name, field name, kind; a memory (2): flags, min, max
 */
import { assert, at } from '../../base/assert.ts';

const HEADER_BYTES = 8;
const IMPORT_SECTION = 2;
const HAS_MAXIMUM = 1;
const IS_SHARED = 2;

/** The minimum the module asks for, and a copy of it that imports memory of the given kind. */
export function withMemory(
  bytes: Uint8Array,
  kind: 'shared' | 'unshared',
): { readonly bytes: Uint8Array; readonly minimumPages: number; readonly maximumPages: number } {
  const reader = new Reader(bytes);
  reader.position = HEADER_BYTES;
  while (reader.position < bytes.length) {
    const id = reader.byte();
    const end = reader.number() + reader.position;
    if (id === IMPORT_SECTION) {
      const at = findMemory(reader);
      const copy = bytes.slice();
      copy[at] = HAS_MAXIMUM | (kind === 'shared' ? IS_SHARED : 0);
      reader.position = at + 1;
      return { bytes: copy, minimumPages: reader.number(), maximumPages: reader.number() };
    }
    reader.position = end;
  }
  assert(false, 'the module imports nothing');
}

/** Where the flags of the imported memory lie. */
function findMemory(reader: Reader): number {
  for (let left = reader.number(); left > 0; left--) {
    reader.skipName();
    reader.skipName();
    const kind = reader.byte();
    if (kind === 2) {
      const flags = at(reader.bytes, reader.position);
      assert((flags & HAS_MAXIMUM) !== 0, 'the imported memory has no maximum');
      return reader.position;
    }
    assert(kind === 0, `import of an unexpected kind ${kind} before the memory`);
    reader.number(); // a function's type
  }
  assert(false, 'the module imports no memory');
}

class Reader {
  readonly bytes: Uint8Array;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    return at(this.bytes, this.position++);
  }

  /** LEB128 of at most five bytes. */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  skipName(): void {
    const length = this.number();
    this.position += length;
  }
}
