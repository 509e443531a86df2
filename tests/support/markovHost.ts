/** The program of a kernel thread whose engine is a Markov chain. */
import { parentPort, workerData } from 'node:worker_threads';
import { crashFailure, runEngineLoop } from '../../src/cli/serve/engineLoop.ts';
import type { FromEngine } from '../../src/cli/serve/engineMessages.ts';
import { type MarkovEngineOptions, markovEngine } from './markovEngine.ts';

if (parentPort === null) throw new Error('this is the program of a thread');
const port = parentPort;
const LATE: FromEngine = { kind: 'starting', doneBytes: 1, totalBytes: 2 };
// As weights do that are read on behind the first answers.
setImmediate(() => port.postMessage(LATE));
try {
  await runEngineLoop(markovEngine(workerData as MarkovEngineOptions), port, 0);
  process.exit(0);
} catch (error) {
  port.postMessage({ kind: 'failed', error: crashFailure(error) } satisfies FromEngine);
  throw error;
}
