/**
 * A file of lines as server-sent events, for as long as the client stays.
 *
 * Nothing is remembered but a position: what was read is written, and nothing more is read before
 * the client took it. A client that takes nothing costs one piece of memory, however long the file
 * grows. A client that comes back says in `Last-Event-ID` how far it was.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { LinesRead } from './studioParts.ts';

export interface Followed {
  readonly read: (from: number) => Promise<LinesRead | null>;
  readonly watch: (onChange: () => void) => Promise<(() => void) | null>;
}

/** Silence after which a comment is sent, so that a connection that broke is noticed. */
const QUIET_MS = 15_000;

export async function followLines(
  raw: ServerResponse,
  from: number,
  file: Followed,
): Promise<void> {
  const gone = new AbortController();
  raw.on('close', () => gone.abort());
  raw.on('error', () => gone.abort());
  let change = Promise.withResolvers<void>();
  const forget = await file.watch(() => change.resolve());
  try {
    let position = from;
    await write(raw, 'retry: 1000\n\n', gone.signal);
    while (!gone.signal.aborted) {
      // Before reading: what changes meanwhile is not missed.
      change = Promise.withResolvers<void>();
      const lines = await file.read(position);
      if (lines === null) break;
      if (lines.from !== position) await write(raw, RESTART, gone.signal);
      position = lines.next;
      if (lines.bytes.length > 0) await write(raw, eventOf(lines), gone.signal);
      else await quietUntil(change.promise, raw, gone.signal);
    }
  } finally {
    forget?.();
    if (!raw.destroyed) raw.end();
  }
}

const RESTART = 'event: restart\nid: 0\ndata: {"from":0}\n\n';

function eventOf({ bytes, next }: LinesRead): string {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const data = lines.trimEnd().split(/\r?\n/);
  return `id: ${next}\n${data.map((line) => `data: ${line}\n`).join('')}\n`;
}

/** Until there may be more or the client is gone; comments meanwhile. */
async function quietUntil(
  change: Promise<void>,
  raw: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const waiting = new AbortController();
    const either = AbortSignal.any([signal, waiting.signal]);
    const quiet = setTimeout(QUIET_MS, 'quiet', { signal: either }).catch(() => 'gone');
    const why = await Promise.race([change, quiet]);
    waiting.abort();
    if (why !== 'quiet') return;
    await write(raw, ': still here\n\n', signal);
  }
}

async function write(raw: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted || raw.destroyed || raw.write(text)) return;
  // An abort ends the wait; the loop then ends by the signal.
  await once(raw, 'drain', { signal }).catch(() => {});
}
