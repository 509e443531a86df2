/**
 * Holds documents out for validation. Whole documents, because a model that has read the other half
 * of a page knows too much about this half; chosen by a hash of their id, so that neither the seed
 * nor the order nor a document added elsewhere changes who is held out.
 *
 * Documents are taken in order of hash while they fit into the share. Where not even one fits (a
 * single long file), the end of the first by hash is held out, cut at a line or a word.
 */
import type { TextDocument } from '../../base/document.ts';
import { MoebiusError } from '../../base/errors.ts';

export interface SplitRules {
  /** Held-out bytes, as a share of each source's. */
  readonly share: number;
  /** Held-out bytes at most, over all sources. */
  readonly maxBytes: number;
}

export interface Split {
  /** One list per source, in its order. */
  readonly training: readonly (readonly TextDocument[])[];
  readonly validation: readonly TextDocument[];
  /** Ids of documents whose end was held out, for lack of a whole one that fits. */
  readonly cut: readonly string[];
}

/** @throws data.tooShort when a source has too little text to hold any out */
export function splitSources(
  sources: readonly (readonly TextDocument[])[],
  rules: SplitRules,
): Split {
  const sizes = sources.map((documents) => documents.map(({ text }) => utf8Length(text)));
  const totals = sizes.map((ofSource) => ofSource.reduce((sum, size) => sum + size, 0));
  const total = totals.reduce((sum, size) => sum + size, 0);
  const training: TextDocument[][] = [];
  const validation: TextDocument[] = [];
  const cut: string[] = [];
  for (const [index, documents] of sources.entries()) {
    const size = totals[index] ?? 0;
    const room = Math.min(rules.share * size, (rules.maxBytes * size) / total);
    const held = chooseWhole(documents, sizes[index] ?? [], room);
    if (held.size > 0) {
      training.push(documents.filter((document) => !held.has(document)));
      validation.push(...documents.filter((document) => held.has(document)));
      continue;
    }
    const [first] = documents.toSorted(byHash);
    if (first === undefined) throw tooShort(index);
    const ends = cutEnd(first, room);
    if (ends === null) throw tooShort(index);
    training.push(documents.map((document) => (document === first ? ends.kept : document)));
    validation.push(ends.held);
    cut.push(first.id);
  }
  return { training, validation, cut };
}

/** UTF-8 length, as `TextEncoder` would count it, without the copy. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      length += 1;
    } else if (unit < 0xd800 || unit > 0xdbff || !isLowSurrogate(text.charCodeAt(i + 1))) {
      length += 2;
    } else {
      // A pair: four bytes for two units.
      length += 2;
      i++;
    }
  }
  return length;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function chooseWhole(
  documents: readonly TextDocument[],
  sizes: readonly number[],
  room: number,
): ReadonlySet<TextDocument> {
  const sizeOf = new Map(documents.map((document, index) => [document, sizes[index] ?? 0]));
  const held = new Set<TextDocument>();
  let taken = 0;
  for (const document of documents.toSorted(byHash)) {
    const size = sizeOf.get(document) ?? 0;
    if (size === 0 || taken + size > room) continue;
    held.add(document);
    taken += size;
  }
  return held;
}

function byHash(a: TextDocument, b: TextDocument): number {
  return hashText(a.id) - hashText(b.id) || (a.id < b.id ? -1 : 1);
}

/** FNV-1a with a final mix, so that ids that differ in their last letter fall far apart. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** About `room` bytes from the end, from the start of a line, else of a word, else of a letter. */
function cutEnd(
  document: TextDocument,
  room: number,
): { kept: TextDocument; held: TextDocument } | null {
  const { id, text } = document;
  let index = text.length;
  for (let bytes = 0; index > 0 && bytes < room; ) {
    const units = index > 1 && isLowSurrogate(text.charCodeAt(index - 1)) ? 2 : 1;
    index -= units;
    bytes += utf8Length(text.slice(index, index + units));
  }
  const reach = index + Math.floor((text.length - index) / 2);
  for (const separator of ['\n', ' ']) {
    const found = text.indexOf(separator, index);
    if (found >= 0 && found < reach) {
      index = found + 1;
      break;
    }
  }
  const [kept, held] = [text.slice(0, index), text.slice(index)];
  if (kept.trim() === '' || held.trim() === '') return null;
  return { kept: { id, text: kept }, held: { id: `${id}/end`, text: held } };
}

function tooShort(source: number): MoebiusError {
  return new MoebiusError('data.tooShort', 'there is too little text to hold any out', {
    values: { source },
    hint: 'Give more text, or documents of their own in data.validation.path.',
  });
}
