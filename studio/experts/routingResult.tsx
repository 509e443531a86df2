/**
 * What the gates did with a prompt, looked at from two sides: a token is chosen in the row of
 * chips, and its experts are marked on the map and listed; an expert is chosen on the map or in the
 * list, and every token that went to it is marked in the row.
 */
import type { JSX } from 'preact';
import { useCallback, useMemo, useState } from 'preact/hooks';
import type { PromptRouting } from '../../src/server/studio/wire.ts';
import { useTheme } from '../app/theme.ts';
import { DARK_COLOURS, type HeatBox, LIGHT_COLOURS } from '../draw/heatMap.ts';
import { type HeatBrush, paintHeatMap } from '../draw/paintHeatMap.ts';
import { paintRouteMarks } from '../draw/paintRouteMarks.ts';
import { routeCells, routeLegend, routeMarks } from '../draw/routeMap.ts';
import type { Say } from './expertTable.tsx';
import { MapCanvas } from './mapCanvas.tsx';
import { AIMED_CELL } from './mapLayout.ts';
import {
  choicesOf,
  type ExpertPlace,
  type LayerChoices,
  routeFacts,
  routeGrid,
  tokenLabels,
  tokensOf,
} from './promptRoutes.ts';
import { RouteTable } from './routeTable.tsx';
import { TokenRow } from './tokenRow.tsx';

/** Tokens of an expert are named one by one up to so many. */
const MOST_NAMED = 12;

interface Properties {
  readonly routing: PromptRouting;
  readonly say: Say;
}

export function RoutingResult({ routing, say }: Properties): JSX.Element {
  const [looked, setLooked] = useState({ routing, token: 0, place: null as ExpertPlace | null });
  // Another answer begins with its first token.
  const isSame = looked.routing === routing;
  const { token, place } = isSame ? looked : { token: 0, place: null };
  const choose = (change: { token?: number; place?: ExpertPlace | null }): void =>
    setLooked({ routing, token, place, ...change });
  const toggle = (next: ExpertPlace | null): void => {
    const isAgain = next?.row === place?.row && next?.expert === place?.expert;
    choose({ place: isAgain ? null : next });
  };
  const choices = useMemo(() => choicesOf(routing, token), [routing, token]);
  const went = useMemo(
    () => new Set(place === null ? [] : tokensOf(routing, place)),
    [routing, place],
  );
  const labels = useMemo(() => tokenLabels(routing.tokens), [routing]);
  if (routing.layers.length === 0) return <p>{say('dense')}</p>;
  const chosen = routing.tokens[token];
  return (
    <div class="routes">
      <p class="summary">{summary(routing, say)}</p>
      <TokenRow
        tokens={routing.tokens}
        labels={labels}
        chosen={token}
        went={went}
        onChoose={(next) => choose({ token: next })}
        say={say}
      />
      <p class="muted">{say('tokenKeys')}</p>
      <output id="routed-expert" aria-live="polite">
        {place === null ? say('chooseExpert') : placeText(routing, { place, went, labels }, say)}
      </output>
      <RouteMap routing={routing} choices={choices} place={place} say={say} onChoose={toggle} />
      <h3>
        {say('tokenTitle', {
          ...{ token: token + 1, of: routing.tokens.length, id: chosen?.id ?? '' },
          text: labels[token] ?? '',
        })}
      </h3>
      <RouteTable choices={choices} place={place} onChoose={toggle} say={say} />
    </div>
  );
}

interface RouteMapProperties extends Properties {
  readonly choices: readonly LayerChoices[];
  readonly place: ExpertPlace | null;
  readonly onChoose: (place: ExpertPlace | null) => void;
}

function RouteMap({ routing, choices, place, say, onChoose }: RouteMapProperties): JSX.Element {
  const isDark = useTheme() === 'dark';
  const colours = isDark ? DARK_COLOURS : LIGHT_COLOURS;
  const grid = useMemo(() => routeGrid(routing), [routing]);
  const most = useMemo(() => Math.max(1, ...Array.from(grid.values)), [grid]);
  const chosen = place === null ? null : { row: place.row, column: place.expert };
  const ink = isDark ? '#ffffff' : '#000000';
  const paint = useCallback(
    (brush: HeatBrush, box: HeatBox): void =>
      paintHeatMap(brush, routeCells(grid, most, { box, colours }), ink),
    [grid, most, colours, ink],
  );
  const mark = useCallback(
    (brush: HeatBrush, box: HeatBox): void => {
      const marks = choices.flatMap((layer) =>
        layer.choices.map(({ expert, share }) => ({ row: layer.row, column: expert, share })),
      );
      paintRouteMarks(brush, routeMarks(grid, marks, { box, colours }), ink);
    },
    [grid, choices, colours, ink],
  );
  return (
    <figure class="map">
      <MapCanvas
        grid={grid}
        chosen={chosen}
        paint={paint}
        mark={mark}
        onChoose={(next) => onChoose(next && { row: next.row, expert: next.column })}
        choosesBy="click"
        label={say('routeMap')}
        rowLabel={(row) => routing.layers[row] ?? ''}
        columnLabel={(expert) => expert}
        axes={{ rows: say('layer'), columns: say('expertAxis') }}
        least={AIMED_CELL}
        describedBy="routed-expert"
      />
      <figcaption>
        <ul class="legend">
          {routeLegend(most, colours).map(({ count, fill }) => (
            <li key={count}>
              <span class="swatch" style={{ background: fill }} />
              {say('tokensLegend', { count })}
            </li>
          ))}
          <li>
            <span class="swatch mark" aria-hidden="true" />
            {say('markLegend')}
          </li>
        </ul>
      </figcaption>
    </figure>
  );
}

function summary(routing: PromptRouting, say: Say): string {
  const { tokens, layers, expertsPerToken, numExperts } = routing;
  const { used, numPlaces, busiest } = routeFacts(routing);
  const whole = say('routeSummary', {
    ...{ tokens: tokens.length, layers: layers.length, perToken: expertsPerToken },
    experts: numExperts,
  });
  const share = say('routeUsed', { used, places: numPlaces });
  if (busiest === null) return whole;
  const { layer, expert, tokens: count } = busiest;
  const percent = Math.round((100 * count) / tokens.length);
  return `${whole} ${share} ${say('busiest', { layer, expert, count, percent })}`;
}

function placeText(
  { tokens, layers }: PromptRouting,
  looked: {
    readonly place: ExpertPlace;
    readonly went: ReadonlySet<number>;
    readonly labels: readonly string[];
  },
  say: Say,
): string {
  const { went, labels } = looked;
  const { row, expert } = looked.place;
  const layer = layers[row] ?? '';
  if (went.size === 0) return say('expertUnused', { layer, expert });
  const named = [...went].slice(0, MOST_NAMED).map((token) => {
    return say('quoted', { text: labels[token] ?? '' });
  });
  const list = named.join(' ');
  const more = went.size - named.length;
  return say('expertTokens', {
    ...{ layer, expert, count: went.size, of: tokens.length },
    list: more > 0 ? say('andMore', { list, count: more }) : list,
  });
}
