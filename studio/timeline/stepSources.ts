/** Where steps come from: a run's metrics, followed as they grow, or the engine that serves now. */
import type { ServedInside } from '../../src/server/studio/wire.ts';
import { API } from '../api/fetchJson.ts';
import { followMetrics } from '../api/runs.ts';
import { StepReader, type StepSpans, sinceItsFirst } from './stepSpans.ts';

export type ServedNow = Pick<ServedInside, 'cache' | 'requests' | 'now'>;

/** In place of a run's id. */
export const SERVING = 'serving';

export type StepsState =
  /** How much of it has been read, where that is known. */
  | { readonly kind: 'loading'; readonly share: number | null }
  | {
      readonly kind: 'read';
      readonly steps: readonly StepSpans[];
      /** Of a server: its cache, its requests, and what time it is there. */
      readonly served: ServedNow | null;
    }
  /** Nothing is served. */
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly reason: string };

export const LOADING: StepsState = { kind: 'loading', share: null };

const POLL_MS = 1500;

/** Tells until the signal says stop. */
export function watchSteps(
  source: string,
  onState: (state: StepsState) => void,
  signal: AbortSignal,
): void {
  if (source === SERVING) void pollServing(onState, signal);
  else void followRun(source, onState, signal);
}

async function followRun(
  id: string,
  onState: (state: StepsState) => void,
  signal: AbortSignal,
): Promise<void> {
  const reader = new StepReader();
  let told: readonly StepSpans[] | null = null;
  let isCurrent = false;
  const tell = (): void => {
    if (signal.aborted || !isCurrent || told === reader.steps) return;
    told = reader.steps;
    onState({ kind: 'read', steps: told, served: null });
  };
  await followMetrics({
    ...{ id, signal },
    onText: (text) => {
      reader.add(text);
      tell();
    },
    onRestart: () => reader.restart(),
    onProgress: ({ done, total }) => {
      if (!signal.aborted && !isCurrent) onState({ kind: 'loading', share: done / total });
    },
    onCurrent: () => {
      isCurrent = true;
      // What was told before a failure is told again behind it.
      told = null;
      tell();
    },
    onFailure: (reason) => onState({ kind: 'failed', reason }),
  });
}

async function pollServing(
  onState: (state: StepsState) => void,
  signal: AbortSignal,
): Promise<void> {
  /** What was told last. */
  let last = '';
  while (!signal.aborted) {
    try {
      const response = await fetch(`${API}/serve/inside`, { signal });
      if (response.status === 503) {
        onState({ kind: 'none' });
        last = '';
      } else if (response.ok) {
        const { steps, cache, requests, now } = (await response.json()) as ServedInside;
        const newest = JSON.stringify([steps.at(-1)?.step, cache, requests]);
        const served = { cache, requests, now };
        if (newest !== last) onState({ kind: 'read', steps: steps.map(sinceItsFirst), served });
        last = newest;
      } else onState({ kind: 'failed', reason: `HTTP ${response.status}` });
    } catch (error) {
      if (signal.aborted) return;
      onState({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
