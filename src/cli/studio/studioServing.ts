/**
 * The one checkpoint that the studio serves: the server and the kernel thread of `moebius serve`
 * with their defaults, without a port of its own. Choosing another one closes the one before.
 */
import type { RequestListener } from 'node:http';
import { Command } from 'commander';
import type { MoebiusError } from '../../base/errors.ts';
import { withInfo } from '../../server/generationDesk.ts';
import type { RequestLog } from '../../server/requestLog.ts';
import type { ReadyEngine } from '../../server/studio/promptRouting.ts';
import type { StudioServing } from '../../server/studio/studioParts.ts';
import type {
  CheckpointSummary,
  ServedExperts,
  ServedInside,
  ServeState,
} from '../../server/studio/wire.ts';
import { asMistake } from '../output.ts';
import { type OpenedServer, openServer } from '../serve/openServer.ts';
import { addServeOptions, resolveServe, type ServeOptions } from '../serve/serveOptions.ts';

export interface ServedHere extends StudioServing {
  close(): Promise<void>;
}

type Current =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'opened';
      readonly id: string;
      readonly opened: OpenedServer;
      readonly handler: RequestListener;
    }
  | { readonly kind: 'refused'; readonly id: string; readonly error: MoebiusError };

export function createServing(log: RequestLog, onNotice: (text: string) => void): ServedHere {
  let current: Current = { kind: 'none' };
  let queue: Promise<unknown> = Promise.resolve();
  // One after another: two engines at once would want the memory of two.
  const inTurn = (task: () => Promise<void>): Promise<void> => {
    const done = queue.then(task);
    queue = done.catch(() => {});
    return done;
  };
  const end = async (): Promise<void> => {
    const before = current;
    current = { kind: 'none' };
    if (before.kind !== 'opened') return;
    await before.opened.server.close();
    await before.opened.engine.client.close();
  };
  const begin = async ({ id, directory }: CheckpointSummary): Promise<void> => {
    if (current.kind === 'opened' && current.id === id && !hasFailed(current.opened)) return;
    await end();
    try {
      // What the environment says is for `moebius serve`.
      const options = addServeOptions(new Command()).opts<ServeOptions>();
      const resolved = resolveServe(directory, { ...options, corsOrigins: 'none' });
      const opened = await openServer(resolved, options, { log, onNotice, onProgress: () => {} });
      current = { kind: 'opened', id, opened, handler: await opened.server.handler() };
    } catch (error) {
      const mistake = asMistake(error);
      if (mistake === null) throw error;
      current = { kind: 'refused', id, error: mistake };
    }
  };
  return {
    get state() {
      return stateOf(current);
    },
    get handler() {
      return current.kind === 'opened' ? current.handler : null;
    },
    get ready() {
      return readyOf(current);
    },
    serve: (checkpoint) => inTurn(() => begin(checkpoint)),
    stop: () => inTurn(end),
    close: () => inTurn(end),
    experts: () => readExperts(current),
    inside: () => readInside(current),
  };
}

function hasFailed({ engine }: OpenedServer): boolean {
  return engine.client.state.kind === 'failed';
}

function stateOf(current: Current): ServeState {
  switch (current.kind) {
    case 'none':
      return { kind: 'none' };
    case 'refused': {
      const { code, message, hint = null } = current.error;
      return { kind: 'failed', checkpoint: current.id, error: { code, message, hint } };
    }
    case 'opened': {
      const { id, opened } = current;
      const { state } = opened.engine.client;
      if (state.kind === 'ready') {
        const { info } = opened.engine.client;
        return { kind: 'ready', checkpoint: id, model: opened.context.modelId, info };
      }
      if (state.kind === 'starting') return { ...state, checkpoint: id };
      const { code, message, hint = null } = state.error;
      return { kind: 'failed', checkpoint: id, error: { code, message, hint } };
    }
    default:
      return current satisfies never;
  }
}

function readyOf(current: Current): ReadyEngine | null {
  if (current.kind !== 'opened') return null;
  const { client } = current.opened.engine;
  if (client.state.kind !== 'ready') return null;
  return { checkpoint: current.id, client, context: withInfo(current.opened.context, client.info) };
}

async function readExperts(current: Current): Promise<ServedExperts | null> {
  const ready = readyOf(current);
  if (ready === null) return null;
  const { layers } = await ready.client.expertLoads('goOn');
  return { checkpoint: ready.checkpoint, layers };
}

async function readInside(current: Current): Promise<ServedInside | null> {
  const ready = readyOf(current);
  if (ready === null) return null;
  return { checkpoint: ready.checkpoint, ...(await ready.client.lookInside()) };
}
