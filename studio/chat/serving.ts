/** Which checkpoints there are, the one that is served, and how far it has loaded. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { CheckpointSummary, ServeState } from '../../src/server/studio/wire.ts';
import { fetchJson } from '../api/fetchJson.ts';

export interface Serving {
  /** Newest first; null until the server has said. */
  readonly checkpoints: readonly CheckpointSummary[] | null;
  /** null until the server has said. */
  readonly state: ServeState | null;
  /** Why the server does not answer. */
  readonly reason: string | null;
  readonly serve: (checkpoint: string) => void;
}

const STARTING_MS = 500;
const CALM_MS = 5000;

/** @param wanted of the address; served when it is not yet */
export function useServing(wanted: string | undefined): Serving {
  const [checkpoints, setCheckpoints] = useState<readonly CheckpointSummary[] | null>(null);
  const [state, setState] = useState<ServeState | null>(null);
  const [reason, setReason] = useState<string | null>(null);
  const take = useCallback((asking: Promise<ServeState>): void => {
    asking.then(
      (next) => {
        setState(next);
        setReason(null);
      },
      (error: unknown) => setReason(error instanceof Error ? error.message : String(error)),
    );
  }, []);
  const serve = useCallback(
    (checkpoint: string): void => {
      setState({ kind: 'starting', checkpoint, doneBytes: 0, totalBytes: 0 });
      const body = JSON.stringify({ checkpoint });
      const headers = { 'content-type': 'application/json' };
      take(fetchJson<ServeState>('serve', { method: 'POST', headers, body }));
    },
    [take],
  );
  const kind = state?.kind;
  useEffect(() => {
    const read = (): void => {
      take(fetchJson<ServeState>('serve/state'));
      // A run that trains writes new ones; while one is loaded nobody chooses.
      if (kind === 'starting') return;
      fetchJson<readonly CheckpointSummary[]>('checkpoints').then(
        (found) => setCheckpoints(newestFirst(found)),
        () => setCheckpoints((before) => before ?? []),
      );
    };
    if (kind === undefined) read();
    const timer = setInterval(read, kind === 'starting' ? STARTING_MS : CALM_MS);
    return () => clearInterval(timer);
  }, [kind, take]);
  const isKnown = wanted !== undefined && checkpoints?.some(({ id }) => id === wanted) === true;
  const isSaid = state !== null;
  const isElsewhere = isSaid && (state.kind === 'none' || state.checkpoint !== wanted);
  // A link names a checkpoint: it is served as if it had been chosen here.
  useEffect(() => {
    if (isKnown && isElsewhere) serve(wanted);
  }, [wanted, isKnown, isSaid]);
  return { checkpoints, state, reason, serve };
}

export function newestFirst(
  checkpoints: readonly CheckpointSummary[],
): readonly CheckpointSummary[] {
  return [...checkpoints].sort((a, b) => b.writtenAt.localeCompare(a.writtenAt));
}

/** `start / step-0000490`: steps of several runs have the same name. */
export function nameOf({ name, runId }: CheckpointSummary): string {
  // `~`: the studio's folder is the run itself. Other folders have escapes in their ids.
  if (runId === null || runId === '~') return name;
  return `${decodeURIComponent(runId.replaceAll('~', '%'))} / ${name}`;
}
