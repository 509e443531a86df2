/** The curves in numbers: the same facts as the pictures, for whoever does not see them. */
import type { JSX } from 'preact';
import { useWords } from '../app/language.ts';
import type { Point } from './curveFacts.ts';
import { formatNumber } from './duration.ts';
import { messages } from './messages.ts';
import { CURVES, type RunSeries } from './series.ts';

export interface NamedSeries {
  readonly id: string;
  readonly name: string;
  readonly series: RunSeries;
}

export function FactsTable({ runs }: { readonly runs: readonly NamedSeries[] }): JSX.Element {
  const say = useWords(messages);
  const words = ({ step, value }: Point): string =>
    say('atStep', { value: formatNumber(value), step });
  return (
    <details class="card facts" open>
      <summary>{say('facts')}</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, by keyboard too */}
      <section class="wide" tabIndex={0} aria-label={say('facts')}>
        <table>
          <thead>
            <tr>
              <th scope="col">{say('curve')}</th>
              <th scope="col">{say('run')}</th>
              <th scope="col" class="number">
                {say('points')}
              </th>
              <th scope="col">{say('newest')}</th>
              <th scope="col">{say('least')}</th>
              <th scope="col">{say('most')}</th>
            </tr>
          </thead>
          <tbody>
            {CURVES.flatMap((curve) =>
              runs.map(({ id, name, series }) => {
                const facts = series.facts(curve);
                return (
                  <tr key={`${curve} ${id}`} data-curve={curve}>
                    <th scope="row">{say(curve)}</th>
                    <td>{name}</td>
                    <td class="number">{facts?.numPoints ?? 0}</td>
                    <td>{facts === undefined ? '–' : words(facts.newest)}</td>
                    <td>{facts === undefined ? '–' : words(facts.least)}</td>
                    <td>{facts === undefined ? '–' : words(facts.most)}</td>
                  </tr>
                );
              }),
            )}
          </tbody>
        </table>
      </section>
    </details>
  );
}
