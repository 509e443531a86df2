/**
 * A real server for a file of tests: `moebius serve` in a process of its own, on a free port of
 * this machine, with the thinking checkpoint, gone when the file has ended.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type ServerProcess, startServer } from '../../src/cli/bench/serve/serverProcess.ts';
import { getJson } from '../../src/cli/client/completionStream.ts';
import { writeThinkingCheckpoint } from './thinkingCheckpoint.ts';

export interface LiveServer {
  /** `http://127.0.0.1:PORT`, without `/v1`. */
  readonly origin: string;
  readonly url: URL;
  readonly processId: number;
  /** The checkpoint's folder. */
  readonly checkpoint: string;
}

/** To be called at the top of a file; its fields are there once tests run. */
export function liveServer(options: readonly string[] = []): LiveServer {
  const folder = mkdtempSync(join(tmpdir(), 'moebius-serve-'));
  let server: ServerProcess | null = null;
  before(async () => {
    await writeThinkingCheckpoint(folder);
    server = await startServer([folder, ...options]);
  });
  after(async () => {
    await server?.end();
    rmSync(folder, { recursive: true, force: true });
  });
  const running = (): ServerProcess => {
    assert.ok(server !== null, 'the server runs');
    return server;
  };
  return {
    get origin() {
      return running().url.origin;
    },
    get url() {
      return running().url;
    },
    get processId() {
      return running().processId;
    },
    checkpoint: folder,
  };
}

export interface ServerState {
  readonly running: number;
  readonly waiting: number;
  readonly usedBlocks: number;
  readonly cachedBlocks: number;
  /** Sequences that the HTTP side counts as under way. */
  readonly open: number;
}

export async function serverState(url: URL, apiKey?: string): Promise<ServerState> {
  const { stats, load } = (await getJson(new URL('/server_info', url), apiKey)) as {
    stats: Omit<ServerState, 'open'>;
    load: { requests: number };
  };
  const { running, waiting, usedBlocks, cachedBlocks } = stats;
  return { running, waiting, usedBlocks, cachedBlocks, open: load.requests };
}

/** The state that `isReached` likes, or the one after ten seconds. */
export async function stateWhen(
  url: URL,
  isReached: (state: ServerState) => boolean,
  apiKey?: string,
): Promise<ServerState> {
  const end = performance.now() + 10_000;
  for (;;) {
    const state = await serverState(url, apiKey);
    if (isReached(state) || performance.now() > end) return state;
    await setTimeout(20);
  }
}

/** Once nothing is under way any more. */
export function settledState(url: URL, apiKey?: string): Promise<ServerState> {
  return stateWhen(url, ({ running, waiting, open }) => running + waiting + open === 0, apiKey);
}
