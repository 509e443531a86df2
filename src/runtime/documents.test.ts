/** Reading text from files: every accepted form, and every refusal with its place. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { MoebiusError } from '../base/errors.ts';
import { readDocuments } from './documents.ts';

type Files = Readonly<Record<string, string | Uint8Array>>;

async function withFiles(files: Files, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'moebius-documents-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function refuses(source: string, code: string, message: RegExp): Promise<void> {
  await assert.rejects(readDocuments(source), (error: unknown) => {
    assert.ok(error instanceof MoebiusError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(error.hint);
    return true;
  });
}

test('readDocuments: a text file is one document, byte for byte', async () => {
  await withFiles({ 'a.txt': 'Ünïcode 🐋\n\nline\n' }, async (folder) => {
    const documents = await readDocuments(join(folder, 'a.txt'));
    assert.deepEqual(documents, [{ id: 'a.txt', text: 'Ünïcode 🐋\n\nline\n' }]);
  });
});

test('readDocuments: each line of JSONL is a document, from text or messages', async () => {
  const lines = [
    JSON.stringify({ text: 'one\ntwo', meta: 1 }),
    '',
    JSON.stringify({
      messages: [
        { role: 'user', content: 'Who?' },
        { role: 'assistant', content: 'Ishmael.' },
      ],
    }),
  ];
  await withFiles({ 'a.jsonl': lines.join('\n') }, async (folder) => {
    assert.deepEqual(await readDocuments(join(folder, 'a.jsonl')), [
      { id: 'a.jsonl#1', text: 'one\ntwo' },
      { id: 'a.jsonl#3', text: 'User: Who?\n\nAssistant: Ishmael.' },
    ]);
  });
});

test('readDocuments: gzip of either reads as the plain file, lines across chunks too', async () => {
  // Long enough for many chunks of the decompressor, with two-byte letters on the seams.
  const texts = Array.from({ length: 300 }, (_, i) => `${i} ${'é'.repeat(1000 + i)}`);
  const jsonl = texts.map((text) => `${JSON.stringify({ text })}\r\n`).join('');
  const files = { 'a.jsonl.gz': gzipSync(jsonl), 'b.TXT.GZ': gzipSync('plain') };
  await withFiles(files, async (folder) => {
    const documents = await readDocuments(folder);
    assert.deepEqual(
      documents.map((document) => document.text),
      [...texts, 'plain'],
    );
    assert.equal(documents[299]?.id, 'a.jsonl.gz#300');
  });
});

test('readDocuments: folders are read whole, in order of path, without hidden files', async () => {
  const files = {
    'b/2.txt': '2',
    'b/10.txt': '10',
    'a.txt': 'a',
    'B.txt': 'B',
    '.hidden.txt': 'no',
    '.git/config': 'no',
    'é/deep/er.txt': 'deep',
  };
  await withFiles(files, async (folder) => {
    const ids = (await readDocuments(folder)).map((document) => document.id);
    assert.deepEqual(ids, ['B.txt', 'a.txt', 'b/10.txt', 'b/2.txt', 'é/deep/er.txt']);
  });
});

test('readDocuments: a missing path and an unknown extension are named', async () => {
  await withFiles({ 'data/a.txt': 'a', 'data/b.pdf': '%PDF' }, async (folder) => {
    await refuses(join(folder, 'nowhere'), 'data.missing', /there is no .*nowhere/);
    await refuses(join(folder, 'data'), 'data.unknownExtension', /b\.pdf is neither/);
    await refuses(join(folder, 'data', 'b.pdf'), 'data.unknownExtension', /b\.pdf/);
  });
});

test('readDocuments: an empty file, line or folder is an error', async () => {
  const files = {
    'blank.txt': ' \n\n',
    'none.jsonl': '\n\n',
    'line.jsonl': '{"text":"a"}\n{"text":" "}\n',
    'folder/.keep': '',
  };
  await withFiles(files, async (folder) => {
    await refuses(join(folder, 'blank.txt'), 'data.empty', /blank\.txt is empty/);
    await refuses(join(folder, 'none.jsonl'), 'data.empty', /none\.jsonl is empty/);
    await refuses(join(folder, 'line.jsonl'), 'data.empty', /line 2 has an empty text/);
    await refuses(join(folder, 'folder'), 'data.empty', /holds no document/);
  });
});

test('readDocuments: bytes that are no UTF-8 are found on their line', async () => {
  const latin1 = Buffer.from('first\nsecond\ncaf\xe9\n', 'latin1');
  const line = Buffer.from('{"text":"a"}\n{"text":"\xe9"}\n', 'latin1');
  await withFiles({ 'a.txt': latin1, 'a.jsonl': line }, async (folder) => {
    await refuses(join(folder, 'a.txt'), 'data.notUtf8', /line 3 is not UTF-8/);
    await refuses(join(folder, 'a.jsonl'), 'data.notUtf8', /line 2 is not UTF-8/);
  });
});

test('readDocuments: bad JSON and records without text are found on their line', async () => {
  const files = {
    'bad.jsonl': '{"text":"a"}\n\n{"text": oops}\n',
    'cut.jsonl': '{"text":"a"}\n{"text":"b',
    'other.jsonl': '{"body":"a"}\n',
    'list.jsonl': '{"text":"a"}\n["text"]\n',
    'messages.jsonl': '{"messages":[{"role":"user"}]}\n',
    'none.jsonl': '{"messages":[]}\n',
  };
  await withFiles(files, async (folder) => {
    await refuses(join(folder, 'bad.jsonl'), 'data.badJson', /line 3 is no JSON/);
    await refuses(join(folder, 'cut.jsonl'), 'data.badJson', /line 2 is no JSON/);
    await refuses(join(folder, 'other.jsonl'), 'data.noText', /line 1 has neither/);
    await refuses(join(folder, 'list.jsonl'), 'data.noText', /line 2 has neither/);
    await refuses(join(folder, 'messages.jsonl'), 'data.noText', /line 1/);
    await refuses(join(folder, 'none.jsonl'), 'data.noText', /line 1/);
  });
});

test('readDocuments: gzip that is damaged, cut or none at all is an error', async () => {
  const whole = gzipSync('text '.repeat(1000));
  const files = { 'cut.txt.gz': whole.subarray(0, whole.length - 12), 'no.txt.gz': 'plain' };
  await withFiles(files, async (folder) => {
    await refuses(join(folder, 'cut.txt.gz'), 'data.badGzip', /cut\.txt\.gz is damaged/);
    await refuses(join(folder, 'no.txt.gz'), 'data.badGzip', /no\.txt\.gz is damaged/);
  });
});

test('readDocuments: a link back to a folder above is an error, not an endless walk', async () => {
  await withFiles({ 'a/b.txt': 'b' }, async (folder) => {
    await symlink(folder, join(folder, 'a', 'loop'));
    await refuses(folder, 'data.loop', /leads back/);
  });
});
