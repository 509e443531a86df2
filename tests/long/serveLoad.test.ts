/**
 * Five minutes of 200 users at once, who stream, read slowly and leave, and of attackers beside
 * them: no crash, no leak, and every request answered or cleanly refused.
 *
 * MOEBIUS_LOAD_SECONDS shortens it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveMemory } from '../support/abuse/liveMemory.ts';
import { assertRecovered, serverUnderLoad } from '../support/abuse/serverLoad.ts';
import { liveServer } from '../support/liveServer.ts';

const memory = new LiveMemory();
const server = liveServer(['--max-body-bytes', '1000000']);
const seconds = Number(process.env.MOEBIUS_LOAD_SECONDS ?? 300);

test('serve: five minutes of 200 users and eight attackers leave nothing behind', async (context) => {
  const { url, processId } = server;
  const report = await serverUnderLoad({
    ...{ url, processId, memory, seconds, numUsers: 200, numAttackers: 8, seed: 1 },
  });
  context.diagnostic(JSON.stringify(report));
  assertRecovered(report);
  assert.ok(report.answers.answered > 100 && report.answers.left > 100);
});
