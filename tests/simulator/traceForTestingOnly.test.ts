/**
 * DeepSeek's training trace tests the simulator and must not make it: nothing that is shipped reads
 * it, no calibration is shipped, and none of its durations stands in a source.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sharedFile, skipUnless } from '../support/neighbourFolder.ts';
import { type ProjectFile, projectFiles } from '../support/projectFiles.ts';

const shipped = projectFiles('src', /\.(?:ts|json|ya?ml|csv)$/).filter(
  ({ path }) => !/\.test\.ts$/.test(path),
);
const summary = sharedFile('reference', 'profile-data-summary.json');

/** Totals of the trace's classes, streams and overlap in µs: what a fit to it would need. */
const DURATIONS = [
  129012, 124286, 118193, 114521, 110292, 80452, 49448, 32756, 32988, 31004, 23610, 22926, 18838,
  17383, 17017, 15115, 13621, 11355,
];

function mentions(files: readonly ProjectFile[], pattern: RegExp): readonly string[] {
  return files.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
}

/** Digits as µs, ms or s would be written: 49448, 49.448, 0.049448, 49_448 and 4.9448e-2. */
function digitsOf(duration: number): RegExp {
  const digits = String(duration).replace(/0+$/, '').split('').join('[._]?');
  return new RegExp(`(?<![\\d.])(?:0\\.0*)?${digits}(?!\\d)`);
}

test('sources: none opens DeepSeek’s trace or its summary, and no calibration is shipped', () => {
  assert.ok(shipped.length > 100);
  assert.deepEqual(mentions(shipped, /deepseek-train-trace|profile-data-summary/), []);
  assert.deepEqual(mentions(shipped, /"format":\s*"moebius-calibration"/), []);
});

test('sources: no total of DeepSeek’s trace stands in one', () => {
  assert.deepEqual(
    DURATIONS.flatMap((duration) => mentions(shipped, digitsOf(duration))),
    [],
  );
});

test('sources: none has several durations of the trace’s summary', skipUnless(summary), () => {
  const texts = readFileSync(summary ?? '', 'utf8').match(/(?<=: |\s)\d{5,6}(?=[,\s}])/g) ?? [];
  const durations = [...new Set(texts.map(Number))];
  assert.ok(durations.length > 40);
  // A number of five digits may share them with one duration by chance, a file not with three.
  const found = shipped
    .map(({ path, text }) => [path, durations.filter((each) => digitsOf(each).test(text))] as const)
    .filter(([, shared]) => shared.length >= 3);
  assert.deepEqual(found, []);
});

test('digitsOf: sees a duration in any unit, and not inside of other numbers', () => {
  const wrong = digitsOf(49448);
  for (const text of ['49448', '49_448', '49.448', '0.049448', '4.9448e-2', 'x(49448)']) {
    assert.match(text, wrong);
  }
  for (const text of ['149448', '494480', '49447', '1.49448']) assert.doesNotMatch(text, wrong);
});
