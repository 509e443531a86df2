/** What is found below a folder, and that no two of them share a name in URLs. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { array, assert as check, property, string, tuple } from 'fast-check';
import { findFolders, folderId } from './findFolders.ts';

const root = mkdtempSync(join(tmpdir(), 'moebius-runs-'));
after(() => rmSync(root, { recursive: true, force: true }));

function write(folder: string, ...files: readonly string[]): string {
  const path = join(root, folder);
  mkdirSync(path, { recursive: true });
  for (const file of files) writeFileSync(join(path, file), '');
  return path;
}

test('findFolders: runs and checkpoints; half ones, hidden ones and links are left', async () => {
  const run = write('b/run', 'train.json', 'metrics.jsonl');
  const weights = ['config.json', 'model.safetensors', 'optimizer.safetensors', 'train.json'];
  const checkpoint = write('b/run/checkpoints/step-1', ...weights);
  const other = write('a', 'train.json', 'metrics.jsonl');
  write('c', 'train.json');
  write('d', 'config.json', 'optimizer.safetensors');
  write('.hidden', 'train.json', 'metrics.jsonl');
  write('b/run/checkpoints/.draft-step-2-1', ...weights);
  write('e/node_modules/x', ...weights);
  symlinkSync(run, join(root, 'z'));
  assert.deepEqual(await findFolders(root), {
    ...{ runs: [other, run], checkpoints: [checkpoint], numLeftOut: 0 },
  });
  assert.deepEqual(await findFolders(join(root, 'nowhere')), {
    ...{ runs: [], checkpoints: [], numLeftOut: 0 },
  });
  const { runs, numLeftOut } = await findFolders(root, 1);
  assert.ok(runs.length === 0 && numLeftOut > 0, 'a limit cuts, and it is told how much');
});

test('folderId: letters of a URL alone, and another for another folder', () => {
  const name = string({ unit: 'grapheme', minLength: 1, maxLength: 6 }).map((text) =>
    text.replace(/[/\0]|^\.+$/g, '~'),
  );
  const path = array(name, { maxLength: 3 }).map((names) => join('/runs', ...names));
  const cases = property(tuple(path, path), ([a, b]) => {
    const [idA, idB] = [folderId('/runs', a), folderId('/runs', b)];
    assert.match(idA, /^[\w.~-]+$/);
    assert.equal(idA === idB, Buffer.from(a).equals(Buffer.from(b)));
  });
  check(cases, { numRuns: 500 });
});
