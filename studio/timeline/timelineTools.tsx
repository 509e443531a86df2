/** What stands above a timeline: zooming, the height of rows, and which times are shown. */
import type { JSX } from 'preact';
import { useWords } from '../app/language.ts';
import type { Timeline } from '../draw/timelineIndex.ts';
import { messages } from './messages.ts';
import type { FormatTime } from './numbers.ts';

/** A picture is no higher; what has more rows is scrolled. */
export const MOST_HEIGHT = 560;

/** What suits: rows with names where they all fit, or else such as still can be named. */
export function rowHeightOf({ rows }: Timeline, chosen: number): number {
  if (chosen > 0) return chosen;
  return rows.length <= 32 ? 20 : 14;
}

export interface TimelineToolsProperties {
  readonly timeline: Timeline;
  readonly format: FormatTime;
  /** What is shown; null for all of it. */
  readonly window: { readonly from: number; readonly to: number } | null;
  /** In pixels; 0 for what suits. */
  readonly rowHeight: number;
  readonly onRowHeight: (rowHeight: number) => void;
  /** A key of the canvas that a button stands for. */
  readonly onKey: (key: string) => void;
}

export function TimelineTools(properties: TimelineToolsProperties): JSX.Element {
  const { timeline, format, window, rowHeight, onRowHeight, onKey } = properties;
  const say = useWords(messages);
  const height = rowHeightOf(timeline, rowHeight);
  const fitting = Number((MOST_HEIGHT / timeline.rows.length).toPrecision(4));
  const pixels = `${Number(height.toPrecision(2))} px`;
  const { from, to } = window ?? { from: timeline.start, to: timeline.end };
  return (
    <div class="row timeline-tools">
      <button type="button" onClick={() => onKey('+')} aria-label={say('zoomIn')}>
        +
      </button>
      <button type="button" onClick={() => onKey('-')} aria-label={say('zoomOut')}>
        −
      </button>
      <button type="button" onClick={() => onKey('0')}>
        {say('whole')}
      </button>
      <label>
        {say('rowHeight')}
        <input
          type="range"
          min={0}
          max={40}
          value={rowHeight}
          aria-valuetext={rowHeight === 0 ? say('automatic', { pixels }) : pixels}
          onInput={(event) => onRowHeight(Number(event.currentTarget.value))}
        />
        <output>{rowHeight === 0 ? say('automatic', { pixels }) : pixels}</output>
      </label>
      {timeline.rows.length * rowHeightOf(timeline, 0) > MOST_HEIGHT ? (
        <button
          type="button"
          aria-pressed={rowHeight === fitting}
          onClick={() => onRowHeight(rowHeight === fitting ? 0 : fitting)}
        >
          {say('allRows', { rows: timeline.rows.length })}
        </button>
      ) : null}
      <output class="timeline-window">
        {say('window', { from: format(from), to: format(to) })}
      </output>
      <span class="muted" id="timeline-keys">
        {say('keys')}
      </span>
    </div>
  );
}
