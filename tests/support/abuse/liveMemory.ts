/**
 * What a server's threads hold when nothing is under way: bytes that are still referred to, by heap
 * and by buffers. Resident memory would not tell: the heaps of both threads grow to hundreds of
 * megabytes while garbage comes in, and stay there.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout } from 'node:timers/promises';

/** Small young generations: what is resident then is little more than what is held. */
const FLAGS = '--expose-gc --max-semi-space-size=1';
/** The one that answers HTTP, and that of the kernels. */
const NUM_THREADS = 2;
/** It is settled when so many readings find no more than so much freed. */
const [STILL_READINGS, STILL_BYTES] = [4, 64 * 2 ** 10];
const PATIENCE_MS = 20_000;

export class LiveMemory {
  readonly #folder = mkdtempSync(join(tmpdir(), 'moebius-memory-'));
  #numAsked = 0;

  /** To be made at the top of a file, before its server is started. */
  constructor() {
    const agent = new URL('memoryAgent.ts', import.meta.url).href;
    writeFileSync(join(this.#folder, 'ask'), '');
    process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${FLAGS} --import ${agent}`;
    process.env.LIVE_MEMORY = this.#folder;
    after(() => rmSync(this.#folder, { recursive: true, force: true }));
  }

  /** Bytes of all threads, once connections that were left are closed, and hold nothing more. */
  async settled(): Promise<number> {
    let bytes = await this.#read();
    for (let numStill = 0; numStill < STILL_READINGS; ) {
      await setTimeout(200);
      const next = await this.#read();
      numStill = next < bytes - STILL_BYTES ? 0 : numStill + 1;
      bytes = Math.min(bytes, next);
    }
    return bytes;
  }

  async #read(): Promise<number> {
    const asked = String(++this.#numAsked);
    writeFileSync(join(this.#folder, 'ask'), asked);
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const isAnswer = new RegExp(`^${asked}\\.\\d+$`);
      const answers = readdirSync(this.#folder).filter((name) => isAnswer.test(name));
      if (answers.length === NUM_THREADS) {
        const bytes = answers.map((name) => Number(readFileSync(join(this.#folder, name), 'utf8')));
        return bytes.reduce((sum, each) => sum + each, 0);
      }
      assert.ok(performance.now() < end, `${answers.length} threads told what they hold`);
      await setTimeout(20);
    }
  }
}
