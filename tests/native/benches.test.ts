/** The programs of bench/ that measure the addon run to their end and say what they measured. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { type Json, jsonOf } from '../support/commandLine.ts';
import { runProgram } from '../support/scripts.ts';

const loaded = loadAddon();
const skip = 'reason' in loaded ? loaded.reason : false;

async function run(...args: readonly string[]): Promise<Json> {
  const ran = await runProgram(process.execPath, [...args, '--tiny']);
  assert.equal(ran.code, 0, ran.stderr);
  return jsonOf(ran);
}

/** Every number of a row is one, and positive where it is a speed or a share of one. */
function assertMeasured(rows: unknown, keys: readonly string[], least: number): void {
  assert.ok(Array.isArray(rows) && rows.length >= least, `${JSON.stringify(rows)}`);
  for (const row of rows as readonly Json[]) {
    for (const key of keys) assert.ok(Number(row[key]) > 0, `${key} of ${JSON.stringify(row)}`);
  }
}

test('bench/coldRows.ts: every dtype in both widths, and its share of the read speed', {
  skip,
}, async () => {
  const { rows, readGigabytesPerSecond } = await run('bench/coldRows.ts');
  assertMeasured(rows, ['gigabytesPerSecond', 'shareOfReadSpeed'], 12);
  const names = (rows as readonly Json[]).map(({ dtype, columns }) => `${dtype} ${columns}`);
  assert.equal(new Set(names).size, 6);
  for (const row of rows as readonly Json[]) {
    const share = Number(row.gigabytesPerSecond) / Number(readGigabytesPerSecond);
    assert.equal(row.shareOfReadSpeed, share);
  }
});

test('bench/sections.ts: sections in succession and behind pauses', { skip }, async () => {
  const { sections } = await run('bench/sections.ts', '--threads', '2');
  const [inSuccession, ...behindPauses] = sections as readonly Json[];
  assert.equal(inSuccession?.pauseSeconds, 0);
  assertMeasured(behindPauses, ['pauseSeconds', 'tenthSeconds', 'medianSeconds'], 2);
});

test('bench/kernels.ts and bench/operations.ts: what is asked for', { skip }, async () => {
  const { rows } = await run('bench/kernels.ts', '--only', '64³');
  assertMeasured(rows, ['gflopsPerSecond', 'shareOfLimit'], 3);
  const { operations } = await run('bench/operations.ts', '--only', 'rope');
  assertMeasured(operations, ['seconds', 'gigabytesPerSecond', 'shareOfLimit'], 1);
});
