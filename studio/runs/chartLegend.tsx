/** Below a chart: each run with its dash and its value, at the pointed step or the newest one. */
import type { JSX } from 'preact';
import { at } from '../../src/base/assert.ts';
import { useWords } from '../app/language.ts';
import { type ChartLine, DASHES } from './chart.tsx';
import { lowerBound } from './decimate.ts';
import { formatNumber } from './duration.ts';
import { messages } from './messages.ts';
import type { Curve } from './series.ts';

interface LegendProperties {
  readonly lines: readonly ChartLine[];
  /** null: none is pointed at. */
  readonly step: number | null;
}

export function Legend({ lines, step }: LegendProperties): JSX.Element {
  const say = useWords(messages);
  return (
    <div class="legend">
      <span class="muted">{step === null ? say('latest') : `${say('step')} ${step}`}</span>
      {lines.map(({ name, style, curve }) => (
        <span key={name} class="entry">
          <svg width="22" height="8" aria-hidden="true">
            <line
              x1="0"
              x2="22"
              y1="4"
              y2="4"
              class={`stroke-${style + 1}`}
              stroke-dasharray={at(DASHES, style).join(' ')}
            />
          </svg>
          {name} <b>{formatNumber(valueAt(curve, step))}</b>
        </span>
      ))}
    </div>
  );
}

/** At the step, or at the last one before it that has a value. */
function valueAt({ x, y }: Curve, step: number | null): number | undefined {
  const after = step === null ? x.length : lowerBound(x, step + 1);
  return after === 0 ? undefined : y[after - 1];
}
