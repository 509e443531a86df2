/** Which checkpoint answers: those that lie there, the one served, and how far it has loaded. */

import type { JSX } from 'preact';
import type { ServeState } from '../../src/server/studio/wire.ts';
import type { Say } from './replyText.tsx';
import { nameOf, type Serving } from './serving.ts';

interface Properties {
  readonly serving: Serving;
  readonly say: Say;
  readonly onPick: (checkpoint: string) => void;
}

export function CheckpointPicker({ serving, say, onPick }: Properties): JSX.Element {
  const { checkpoints, state, reason } = serving;
  const shown = state === null || state.kind === 'none' ? '' : state.checkpoint;
  const hasFailed = reason !== null || state?.kind === 'failed';
  return (
    <div class="picker">
      <label class="hidden-text" for="chat-checkpoint">
        {say('checkpoint')}
      </label>
      <select
        id="chat-checkpoint"
        value={shown}
        disabled={checkpoints === null || checkpoints.length === 0}
        onChange={(event) => onPick(event.currentTarget.value)}
      >
        <option value="" disabled>
          {say('choose')}
        </option>
        {checkpoints?.map((checkpoint) => (
          <option key={checkpoint.id} value={checkpoint.id}>
            {nameOf(checkpoint)}
          </option>
        ))}
      </select>
      <output class={`serving ${hasFailed ? 'failed' : (state?.kind ?? 'none')}`}>
        {reason === null ? stateText(state, say) : say('serveUnknown', { reason })}
      </output>
      {state?.kind === 'starting' && (
        <progress
          aria-label={say('serveProgress')}
          max={1}
          value={state.totalBytes === 0 ? 0 : state.doneBytes / state.totalBytes}
        />
      )}
    </div>
  );
}

export function stateText(state: ServeState | null, say: Say): string {
  if (state === null) return '';
  switch (state.kind) {
    case 'none':
      return say('serveNone');
    case 'starting': {
      const { doneBytes, totalBytes } = state;
      const percent = totalBytes === 0 ? 0 : Math.floor((100 * doneBytes) / totalBytes);
      return say('serveStarting', { percent });
    }
    case 'ready':
      return say('serveReady');
    case 'failed':
      return say('serveFailed', { reason: state.error.message });
    default:
      return state satisfies never;
  }
}
