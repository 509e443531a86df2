/** The heat map: its colours, the cell that is looked at in words, and its legend. */
import type { JSX } from 'preact';
import { useCallback, useMemo } from 'preact/hooks';
import { useTheme } from '../app/theme.ts';
import {
  DARK_COLOURS,
  type HeatBox,
  type HeatScale,
  heatCells,
  heatLegend,
  LIGHT_COLOURS,
  shortNumber,
} from '../draw/heatMap.ts';
import { type HeatBrush, paintHeatMap } from '../draw/paintHeatMap.ts';
import { type ExpertFrame, gridOf, type Measure } from './expertFrames.ts';
import type { Say } from './expertTable.tsx';
import { MapCanvas } from './mapCanvas.tsx';
import { AIMED_CELL, type MapPlace } from './mapLayout.ts';

interface Properties {
  readonly frame: ExpertFrame;
  readonly measure: Measure;
  readonly scale: HeatScale;
  readonly say: Say;
  readonly chosen: MapPlace | null;
  readonly onChoose: (place: MapPlace | null) => void;
}

export function ExpertMap(properties: Properties): JSX.Element {
  const { frame, measure, scale, say, chosen, onChoose } = properties;
  const isDark = useTheme() === 'dark';
  const colours = isDark ? DARK_COLOURS : LIGHT_COLOURS;
  const grid = useMemo(() => gridOf(frame, measure), [frame, measure]);
  const paint = useCallback(
    (brush: HeatBrush, box: HeatBox): void => {
      const ink = isDark ? '#ffffff' : '#000000';
      paintHeatMap(brush, heatCells(grid, { scale, colours, box }), ink);
    },
    [grid, scale, colours, isDark],
  );
  return (
    <figure class="map">
      <MapCanvas
        grid={grid}
        chosen={chosen}
        paint={paint}
        onChoose={onChoose}
        choosesBy="hover"
        label={say('map')}
        rowLabel={(row) => frame.layers[row]?.layer ?? ''}
        columnLabel={(expert) => expert}
        axes={{ rows: say('layer'), columns: say('expertAxis') }}
        least={AIMED_CELL}
        describedBy="chosen-expert"
      />
      <figcaption>
        <output id="chosen-expert" aria-live="polite">
          {cellText(frame, chosen, say) ?? say(measure === 'load' ? 'about' : 'aboutBias')}
        </output>
        <Legend scale={scale} isDark={isDark} say={say} />
      </figcaption>
    </figure>
  );
}

function Legend({
  scale,
  isDark,
  say,
}: Pick<Properties, 'scale' | 'say'> & { readonly isDark: boolean }): JSX.Element {
  const colours = isDark ? DARK_COLOURS : LIGHT_COLOURS;
  return (
    <ul class="legend">
      {heatLegend(5, { scale, colours }).map(({ label, fill }, i) => (
        <li key={i}>
          <span class="swatch" style={{ background: fill }} />
          {label}
        </li>
      ))}
      {scale.kind === 'ratio' && (
        <li>
          <span class="swatch dead" aria-hidden="true">
            ✕
          </span>
          {say('legendDead')}
        </li>
      )}
      <li>
        <span class="swatch dead" aria-hidden="true">
          –
        </span>
        {say('legendNone')}
      </li>
    </ul>
  );
}

/** null where no cell is looked at. */
function cellText(frame: ExpertFrame, chosen: MapPlace | null, say: Say): string | null {
  if (chosen === null) return null;
  const { row, column: expert } = chosen;
  const layer = frame.layers[row];
  const load = layer?.loads[expert];
  if (layer === undefined || load === undefined) return null;
  const tokens = layer.tokens?.[expert];
  const bias = layer.bias?.[expert];
  const parts = [say('cellLoad', { layer: layer.layer, expert, load: `${load}×` })];
  if (tokens !== undefined) parts.push(say('cellTokens', { tokens }));
  if (bias !== undefined) parts.push(say('cellBias', { bias: shortNumber(bias) }));
  return parts.join(say('comma'));
}
