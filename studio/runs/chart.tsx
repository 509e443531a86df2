/**
 * One chart: a curve of every shown run over the steps, drawn by uPlot. Before each drawing the
 * curves are thinned to what the chart's pixels can show, so 10⁵ points cost as much as 3,000.
 */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { at } from '../../src/base/assert.ts';
import { useWords } from '../app/language.ts';
import { readColor, useTheme } from '../app/theme.ts';
import { Legend } from './chartLegend.tsx';
import { decimate, overlay } from './decimate.ts';
import { formatNumber } from './duration.ts';
import { messages } from './messages.ts';
import type { Curve, CurveName } from './series.ts';

export interface ChartLine {
  readonly name: string;
  /** Which of the six colours and dashes; a run keeps its own over all charts. */
  readonly style: number;
  readonly curve: Curve;
}

export interface StepRange {
  readonly from: number;
  readonly to: number;
}

export interface ChartProperties {
  readonly name: CurveName;
  readonly title: string;
  /** What a screen reader says instead of the picture. */
  readonly summary: string;
  readonly lines: readonly ChartLine[];
  readonly range: StepRange;
  /** Drawn again when it changes: the curves themselves grow in place. */
  readonly version: number;
  /** With undefined: all steps. */
  readonly onRange: (range: StepRange | undefined) => void;
}

const HEIGHT = 220;
/** One cursor over all charts: the same step is looked at in each. */
const CURSOR = 'runs';
const CURSOR_EVENTS = new Set(['mousemove', 'mouseenter', 'mouseleave']);
export const NUM_STYLES = 6;
/** Curves differ by more than colour. */
export const DASHES: readonly (readonly number[])[] = [
  [],
  [8, 4],
  [2, 3],
  [10, 3, 2, 3],
  [5, 2],
  [1, 2],
];

export function Chart(properties: ChartProperties): JSX.Element {
  const { name, title, summary, lines, range, version, onRange } = properties;
  const theme = useTheme();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [width, setWidth] = useState(0);
  const [hovered, setHovered] = useState<number | null>(null);
  const rangeHandler = useRef(onRange);
  rangeHandler.current = onRange;
  const say = useWords(messages);
  const stepWord = say('step');
  const styles = lines.map(({ name, style }) => `${style} ${name}`).join('\n');

  useEffect(() => {
    if (place.current === null) return;
    const observer = new ResizeObserver(([entry]) =>
      setWidth(Math.floor(entry?.contentRect.width ?? 0)),
    );
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);

  // A new picture for other runs or another theme; new points only bring new data.
  useEffect(() => {
    if (place.current === null || width === 0) return;
    const options = plotOptions(
      lines,
      { width, stepWord },
      { onRange: (next) => rangeHandler.current(next), onHover: setHovered },
    );
    const made = new uPlot(options, emptyData(lines.length), place.current);
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = undefined;
    };
  }, [styles, theme, width, stepWord]);

  useEffect(() => {
    const shown = plot.current;
    if (shown === undefined) return;
    const window = { ...range, numBuckets: Math.max(1, Math.floor(shown.bbox.width)) };
    const measure = `moebius.chart.${name}`;
    performance.clearMeasures(measure);
    const start = performance.now();
    const data = overlay(lines.map(({ curve }) => decimate(curve, window)));
    shown.batch(() => {
      shown.setData(data as uPlot.AlignedData, false);
      shown.setScale('x', { min: range.from, max: range.to });
    });
    // Thinning and drawing together: what a browser test holds to its bound.
    performance.measure(measure, { start });
  }, [styles, theme, width, stepWord, version, range.from, range.to]);

  const numPoints = lines.reduce((sum, { curve }) => sum + curve.x.length, 0);
  return (
    <figure class="card chart" data-curve={name} data-points={numPoints}>
      <figcaption>
        {title} {numPoints === 0 && <span class="muted">– {say('noPoints')}</span>}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}. ${summary}`} class="plot" />
      <Legend lines={lines} step={hovered} />
    </figure>
  );
}

function plotOptions(
  lines: readonly ChartLine[],
  { width, stepWord }: { readonly width: number; readonly stepWord: string },
  {
    onRange,
    onHover,
  }: {
    readonly onRange: (range: StepRange | undefined) => void;
    readonly onHover: (step: number | null) => void;
  },
): uPlot.Options {
  const axis = {
    stroke: readColor('--muted'),
    grid: { stroke: readColor('--grid'), width: 1 },
    ticks: { stroke: readColor('--grid'), width: 1 },
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    scales: { x: { time: false }, y: { auto: true } },
    axes: [
      axis,
      { ...axis, size: 56, values: (_plot, ticks) => ticks.map((tick) => formatNumber(tick)) },
    ],
    series: [{ label: stepWord }, ...lines.map(lineOptions)],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      sync: { key: CURSOR, filters: { pub: (type) => CURSOR_EVENTS.has(type), sub: () => true } },
      bind: {
        dblclick: () => () => {
          onRange(undefined);
          return null;
        },
      },
    },
    hooks: {
      setCursor: [
        (plot) => {
          const { idx } = plot.cursor;
          onHover(idx === null || idx === undefined ? null : (plot.data[0][idx] ?? null));
        },
      ],
      setSelect: [
        (plot) => {
          const { left, width: selected } = plot.select;
          if (selected < 2) return;
          const from = Math.floor(plot.posToVal(left, 'x'));
          const to = Math.ceil(plot.posToVal(left + selected, 'x'));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (to > from) onRange({ from, to });
        },
      ],
    },
  };
}

function lineOptions({ name, style }: ChartLine): uPlot.Series {
  return {
    label: name,
    stroke: readColor(`--curve-${style + 1}`),
    width: 1.5,
    dash: [...at(DASHES, style)],
    // A few validations are dots with lines between them; 10⁵ steps are a line.
    points: { show: (plot) => plot.data[0].length < 60, fill: readColor('--raised') },
  };
}

function emptyData(numLines: number): uPlot.AlignedData {
  return Array.from({ length: numLines + 1 }, () => []) as unknown as uPlot.AlignedData;
}
