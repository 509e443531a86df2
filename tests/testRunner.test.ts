/** `scripts/test.js`: what it writes belongs to one run, and is gone with it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from './support/projectFiles.ts';

const written = join(projectRoot, 'build', 'tests');

/** A run of the tests whose path has the word. */
function testRun(word: string) {
  // A test runner that finds itself inside another one skips its files.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [join('scripts', 'test.js'), word], {
    cwd: projectRoot,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const folder = join(written, String(child.pid));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ended = new Promise<{ code: number | null; output: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, output })),
  );
  return { child, folder, ended };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('test runner: runs at once do not disturb each other, and leave nothing', async () => {
  const runs = ['base/median', 'base/units', 'base/median'].map(testRun);
  const ends = await Promise.all(runs.map(({ ended }) => ended));
  for (const { code, output } of ends) {
    assert.equal(code, 0, output);
    assert.match(output, /ℹ fail 0/);
    assert.doesNotMatch(output, /ℹ pass 0/);
  }
  for (const { folder } of runs) assert.ok(!existsSync(folder), folder);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`test runner: a run that ${signal} ends fails and leaves nothing`, async () => {
    const { child, folder, ended } = testRun('grammar/maskMemory');
    await until(() => existsSync(folder) && readdirSync(folder).length > 0);
    child.kill(signal);
    const { code } = await ended;
    assert.notEqual(code, 0);
    assert.ok(!existsSync(folder), folder);
  });
}
