/** One layer's experts over all steps in one picture; a step chosen here is shown above. */
import type { JSX } from 'preact';
import { useCallback, useMemo } from 'preact/hooks';
import { useTheme } from '../app/theme.ts';
import {
  DARK_COLOURS,
  type HeatBox,
  type HeatScale,
  heatCells,
  LIGHT_COLOURS,
  shortNumber,
} from '../draw/heatMap.ts';
import { type HeatBrush, paintHeatMap } from '../draw/paintHeatMap.ts';
import type { ExpertHistory, Measure } from './expertFrames.ts';
import type { Say } from './expertTable.tsx';
import { MapCanvas } from './mapCanvas.tsx';
import { type MapPlace, SEEN_CELL } from './mapLayout.ts';
import { timePicture } from './timePicture.ts';

/** No narrower than a pixel each, on the narrowest page. */
const MOST_COLUMNS = 320;

interface Properties {
  readonly history: ExpertHistory;
  readonly measure: Measure;
  readonly scale: HeatScale;
  readonly layer: number;
  /** The frame that is shown above. */
  readonly index: number;
  readonly expert: number | null;
  readonly onChoose: (choice: { readonly index: number; readonly expert: number }) => void;
  readonly stepWord: string;
  readonly say: Say;
}

export function TimeMap(properties: Properties): JSX.Element {
  const { history, measure, scale, layer, index, expert, onChoose, stepWord, say } = properties;
  const isDark = useTheme() === 'dark';
  const colours = isDark ? DARK_COLOURS : LIGHT_COLOURS;
  const { grid, frames } = useMemo(
    () => timePicture(history, { layer, measure, mostColumns: MOST_COLUMNS }),
    [history, layer, measure],
  );
  const column = Math.max(
    0,
    frames.findIndex((frame) => frame >= index),
  );
  const paint = useCallback(
    (brush: HeatBrush, box: HeatBox): void => {
      const ink = isDark ? '#ffffff' : '#000000';
      paintHeatMap(brush, heatCells(grid, { scale, colours, box }), ink);
    },
    [grid, scale, colours, isDark],
  );
  const stepOf = (at: number): number => history.frames[frames[at] ?? 0]?.step ?? 0;
  const choose = (place: MapPlace | null): void => {
    const chosen = place === null ? undefined : frames[place.column];
    if (place !== null && chosen !== undefined) onChoose({ index: chosen, expert: place.row });
  };
  const value = expert === null ? undefined : grid.values[expert * grid.numColumns + column];
  return (
    <figure class="map over-time" data-layer={layer}>
      <MapCanvas
        grid={grid}
        rowLabel={(row) => row}
        columnLabel={stepOf}
        axes={{ rows: say('expertAxis'), columns: stepWord }}
        least={SEEN_CELL}
        chosen={{ row: expert ?? 0, column }}
        paint={paint}
        frames="column"
        onChoose={choose}
        choosesBy="click"
        label={say('timeMap', { layer })}
        describedBy="chosen-time"
      />
      <figcaption>
        <output id="chosen-time" aria-live="polite">
          {value === undefined || expert === null
            ? say('timeAbout')
            : say(measure === 'load' ? 'timeLoad' : 'timeBias', {
                ...{ layer, expert, step: stepOf(column) },
                value: Number.isNaN(value) ? say('unknown') : shortNumber(value),
              })}
        </output>
      </figcaption>
    </figure>
  );
}
