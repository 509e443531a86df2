/**
 * Many users and attackers at once for some time, then silence: what a server must look like behind
 * it. It runs in a process of its own.
 *
 * Memory is read twice, both times in silence: after a fifth of the time, when every part of the
 * server has been used (caches filled, shapes recorded, code compiled), and at the end.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Random } from '../../../src/base/random.ts';
import { GRAMMAR_LIMITS } from '../../../src/serving/grammarCache.ts';
import { type ServerState, settledState } from '../liveServer.ts';
import { attack, attacksInTurns, NEW_GRAMMAR } from './attacks.ts';
import type { LiveMemory } from './liveMemory.ts';
import { type Answer, anyBehaviour, oneUser } from './streams.ts';

export interface LoadOptions {
  readonly url: URL;
  readonly processId: number;
  readonly memory: LiveMemory;
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
  readonly warm: MemoryReading;
  readonly end: MemoryReading;
}

export interface MemoryReading {
  /** Requests and attacks until then. */
  readonly numRequests: number;
  /** What the threads refer to. */
  readonly liveBytes: number;
  /** What the system says of the process. */
  readonly residentBytes: number;
}

/** @throws the first thing that went wrong, with what was done */
export async function serverUnderLoad(options: LoadOptions): Promise<LoadReport> {
  const { url, processId, memory, seconds } = options;
  const before = await settledState(url);
  const load = new Load(options);
  await fillGrammars(options);
  const read = async (): Promise<MemoryReading> => {
    await settledState(url);
    const liveBytes = await memory.settled();
    return { numRequests: load.numRequests, liveBytes, residentBytes: residentBytes(processId) };
  };
  await load.run(seconds / 5);
  const warm = await read();
  await load.run((seconds * 4) / 5);
  const end = await read();
  const after = await settledState(url);
  const { answers, numAttacks } = load;
  return { answers, numAttacks, before, after, warm, end };
}

/** As many as a server keeps, so that later ones take the place of others. */
async function fillGrammars({ url, seed }: LoadOptions): Promise<void> {
  const random = new Random(seed, 'grammars');
  for (let i = 0; i < GRAMMAR_LIMITS.maxKept; i++) {
    await attack(NEW_GRAMMAR, { port: Number(url.port), random });
  }
}

class Load {
  readonly answers: Record<Answer, number> = { answered: 0, refused: 0, left: 0 };
  numAttacks = 0;
  readonly #workers: readonly (() => Promise<void>)[];

  constructor({ url, numUsers, numAttackers, seed }: LoadOptions) {
    const port = Number(url.port);
    const users = Array.from({ length: numUsers }, (_, i) => {
      const random = new Random(seed, `user ${i}`);
      return async (): Promise<void> => {
        const answer = await oneUser(anyBehaviour(random), { port, random });
        this.answers[answer]++;
        // As clients do: who was refused waits before asking again.
        if (answer === 'refused') await setTimeout(50 + random.integer(200));
      };
    });
    const attackers = Array.from({ length: numAttackers }, (_, i) => {
      const [random, turns] = [new Random(seed, `attacker ${i}`), attacksInTurns(seed + i)];
      return async (): Promise<void> => {
        await attack(turns.next().value, { port, random });
        this.numAttacks++;
      };
    });
    this.#workers = [...users, ...attackers];
  }

  get numRequests(): number {
    const { answered, refused, left } = this.answers;
    return answered + refused + left + this.numAttacks;
  }

  /** All at once, each one request after another. */
  async run(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1e3;
    let failure: unknown = null;
    const goesOn = (): boolean => failure === null && performance.now() < end;
    const work = async (one: () => Promise<void>): Promise<void> => {
      try {
        while (goesOn()) await one();
      } catch (error) {
        failure ??= error;
      }
    };
    await Promise.all(this.#workers.map(work));
    if (failure !== null) throw failure;
  }
}

/** Pages of a process in memory, as Linux counts them. */
export function residentBytes(processId: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${processId}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/**
 * For all requests together: what they leave in caches that have a bound. At ten thousand requests
 * a leak of half a kilobyte in each is seen.
 */
const LIVE_SLACK_BYTES = 4 * 2 ** 20;
/** Memory that no thread refers to, of compiled code and allocators: with garbage in between. */
const RESIDENT_SLACK_BYTES = 48 * 2 ** 20;

/**
 * Nothing under way, no block in use, and memory as it was after the first fifth.
 *
 * @param residentSlack more, where a fifth is too short for heaps to have grown to their size
 */
export function assertRecovered(
  report: LoadReport,
  residentSlack: number = RESIDENT_SLACK_BYTES,
): void {
  const { before, after, warm, end } = report;
  const shown = JSON.stringify(report);
  assert.deepEqual([after.running, after.waiting, after.open], [0, 0, 0], shown);
  assert.equal(after.usedBlocks, before.usedBlocks, shown);
  assert.ok(end.liveBytes <= warm.liveBytes + LIVE_SLACK_BYTES, `held: ${shown}`);
  assert.ok(end.residentBytes <= warm.residentBytes + residentSlack, `resident: ${shown}`);
}
