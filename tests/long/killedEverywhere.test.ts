/**
 * A training run killed before each of its changes to a file or folder, one after the other, and
 * resumed: always the same run, byte for byte. Two steps, a checkpoint and an evaluation at each.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { lastLine, startMoebius } from '../support/commandLine.ts';
import { assertSameRun } from '../support/sameRun.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

const SETTINGS = ['steps=2', 'checkpoint.every=1', 'checkpoint.keepLast=1', 'evaluation.every=1'];

test('resume: killed before any change to its files, the run is the same', async (context) => {
  const folder = temporaryFolder(context);
  const text = writeText(folder);
  const start = (out: string, dieAtChange: number): ReturnType<typeof startMoebius> => {
    const args = [...tinyRun({ text, out }, SETTINGS), '--json'];
    const checkpoints = join(out, 'checkpoints');
    const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
    const isBegun = names.some((name) => name.startsWith('step-'));
    return startMoebius(isBegun ? [...args, '--resume'] : args, { dieAtChange, dieIn: out });
  };
  const whole = join(folder, 'whole');
  lastLine(await start(whole, 0).ended);
  let change = 1;
  for (; ; change++) {
    const out = join(folder, `killed-${change}`);
    const killed = await start(out, change).ended;
    if (killed.code === 0) break;
    assert.equal(killed.code, 'SIGKILL', killed.stderr);
    const { step } = lastLine(await start(out, 0).ended);
    const place = /killed before (.*)/.exec(killed.stderr)?.[1];
    assert.equal(step, 2, place);
    assertSameRun(out, whole);
  }
  context.diagnostic(`${change - 1} changes`);
  assert.ok(change > 60, 'two checkpoints are more than sixty changes');
});
