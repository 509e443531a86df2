/** Eight seconds of what `tests/long/serveLoad.test.ts` does for five. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveMemory } from '../support/abuse/liveMemory.ts';
import { assertRecovered, serverUnderLoad } from '../support/abuse/serverLoad.ts';
import { liveServer } from '../support/liveServer.ts';

const memory = new LiveMemory();
const server = liveServer(['--max-body-bytes', '1000000']);

test('serve: eight seconds of users and attackers leave nothing behind', async (context) => {
  const { url, processId } = server;
  const report = await serverUnderLoad({
    ...{ url, processId, memory, seconds: 8, numUsers: 40, numAttackers: 4, seed: 7 },
  });
  context.diagnostic(JSON.stringify(report));
  // After two seconds code is still compiled and heaps still grow; what is held tells of leaks.
  assertRecovered(report, 128 * 2 ** 20);
  assert.ok(report.answers.answered > 20 && report.answers.left > 20 && report.numAttacks > 50);
});
