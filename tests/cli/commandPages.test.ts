/** Pages that show commands: what stands there is what the commands print today. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isShown, shownCommands } from '../../scripts/commandPage.ts';
import { moebius } from '../support/commandLine.ts';
import { readProjectFile } from '../support/projectFiles.ts';

const pages = ['docs/planning.md'];

for (const page of pages) {
  test(`${page}: every output is its command’s`, async () => {
    const commands = shownCommands(readProjectFile(page));
    assert.ok(commands.length > 0);
    for (const { words, shown } of commands) {
      const { code, stdout } = await moebius(...words);
      assert.equal(code, 0, words.join(' '));
      const output = stdout.trimEnd().split('\n');
      assert.ok(isShown(output, shown), `node scripts/commandPage.ts ${page}: ${words.join(' ')}`);
    }
  });
}

test('isShown: dots stand for any lines, all else has to be there', () => {
  const output = ['a', 'b', 'c'];
  assert.ok(isShown(output, ['a', 'b', 'c']));
  assert.ok(isShown(output, ['a', '…']));
  assert.ok(isShown(output, ['a', '…', 'c']));
  assert.ok(!isShown(output, ['a', 'b']));
  assert.ok(!isShown(output, ['b', '…']));
  assert.ok(!isShown(output, ['a', '…', 'd']));
});
