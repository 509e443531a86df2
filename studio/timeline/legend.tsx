/** What the colours mean, of those that a picture has. */
import type { JSX } from 'preact';
import { useWords, type Words } from '../app/language.ts';
import { SIMULATED, spanColors } from '../draw/timelineImage.ts';
import { hasTwoSources, type SpanKind, spanKinds, type Timeline } from '../draw/timelineIndex.ts';
import { messages } from './messages.ts';

type Key = keyof (typeof messages)['en'];

const names: Readonly<Record<SpanKind, Key>> = {
  forward: 'kindForward',
  backward: 'kindBackward',
  weight: 'kindWeight',
  pair: 'kindPair',
  message: 'kindMessage',
  optimizer: 'kindOptimizer',
  compute: 'kindCompute',
  wait: 'kindWait',
  prefill: 'kindPrefill',
  decode: 'kindDecode',
  sample: 'kindSample',
  draft: 'kindDraft',
};

export function Legend({ timeline }: { readonly timeline: Timeline }): JSX.Element {
  const say: Words<Key> = useWords(messages);
  const there = new Set<number>();
  // Ranks of one picture are alike, so the first rows have every colour; requests are no more rows.
  for (const { kinds } of timeline.rows.slice(0, 128)) for (const kind of kinds) there.add(kind);
  return (
    <ul class="timeline-legend" aria-label={say('legend')}>
      {spanKinds
        .filter((_, kind) => there.has(kind))
        .map((kind) => (
          <li key={kind}>
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <rect width="10" height="10" rx="2" fill={spanColors[kind]} />
            </svg>
            {say(names[kind])}
          </li>
        ))}
      {timeline.rows.some(({ bubble }) => bubble !== null) ? (
        <li>
          <svg viewBox="0 0 10 10" aria-hidden="true">
            <rect width="10" height="10" rx="2" fill="var(--bubble)" />
            <path d="M0 6 6 0M1 10 10 1M6 10 10 6" stroke="var(--bubble-hatch)" />
          </svg>
          {say('kindBubble')}
        </li>
      ) : null}
      {hasTwoSources(timeline.rows) ? <Sources /> : null}
    </ul>
  );
}

/** Where real and simulated rows stand in one picture: which is which. */
function Sources(): JSX.Element {
  const say: Words<Key> = useWords(messages);
  return (
    <>
      <li>
        <svg viewBox="0 0 10 10" aria-hidden="true">
          <rect width="10" height="10" rx="2" fill={spanColors.pair} />
        </svg>
        {say('realAbove')}
      </li>
      <li>
        <svg viewBox="0 0 10 10" aria-hidden="true">
          <rect width="10" height="10" rx="2" fill={spanColors.pair} opacity={SIMULATED} />
        </svg>
        {say('simulatedBelow')}
      </li>
    </>
  );
}
