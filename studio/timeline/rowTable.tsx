/** The facts of a timeline as a table: what the canvas shows, for those who cannot see it. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useWords } from '../app/language.ts';
import type { Timeline, TimelineRow } from '../draw/timelineIndex.ts';
import { messages } from './messages.ts';
import { type FormatTime, formatShare } from './numbers.ts';

/** More rows than anyone reads are counted. */
const MOST_ROWS = 64;
/** Of one row as many passes as a line may hold. */
const MOST_SPANS = 400;

export interface RowTableProperties {
  readonly timeline: Timeline;
  readonly format: FormatTime;
}

export function RowTable({ timeline, format }: RowTableProperties): JSX.Element {
  const say = useWords(messages);
  const [isOpen, setOpen] = useState(false);
  const { rows } = timeline;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{say('table')}</summary>
      {isOpen ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
        <section class="wide" aria-label={say('table')} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{say('row')}</th>
                <th scope="col">{say('source')}</th>
                <th scope="col" class="number">
                  {say('spans')}
                </th>
                <th scope="col" class="number">
                  {say('busy')}
                </th>
                <th scope="col" class="number">
                  {say('idle')}
                </th>
                <th scope="col">{say('actions')}</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, MOST_ROWS).map((row) => (
                <tr key={`${row.source} ${row.name}`}>
                  <th scope="row">{row.name}</th>
                  <td>{say(row.source)}</td>
                  <td class="number">{row.starts.length}</td>
                  <td class="number">{format(busyOf(row))}</td>
                  <td class="number">{bubbleOf(row, format)}</td>
                  <td class="timeline-passes">{passesOf(row)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {rows.length > MOST_ROWS ? (
            <p>{say('more', { count: rows.length - MOST_ROWS })}</p>
          ) : null}
        </section>
      ) : null}
    </details>
  );
}

function busyOf({ busy }: TimelineRow): number {
  return busy[busy.length - 1] ?? 0;
}

function bubbleOf(row: TimelineRow, format: FormatTime): string {
  if (row.bubble === null) return '–';
  const whole = row.bubble.to - row.bubble.from;
  const idle = whole - busyOf(row);
  return `${format(idle)} (${formatShare(whole > 0 ? idle / whole : null)})`;
}

function passesOf({ starts, label }: TimelineRow): string {
  const labels = Array.from({ length: Math.min(MOST_SPANS, starts.length) }, (_, i) => label(i));
  return `${labels.join(', ')}${starts.length > MOST_SPANS ? ', …' : ''}`;
}
