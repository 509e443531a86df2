/** The list of runs, with a box to tick for each that is to be shown. */
import type { JSX } from 'preact';
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { localeOf, useLanguage, useWords } from '../app/language.ts';
import { formatDuration } from './duration.ts';
import type { LiveRun } from './liveRuns.ts';
import { messages } from './messages.ts';

export interface RunTableProperties {
  readonly entries: readonly RunSummary[];
  /** Ids of the shown runs, in the order of their colours. */
  readonly shown: readonly string[];
  readonly live: ReadonlyMap<string, LiveRun>;
  readonly onShow: (ids: readonly string[]) => void;
}

export function RunTable({ entries, shown, live, onShow }: RunTableProperties): JSX.Element {
  const say = useWords(messages);
  const toggle = (id: string): void =>
    onShow(shown.includes(id) ? shown.filter((each) => each !== id) : [...shown, id]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <section class="wide card" tabIndex={0} aria-label={say('listCaption')}>
      <table class="runs">
        <caption class="muted">{say('listCaption')}</caption>
        <thead>
          <tr>
            <th scope="col">{say('show')}</th>
            <th scope="col">{say('name')}</th>
            <th scope="col">{say('state')}</th>
            <th scope="col">{say('steps')}</th>
            <th scope="col">{say('left')}</th>
            <th scope="col">{say('model')}</th>
            <th scope="col">{say('recipe')}</th>
            <th scope="col">{say('started')}</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <RunRow
              key={entry.id}
              entry={entry}
              style={shown.indexOf(entry.id)}
              run={live.get(entry.id)}
              onToggle={() => toggle(entry.id)}
            />
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface RunRowProperties {
  readonly entry: RunSummary;
  /** Negative for a run that is not shown. */
  readonly style: number;
  readonly run: LiveRun | undefined;
  readonly onToggle: () => void;
}

function RunRow({ entry, style, run, onToggle }: RunRowProperties): JSX.Element {
  const say = useWords(messages);
  const language = useLanguage();
  const progress = run?.series.progress;
  const step = Math.max(entry.step, progress?.step ?? 0);
  const steps = Math.max(entry.steps, progress?.numSteps ?? 0);
  const remaining = progress?.remainingSeconds ?? null;
  const isRunning = entry.state === 'running';
  const started = entry.startedAt === null ? undefined : new Date(entry.startedAt);
  return (
    <tr data-run={entry.id}>
      <td>
        <input
          type="checkbox"
          checked={style >= 0}
          aria-label={say('showRun', { name: entry.name })}
          onChange={onToggle}
        />
      </td>
      <th scope="row">
        <span class={style < 0 ? 'swatch' : `swatch curve-${(style % 6) + 1}`} aria-hidden="true" />
        {entry.name}
      </th>
      <td>
        <span class={`state ${entry.state}`}>{stateWords(entry.state)}</span>
        {entry.unreadable.length > 0 && (
          <span class="state fault">{say('broken', { files: entry.unreadable.join(', ') })}</span>
        )}
      </td>
      <td>
        {steps > 0 && <progress value={step} max={steps} aria-label={say('steps')} />} {step} /{' '}
        {steps}
      </td>
      <td>{isRunning && remaining !== null ? formatDuration(remaining) : '–'}</td>
      <td>{entry.model || '–'}</td>
      <td>{entry.recipe || '–'}</td>
      <td>{started?.toLocaleString(localeOf(language)) ?? '–'}</td>
    </tr>
  );

  function stateWords(state: string): string {
    return isKnownState(state) ? say(state) : state;
  }
}

const STATES = ['running', 'finished', 'stopped', 'requested', 'fault'] as const;

function isKnownState(state: string): state is (typeof STATES)[number] {
  return STATES.some((each) => each === state);
}
