/**
 * Puts the pictures of README.md and docs/studio.md where these look for them. They are made by a
 * test that runs what `npm start` runs, and are to be looked at before they are committed:
 *
 *     npm run check:long -- studioPictures
 *     node scripts/update-pictures.js
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../bin/launch.js';

const shots = join(packageRoot, 'build', 'screenshots');
const folder = join(packageRoot, 'docs', 'pictures');
const texts = ['README.md', 'docs/studio.md'].map((path) =>
  readFileSync(join(packageRoot, path), 'utf8'),
);
const names = new Set(texts.flatMap((text) => text.match(/(?<=pictures\/)[\w-]+\.png/g) ?? []));
mkdirSync(folder, { recursive: true });
for (const name of names) {
  if (!existsSync(join(shots, name))) throw new Error(`build/screenshots has no ${name}`);
  copyFileSync(join(shots, name), join(folder, name));
}
console.error(`docs/pictures: ${[...names].join(', ')}`);
