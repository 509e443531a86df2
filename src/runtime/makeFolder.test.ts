/** Folders: made level by level, and refused where the system will not have them. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { makeFolder } from './makeFolder.ts';

const folder = mkdtempSync(join(tmpdir(), 'moebius-makeFolder-'));
test.after(() => rmSync(folder, { recursive: true }));

const isNoFolder = (error: unknown): boolean =>
  error instanceof MoebiusError && error.code === 'file.noFolder';

test('makeFolder: all that is missing, and nothing where it is there', () => {
  const path = join(folder, 'a', 'b', 'c');
  for (let time = 0; time < 2; time++) makeFolder(path);
  assert(statSync(path).isDirectory());
});

test('makeFolder: a file in the way is named and kept', () => {
  const file = join(folder, 'file');
  writeFileSync(file, 'kept');
  for (const path of [file, join(file, 'below')]) assert.throws(() => makeFolder(path), isNoFolder);
  assert.equal(statSync(file).size, 4);
});

test('makeFolder: ends where the system has no room for folders', { skip: skipped() }, () => {
  assert.throws(() => makeFolder('/proc/moebius/runs'), isNoFolder);
});

function skipped(): string | false {
  return existsSync('/proc/self') ? false : 'there is no /proc';
}
