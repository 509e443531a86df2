/** The embedded corpora: what the packages really hold. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { corpusNames, readCorpus } from './corpus.ts';
import { readDocuments } from './documents.ts';

const bytesOf = (texts: readonly { text: string }[]): number =>
  texts.reduce((sum, { text }) => sum + new TextEncoder().encode(text).length, 0);

test('The addresses: 233 of them from 1790 on, 10.8 MB of English', async () => {
  const documents = await readCorpus('sotu');
  assert.equal(documents.length, 233);
  assert.equal(documents[0]?.id, 'sotu/1790_george_washington_n');
  assert.match(documents[0]?.text ?? '', /^Fellow-Citizens of the Senate/);
  assert.equal(Math.round(bytesOf(documents) / 1e5), 108);
});

test('The novel: 135 chapters, whose paragraphs are single lines', async () => {
  const documents = await readCorpus('moby-dick');
  assert.equal(documents.length, 135);
  assert.match(documents[0]?.text ?? '', /^CHAPTER 1\. Loomings\.\n\nCall me Ishmael\. Some years/);
  assert.match(documents[134]?.text ?? '', /as it rolled five thousand years ago\.$/);
  for (const { text } of documents) assert.doesNotMatch(text, /[^\n]\n[^\n]/);
});

test('The corpus of both: every document has text and an id of its own', async () => {
  const documents = await readDocuments('corpus:english');
  assert.equal(documents.length, 233 + 135);
  assert.equal(new Set(documents.map((document) => document.id)).size, documents.length);
  for (const { text } of documents) assert.ok(text.length > 100);
});

test('An unknown corpus is refused with the nearest name', async () => {
  assert.deepEqual(corpusNames, ['english', 'moby-dick', 'sotu']);
  await assert.rejects(readDocuments('corpus:moby-dik'), (error: unknown) => {
    assert.ok(error instanceof MoebiusError);
    assert.equal(error.code, 'data.unknownCorpus');
    assert.equal(error.hint, 'Did you mean moby-dick?');
    return true;
  });
});
