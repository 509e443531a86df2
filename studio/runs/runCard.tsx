/** A shown run in a few large numbers: how far it is, how it does, and when it will be done. */
import type { JSX } from 'preact';
import type { RunSummary } from '../../src/server/studio/wire.ts';
import { localeOf, useLanguage, useWords } from '../app/language.ts';
import { formatDuration, formatNumber } from './duration.ts';
import { messages } from './messages.ts';
import type { CurveName, RunSeries } from './series.ts';

interface RunCardProperties {
  readonly name: string;
  /** The number of its colour. */
  readonly style: number;
  readonly series: RunSeries;
  /** Of the file, 0 to 1; null when all of it has been read. */
  readonly shareRead: number | null;
  readonly entry: RunSummary | undefined;
}

const NEWEST = [
  ['lossNow', 'loss'],
  ['bitsNow', 'bitsPerByte'],
  ['speedNow', 'tokensPerSecond'],
  ['maxVioNow', 'maxVio'],
] as const satisfies readonly (readonly [keyof (typeof messages)['en'], CurveName])[];

export function RunCard(properties: RunCardProperties): JSX.Element {
  const { name, style, series, shareRead, entry } = properties;
  const say = useWords(messages);
  const { progress, numUnreadable } = series;
  const { remainingSeconds } = progress;
  const isGoingOn = entry?.state === 'running' && remainingSeconds !== null;
  const steps = Math.max(entry?.steps ?? 0, progress.numSteps);
  return (
    <section class="card run-card" aria-label={name}>
      <h2>
        <span class={`swatch curve-${style + 1}`} aria-hidden="true" /> {name}
        {shareRead !== null && (
          <span class="muted"> {say('reading', { percent: Math.floor(100 * shareRead) })}</span>
        )}
      </h2>
      <dl>
        <Fact
          name="step"
          label={say('step')}
          value={steps > 0 ? say('stepOf', { step: progress.step, steps }) : String(progress.step)}
        />
        {NEWEST.map(([label, curve]) => (
          <Fact
            key={curve}
            name={curve}
            label={say(label)}
            value={formatNumber(series.facts(curve)?.newest.value)}
          />
        ))}
        <Fact name="tokens" label={say('tokensSeen')} value={grouped(progress.tokens)} />
        <Fact
          name="elapsed"
          label={say('elapsed')}
          value={formatDuration(progress.elapsedSeconds)}
        />
        {isGoingOn && <TimeLeft seconds={remainingSeconds} />}
      </dl>
      {numUnreadable > 0 && (
        <p class="bad" role="status">
          {say('unreadable', { count: numUnreadable })}
        </p>
      )}
    </section>
  );

  function grouped(value: number): string {
    return Number.isFinite(value) ? value.toLocaleString('en').replaceAll(',', ' ') : '–';
  }
}

/** The time left, and by the clock. */
function TimeLeft({ seconds }: { readonly seconds: number }): JSX.Element {
  const say = useWords(messages);
  const language = useLanguage();
  const end = new Date(Date.now() + seconds * 1000);
  const isToday = end.toDateString() === new Date().toDateString();
  const clock = end.toLocaleString(localeOf(language), {
    ...(isToday ? {} : { month: 'short', day: 'numeric' }),
    ...{ hour: '2-digit', minute: '2-digit' },
  });
  return (
    <>
      <Fact name="remaining" label={say('left')} value={formatDuration(seconds)} />
      <Fact name="end" label={say('ended')} value={clock} />
    </>
  );
}

interface FactProperties {
  readonly name: string;
  readonly label: string;
  readonly value: string;
}

function Fact({ name, label, value }: FactProperties): JSX.Element {
  return (
    <div data-fact={name}>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}
