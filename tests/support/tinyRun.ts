/**
 * The command line of a training run of a second: the `tiny` recipe, smaller still, on a few
 * kilobytes of made-up text of its own. One text, one seed: one result, bit for bit.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../src/base/random.ts';

export const NUM_STEPS = 6;

const WORDS =
  'the a whale ship sea captain harpoon sailed saw never again old white by of and'.split(' ');

/** @returns the path of a JSONL file with 40 documents of about 300 bytes */
export function writeText(folder: string): string {
  const random = new Random(11, 'text');
  const word = (): string => WORDS[random.integer(WORDS.length)] ?? '';
  const lines = Array.from({ length: 40 }, () => {
    const text = Array.from({ length: 60 }, word).join(' ');
    return JSON.stringify({ text: `${text}.` });
  });
  const path = join(folder, 'text.jsonl');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/** `--set` options that make a run of `text` small; a checkpoint every second step. */
export function tinySettings(text: string, more: readonly string[] = []): readonly string[] {
  const settings = [
    `steps=${NUM_STEPS}`,
    'length=16',
    'vocabSize=288',
    `data.sources=[{"path":${JSON.stringify(text)},"weight":null}]`,
    'data.validation.share=0.2',
    'batch.sequences=2',
    'batch.microBatch=1',
    'checkpoint.every=2',
    'sample.tokens=4',
    ...more,
  ];
  return settings.flatMap((setting) => ['--set', setting]);
}

/** What follows `moebius` for a run in `out`. */
export function tinyRun(
  { text, out }: { text: string; out: string },
  more: readonly string[] = [],
): readonly string[] {
  return ['train', 'tiny', '--out', out, ...tinySettings(text, more)];
}
