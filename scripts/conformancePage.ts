/**
 * Writes docs/conformance.md: everything a request can ask for, with everything else.
 *
 *     node scripts/conformancePage.ts
 *
 * It runs every case; tests/long/conformance.test.ts does so too and holds the page to it, and
 * tests/serving/conformance.test.ts runs the pairs with every `npm test`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  allCases,
  ConformanceDesk,
  FACTOR_NAMES,
  FACTORS,
  isAsked,
} from '../tests/support/conformance.ts';
import { writeLetterCheckpoint } from '../tests/support/letterCheckpoint.ts';

export const CONFORMANCE_PAGE: string = fileURLToPath(
  new URL('../docs/conformance.md', import.meta.url),
);

/** @throws at the first case that does not hold */
export async function conformancePage(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'moebius-conformance-'));
  const desk = await ConformanceDesk.open(writeLetterCheckpoint(folder));
  const cases = allCases();
  const held = new Map<string, number>();
  for (const each of cases) {
    await desk.check(each);
    const asked = FACTOR_NAMES.filter((factor) => isAsked(each, factor));
    for (const one of asked) {
      for (const other of asked) {
        const key = `${one} ${other}`;
        held.set(key, (held.get(key) ?? 0) + 1);
      }
    }
  }
  rmSync(folder, { recursive: true });
  const cell = (one: string, other: string): string => String(held.get(`${one} ${other}`) ?? 0);
  return [
    '# What holds together',
    '',
    'Written by `node scripts/conformancePage.ts`. A request may ask for any of these, and for all',
    'of them at once:',
    '',
    ...FACTOR_NAMES.map((name) => `- **${name}**: ${FACTORS[name].join(' · ')}`),
    '',
    `All ${cases.length} combinations were run through protocol, engine and kernels, on a trained`,
    'model whose MTP module has drafts accepted and refused. Each says what its plain form says',
    '(alone, unstreamed, without drafts, on an empty cache): the same text, end, stop and tokens,',
    'log probabilities within 1e-4; texts follow their grammar, have no stop string in them, and a',
    'cached prefix is reported where there was one, and only there.',
    '',
    'Combinations that asked for both, all of which hold:',
    '',
    `| | ${FACTOR_NAMES.join(' | ')} |`,
    `| --- | ${FACTOR_NAMES.map(() => '--:').join(' | ')} |`,
    ...FACTOR_NAMES.map(
      (one) => `| **${one}** | ${FACTOR_NAMES.map((other) => cell(one, other)).join(' | ')} |`,
    ),
    '',
    '`npm test` runs few of them in which every pair of levels meets; `npm run check:long` all.',
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(CONFORMANCE_PAGE, await conformancePage());
}
