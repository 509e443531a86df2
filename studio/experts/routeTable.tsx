/** A token's experts, layer by layer, with their weights; each is a button that looks at it. */
import type { JSX } from 'preact';
import { shortNumber } from '../draw/heatMap.ts';
import type { Say } from './expertTable.tsx';
import type { ExpertPlace, LayerChoices } from './promptRoutes.ts';

interface Properties {
  readonly choices: readonly LayerChoices[];
  readonly place: ExpertPlace | null;
  readonly onChoose: (place: ExpertPlace) => void;
  readonly say: Say;
}

export function RouteTable({ choices, place, onChoose, say }: Properties): JSX.Element {
  const numChoices = Math.max(0, ...choices.map((layer) => layer.choices.length));
  return (
    <div class="wide route-table">
      <table style={{ '--choices': numChoices }}>
        <caption class="hidden-text">{say('routeTable')}</caption>
        <thead>
          <tr>
            <th scope="col">{say('layer')}</th>
            {Array.from({ length: numChoices }, (_, rank) => (
              <th scope="col" key={rank}>
                {say('choice', { rank: rank + 1 })}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {choices.map(({ row, layer, choices: chosen }) => (
            <tr key={row}>
              <th scope="row">{layer}</th>
              {chosen.map(({ expert, weight, share }, rank) => (
                // By its place, so that another token changes numbers and no elements.
                <td key={rank} data-layer={layer} data-expert={expert} data-weight={weight}>
                  <button
                    type="button"
                    class="expert"
                    style={{ '--share': `${(100 * share).toFixed(1)}%` }}
                    aria-pressed={place?.row === row && place.expert === expert}
                    aria-label={say('choiceName', {
                      ...{ layer, expert, weight: shortNumber(weight) },
                      percent: Math.round(100 * share),
                    })}
                    onClick={() => onChoose({ row, expert })}
                  >
                    <strong>{expert}</strong> {shortNumber(weight)}
                  </button>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
