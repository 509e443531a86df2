/**
 * Documents as token ids, all in one array, tokenized once for the whole run.
 *
 *     ids      a a a a b b c c c …
 *     offsets  0       4   6     9     document d is ids[offsets[d] … offsets[d + 1])
 *
 * Boundary tokens are not in it: packing writes them.
 */
import { at } from '../../base/assert.ts';
import type { TextDocument } from '../../base/document.ts';
import type { TextCodec } from './textCodec.ts';

export interface EncodedDocuments {
  readonly ids: Int32Array;
  readonly offsets: Uint32Array;
}

/** Text that spells a control token stays text: a document cannot end itself. */
export function encodeDocuments(
  documents: readonly TextDocument[],
  codec: TextCodec,
): EncodedDocuments {
  const offsets = new Uint32Array(documents.length + 1);
  const parts = documents.map(({ text }, index) => {
    const ids = codec.encode(text, { addedTokens: 'text' });
    offsets[index + 1] = at(offsets, index) + ids.length;
    return ids;
  });
  const ids = new Int32Array(at(offsets, documents.length));
  for (const [index, part] of parts.entries()) ids.set(part, at(offsets, index));
  return { ids, offsets };
}

export function numDocuments(documents: EncodedDocuments): number {
  return documents.offsets.length - 1;
}

export function documentIds(documents: EncodedDocuments, index: number): Int32Array {
  const { ids, offsets } = documents;
  return ids.subarray(at(offsets, index), at(offsets, index + 1));
}
