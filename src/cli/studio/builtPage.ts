/** The studio's page as it was built, read into memory: some hundred kilobytes. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import { packageRoot } from '../../runtime/packageRoot.ts';
import type { StaticFile } from '../../server/studio/studioParts.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

/** Where the build puts it: `dist/studio` of this package. */
export function pageFolder(): string {
  return join(packageRoot() ?? '.', 'dist', 'studio');
}

/** @throws studio.unbuilt */
export async function readPage(folder: string): Promise<ReadonlyMap<string, StaticFile>> {
  if (!existsSync(join(folder, 'index.html'))) {
    throw new MoebiusError('studio.unbuilt', 'the studio’s page has not been built', {
      values: { folder },
      hint: 'Run: npm run build',
    });
  }
  const page = new Map<string, StaticFile>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const url = `/${relative(folder, path).split(sep).join('/')}`;
    page.set(url, { bytes: await readFile(path), type, isHashed: isHashed(url) });
  }
  return page;
}

/** As Vite names what it builds: `/assets/main-Dx3k9_aB.js`. */
function isHashed(url: string): boolean {
  return /^\/assets\/.*-[\w-]{8}\.\w+$/.test(url);
}
