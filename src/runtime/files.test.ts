/** Folders that appear whole or not at all, and what is left when the process dies on the way. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../tests/support/scripts.ts';
import {
  createFileSink,
  dropUnfinishedLine,
  openFolder,
  recoverFolders,
  writeFolder,
} from './files.ts';

function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

/** As a killed process leaves it: `name` half-written beside what is already there. */
function leaveDraft(parent: string, name: string): void {
  const draft = join(parent, `.draft-${name}-4711`);
  mkdirSync(draft, { recursive: true });
  writeFileSync(join(draft, 'half'), 'new');
}

test('writeFolder: gives the bytes it wrote and leaves nothing but the folder', async (context) => {
  const parent = temporaryFolder(context);
  const bytes = await writeFolder(join(parent, 'saved'), async ({ create, writeText }) => {
    await writeText('a.json', '{}');
    const sink = await create('b.bin');
    await sink.write(Uint8Array.of(1, 2, 3));
    await sink.close();
  });
  assert.equal(bytes, 5);
  assert.deepEqual(readdirSync(parent), ['saved']);
  assert.deepEqual(contents(join(parent, 'saved')), { 'a.json': '{}', 'b.bin': '\x01\x02\x03' });
});

test('writeFolder: a folder of that name is replaced whole', async (context) => {
  const parent = temporaryFolder(context);
  const path = join(parent, 'saved');
  await writeFolder(path, ({ writeText }) => writeText('old', '1'));
  await writeFolder(path, ({ writeText }) => writeText('new', '2'));
  assert.deepEqual(contents(path), { new: '2' });
  assert.deepEqual(readdirSync(parent), ['saved']);
});

test('writeFolder: a writer that fails leaves the old folder as it was', async (context) => {
  const parent = temporaryFolder(context);
  const path = join(parent, 'saved');
  await writeFolder(path, ({ writeText }) => writeText('old', '1'));
  const failing = writeFolder(path, async ({ writeText }) => {
    await writeText('new', '2');
    throw new RangeError('the disk is full');
  });
  await assert.rejects(failing, /the disk is full/);
  assert.deepEqual(contents(path), { old: '1' });
  assert.deepEqual(readdirSync(parent), ['saved']);
});

test('recoverFolders: half-written folders go, whole ones stay', async (context) => {
  const parent = temporaryFolder(context);
  await writeFolder(join(parent, 'step-1'), ({ writeText }) => writeText('old', '1'));
  leaveDraft(parent, 'step-1');
  leaveDraft(parent, 'step-2-2');
  assert.deepEqual(await recoverFolders(parent), {
    removed: ['step-1', 'step-2-2'],
    restored: [],
  });
  assert.deepEqual(readdirSync(parent), ['step-1']);
  assert.deepEqual(contents(join(parent, 'step-1')), { old: '1' });
});

test('recoverFolders: killed between two renames, the old folder is put back', async (context) => {
  const parent = temporaryFolder(context);
  await writeFolder(join(parent, 'step-1'), ({ writeText }) => writeText('old', '1'));
  leaveDraft(parent, 'step-1');
  renameSync(join(parent, 'step-1'), join(parent, '.replaced-step-1-4711'));
  assert.deepEqual(await recoverFolders(parent), { removed: ['step-1'], restored: ['step-1'] });
  assert.deepEqual(readdirSync(parent), ['step-1']);
  assert.deepEqual(contents(join(parent, 'step-1')), { old: '1' });
});

test('recoverFolders: killed after the second rename, the old one goes', async (context) => {
  const parent = temporaryFolder(context);
  await writeFolder(join(parent, 'step-1'), ({ writeText }) => writeText('new', '2'));
  mkdirSync(join(parent, '.replaced-step-1-4711'));
  assert.deepEqual(await recoverFolders(parent), { removed: [], restored: [] });
  assert.deepEqual(readdirSync(parent), ['step-1']);
  assert.deepEqual(contents(join(parent, 'step-1')), { new: '2' });
});

test('recoverFolders: other hidden names are somebody’s', async (context) => {
  const parent = temporaryFolder(context);
  for (const name of ['.draft-notes', '.git', '.replaced-', 'draft-a-1']) {
    mkdirSync(join(parent, name));
  }
  assert.deepEqual(await recoverFolders(parent), { removed: [], restored: [] });
  assert.equal(readdirSync(parent).length, 4);
  assert.equal(existsSync(join(parent, 'absent')), false);
  assert.deepEqual(await recoverFolders(join(parent, 'absent')), { removed: [], restored: [] });
});

test('createFileSink: appending keeps what was there', async (context) => {
  const path = join(temporaryFolder(context), 'below', 'metrics.jsonl');
  for (const [mode, text] of [
    ['new', 'a'],
    ['append', 'b'],
    ['append', 'c'],
  ] as const) {
    const sink = await createFileSink(path, mode);
    await sink.write(new TextEncoder().encode(text));
    await sink.close();
  }
  assert.equal(readFileSync(path, 'utf8'), 'abc');
});

test('dropUnfinishedLine: whole lines stay, half of one goes', async (context) => {
  const path = join(temporaryFolder(context), 'metrics.jsonl');
  assert.equal(await dropUnfinishedLine(path), 0);
  for (const [before, after] of [
    ['', ''],
    ['{"step":1}\n', '{"step":1}\n'],
    ['{"step":1}\n{"st', '{"step":1}\n'],
    ['{"st', ''],
    [`a\n${'b'.repeat(2 ** 17)}`, 'a\n'],
    [`${'a'.repeat(2 ** 16)}\n${'b'.repeat(2 ** 16)}`, `${'a'.repeat(2 ** 16)}\n`],
  ] as const) {
    writeFileSync(path, before);
    assert.equal(await dropUnfinishedLine(path), before.length - after.length);
    assert.equal(readFileSync(path, 'utf8'), after);
  }
});

test('openFolder: names that lead out of it are refused', async (context) => {
  const folder = temporaryFolder(context);
  writeFileSync(join(folder, 'inside'), '1');
  const opened = await openFolder(folder);
  for (const name of ['..', '.', '', '../inside', '/etc/passwd', 'a/b']) {
    await assert.rejects(opened.open(name), { code: 'file.outside' }, name);
  }
  assert.equal((await opened.open('inside')).byteLength, 1);
  await assert.rejects(openFolder(join(folder, 'inside')), { code: 'file.notFolder' });
  await assert.rejects(openFolder(join(folder, 'absent')), { code: 'file.missing' });
});
