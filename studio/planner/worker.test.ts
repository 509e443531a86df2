/** The worker runs in a browser: nothing that it imports, however far, may know Node. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scanSource } from '../../tests/support/scanSource.ts';

test('worker: no import leads to Node', () => {
  const seen = new Map<string, readonly string[]>();
  const visit = (address: URL): void => {
    if (seen.has(address.href)) return;
    const { imports } = scanSource(readFileSync(fileURLToPath(address), 'utf8'));
    const specifiers = imports.map(({ specifier }) => specifier);
    seen.set(address.href, specifiers);
    for (const each of specifiers) if (each.startsWith('.')) visit(new URL(each, address));
  };
  visit(new URL('./worker.ts', import.meta.url));
  assert.ok(seen.size > 100, `only ${seen.size} files were followed`);
  const packages = new Set([...seen.values()].flat().filter((each) => !each.startsWith('.')));
  assert.deepEqual(
    [...packages].filter((each) => each !== 'zod'),
    [],
  );
});
