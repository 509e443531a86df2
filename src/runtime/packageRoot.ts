/** Where this package lies: what it brings beside its code is found from there. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The nearest folder above this file that holds a package.json, so that a checkout (`src/runtime`)
 * and the published form (`dist/src/runtime`) find the same; null where the code was taken out of
 * its package.
 */
export function packageRoot(): string | null {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  return null;
}
