/** The heat map's facts as text and as a table, for whoever does not see the picture. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Words } from '../app/language.ts';
import { shortNumber } from '../draw/heatMap.ts';
import { deadByLayer, type ExpertFrame, gridOf, type Measure, maxVioOf } from './expertFrames.ts';
import type { messages } from './messages.ts';

export type Say = Words<keyof (typeof messages)['en']>;

/** Layers with dead experts are named one by one up to so many. */
const MOST_NAMED = 6;
/** And of each of them so many stretches of experts. */
const MOST_STRETCHES = 8;

interface Properties {
  readonly frame: ExpertFrame;
  readonly say: Say;
}

export function Facts({ frame, say }: Properties): JSX.Element {
  const dead = deadByLayer(frame);
  const count = dead.reduce((sum, each) => sum + each.count, 0);
  const all = frame.layers.reduce((sum, { loads }) => sum + loads.length, 0);
  const named = dead.slice(0, MOST_NAMED).map(({ layer, stretches }) => {
    const shown = stretches.slice(0, MOST_STRETCHES);
    const experts = shown.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`));
    if (shown.length < stretches.length) experts.push('…');
    return say('deadLayer', { layer, experts: experts.join(', ') });
  });
  const more = dead.length - named.length;
  const names = named.join('; ');
  const list = more > 0 ? say('deadMore', { list: names, count: more }) : names;
  const [worst] = [...frame.layers].sort((a, b) => maxVioOf(b) - maxVioOf(a));
  return (
    <ul class="facts">
      <li class={count > 0 ? 'bad' : undefined} data-dead={count}>
        {count === 0 ? say('deadNone') : say('deadSome', { count, all, list })}
      </li>
      {worst !== undefined && (
        <li>{say('maxVio', { value: shortNumber(maxVioOf(worst)), layer: worst.layer })}</li>
      )}
      {frame.layersLeftOut > 0 && <li>{say('leftOut', { count: frame.layersLeftOut })}</li>}
    </ul>
  );
}

/** Of a large model the table is made when it is opened: it would cost more than all the rest. */
const MADE_WHILE_CLOSED = 2048;

/** The table behind a heading that opens it. */
export function FoldedTable(properties: Properties & { readonly measure: Measure }): JSX.Element {
  const { frame, say } = properties;
  const [isOpen, setOpen] = useState(false);
  const numCells = frame.layers.reduce((sum, { loads }) => sum + loads.length, 0);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{say('table')}</summary>
      {(isOpen || numCells <= MADE_WHILE_CLOSED) && <ExpertTable {...properties} />}
    </details>
  );
}

/** Values as they are in the file; `data-value` has them for programs. */
function ExpertTable({
  frame,
  measure,
  say,
}: Properties & { readonly measure: Measure }): JSX.Element {
  const { numColumns, values } = gridOf(frame, measure);
  const columns = Array.from({ length: numColumns }, (_, expert) => expert);
  return (
    <div class="wide">
      <table class="experts">
        <caption class="hidden-text">{say(measure)}</caption>
        <thead>
          <tr>
            <th scope="col">{say('layer')}</th>
            {columns.map((expert) => (
              <th scope="col" class="number" key={expert} aria-label={say('expert', { expert })}>
                {expert}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {frame.layers.map(({ layer }, row) => (
            <tr key={layer}>
              <th scope="row">{layer}</th>
              {columns.map((expert) => {
                const value = values[row * numColumns + expert] ?? Number.NaN;
                return (
                  <td class="number" key={expert} data-value={value}>
                    {shownValue(value, measure, say)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function shownValue(value: number, measure: Measure, say: Say): string {
  if (Number.isNaN(value)) return '–';
  return measure === 'load' && value === 0 ? say('deadWord') : String(value);
}
