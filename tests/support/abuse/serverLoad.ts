/**
 * Many users and attackers at once for some time, then silence: what a server must look like behind
 * it. It runs in a process of its own; its memory is what the system says of that process.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Random } from '../../../src/base/random.ts';
import { type ServerState, settledState } from '../liveServer.ts';
import { attack, attacksInTurns } from './attacks.ts';
import { type Answer, anyBehaviour, oneUser } from './streams.ts';

export interface LoadOptions {
  readonly url: URL;
  readonly processId: number;
  readonly seconds: number;
  /** Users at once, and attackers beside them. */
  readonly numUsers: number;
  readonly numAttackers: number;
  readonly seed: number;
}

export interface LoadReport {
  readonly answers: Readonly<Record<Answer, number>>;
  readonly numAttacks: number;
  readonly before: ServerState;
  readonly after: ServerState;
  /** Resident bytes after a fifth of the time, under load: what a server at work takes. */
  readonly warmBytes: number;
  readonly afterBytes: number;
}

/** @throws the first thing that went wrong, with what was done */
export async function serverUnderLoad(options: LoadOptions): Promise<LoadReport> {
  const { url, seconds, numUsers, numAttackers, seed } = options;
  const port = Number(url.port);
  const before = await settledState(url);
  const answers: Record<Answer, number> = { answered: 0, refused: 0, left: 0 };
  const end = performance.now() + seconds * 1e3;
  let failure: unknown = null;
  let numAttacks = 0;
  const goesOn = (): boolean => failure === null && performance.now() < end;
  const worker = async (one: () => Promise<void>): Promise<void> => {
    try {
      while (goesOn()) await one();
    } catch (error) {
      failure ??= error;
    }
  };
  const users = Array.from({ length: numUsers }, (_, i) => {
    const random = new Random(seed, `user ${i}`);
    return worker(async () => {
      const answer = await oneUser(anyBehaviour(random), { port, random });
      answers[answer]++;
      // As clients do: who was refused waits before asking again.
      if (answer === 'refused') await setTimeout(50 + random.integer(200));
    });
  });
  const attackers = Array.from({ length: numAttackers }, (_, i) => {
    const [random, turns] = [new Random(seed, `attacker ${i}`), attacksInTurns(seed + i)];
    return worker(async () => {
      await attack(turns.next().value, { port, random });
      numAttacks++;
    });
  });
  await setTimeout(seconds * 200);
  const warmBytes = residentBytes(options.processId);
  await Promise.all([...users, ...attackers]);
  if (failure !== null) throw failure;
  const after = await settledState(url);
  // Freed memory goes back to the system a moment later.
  await setTimeout(500);
  const afterBytes = residentBytes(options.processId);
  return { answers, numAttacks, before, after, warmBytes, afterBytes };
}

/** Pages of a process in memory, as Linux counts them. */
export function residentBytes(processId: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${processId}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** Nothing under way, no block in use, memory as at work: exactly, but for memory. */
export function assertRecovered(report: LoadReport, { slackBytes }: { slackBytes: number }): void {
  const { before, after, warmBytes, afterBytes } = report;
  const shown = JSON.stringify(report);
  assert.deepEqual([after.running, after.waiting, after.open], [0, 0, 0], shown);
  assert.equal(after.usedBlocks, before.usedBlocks, shown);
  assert.ok(afterBytes <= warmBytes + slackBytes, shown);
}
