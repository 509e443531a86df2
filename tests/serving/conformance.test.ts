/** What requests can ask for, in pairs; `tests/long/conformance.test.ts` has all of it at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  allCases,
  type Case,
  ConformanceDesk,
  FACTOR_NAMES,
  FACTORS,
  pairwiseCases,
} from '../support/conformance.ts';
import { writeLetterCheckpoint } from '../support/letterCheckpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'moebius-conformance-'));
after(() => rmSync(folder, { recursive: true }));

test('Requests: every pair of what can be asked for says what its plain form says', async () => {
  const desk = await ConformanceDesk.open(writeLetterCheckpoint(folder));
  const cases = pairwiseCases();
  for (const each of cases) await desk.check(each);
  const numPairs = FACTOR_NAMES.flatMap((one, i) =>
    FACTOR_NAMES.slice(i + 1).map((other) => FACTORS[one].length * FACTORS[other].length),
  ).reduce((sum, each) => sum + each, 0);
  const met = new Set<string>();
  for (const each of cases) {
    for (const [i, one] of FACTOR_NAMES.entries()) {
      for (const other of FACTOR_NAMES.slice(i + 1)) met.add(pairOf(each, one, other));
    }
  }
  assert.equal(met.size, numPairs);
  assert.ok(cases.length < allCases().length / 20);
});

test('Requests: the plain forms differ, so that being equal to them says something', async () => {
  const desk = await ConformanceDesk.open(writeLetterCheckpoint(folder));
  const plain = Object.fromEntries(FACTOR_NAMES.map((name) => [name, FACTORS[name][0]])) as Case;
  const texts = new Set<string>();
  const cases = FACTORS.grammar.flatMap((grammar) =>
    FACTORS.drawing.flatMap((drawing) =>
      FACTORS.stop.map((stop): Case => ({ ...plain, grammar, drawing, stop })),
    ),
  );
  let accepted = 0;
  for (const each of cases) {
    texts.add((await desk.run(each)).text);
    accepted += (await desk.run({ ...each, drafts: '2 drafts' })).acceptedDrafts;
  }
  // Of 18, two pairs of stops fall on the same letter.
  assert.ok(texts.size >= 16, `${texts.size} texts`);
  assert.ok(accepted > cases.length, `${accepted} drafts stood`);
});

function pairOf(each: Case, one: (typeof FACTOR_NAMES)[number], other: typeof one): string {
  return `${one} ${each[one]} ${other} ${each[other]}`;
}
