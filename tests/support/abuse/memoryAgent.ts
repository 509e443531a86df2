/**
 * Loaded before a server (`node --import`), once in each of its threads, it says what the thread
 * still holds after its garbage is collected, whenever it is asked: `LIVE_MEMORY` names a folder,
 * the number in its file `ask` is the question, and `ANSWER.THREAD` answers it. The reading side is
 * `liveMemory.ts`.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';

const { LIVE_MEMORY: folder = '' } = process.env;
let seen = '';

async function look(): Promise<void> {
  const question = join(folder, 'ask');
  // The folder goes before the server does.
  const asked = existsSync(question) ? readFileSync(question, 'utf8') : '';
  if (asked === '' || asked === seen) return;
  seen = asked;
  // Memory of buffers and handles is freed behind a collection, by a later turn.
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  const { heapUsed, external } = process.memoryUsage();
  const path = join(folder, `${asked}.${threadId}`);
  writeFileSync(`${path}.new`, JSON.stringify(heapUsed + external));
  renameSync(`${path}.new`, path);
}

setInterval(look, 50).unref();
