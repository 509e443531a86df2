/**
 * A run on the terminal: one status line that rewrites itself, and above it what deserves a line of
 * its own. Without a terminal (a log file) a step gets a line now and then instead.
 */
import { formatBytes, formatSeconds } from '../base/units.ts';
import type { InterventionEvent, TrainingEvent, TrainingObserver } from '../training/events.ts';
import { statusLine } from '../training/statusLine.ts';

export interface TerminalOptions {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
}

/** Lines of a log: the first steps, then about twenty a run. */
const LOG_LINES = 20;

export function terminalObserver({ write, isTerminal }: TerminalOptions): TrainingObserver {
  const clear = isTerminal ? '\r\x1b[K' : '';
  const say = (text: string): void => write(`${clear}${text}\n`);
  return (event: TrainingEvent) => {
    switch (event.kind) {
      case 'start':
        if (event.resumedFrom !== null) say(`going on from ${event.resumedFrom}`);
        return;
      case 'step': {
        if (isTerminal) {
          write(clear + statusLine(event, (process.stderr.columns ?? 100) - 1));
          return;
        }
        const every = Math.max(1, Math.floor(event.numSteps / LOG_LINES));
        const isShown = event.step <= 3 || event.step % every === 0;
        if (isShown || event.step === event.numSteps) say(statusLine(event, 200));
        return;
      }
      case 'evaluation': {
        const bits = event.bitsPerByte.toFixed(4);
        const best = event.isBest ? ', the best so far' : '';
        say(`step ${event.step}: ${bits} bits per byte on held-out text${best}`);
        return;
      }
      case 'sample':
        say(`step ${event.step}: ${event.prompt}│${event.text.replaceAll('\n', '⏎')}`);
        return;
      case 'checkpoint': {
        const what = `${formatBytes(event.bytes)} in ${formatSeconds(event.seconds)}`;
        say(`step ${event.step}: saved ${event.directory} (${what})`);
        return;
      }
      case 'intervention':
        say(interventionText(event));
        return;
      case 'end':
        if (isTerminal) write('\n');
        return;
      default:
        return event satisfies never;
    }
  };
}

function interventionText({ action, incident, step }: InterventionEvent): string {
  const done = {
    skip: 'the step is skipped',
    rollback: `back to the state after step ${step}, without those batches`,
    stop: 'the run stops; the last good state is saved',
  }[action];
  return `${incident.message}: ${done}`;
}
