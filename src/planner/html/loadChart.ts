/** A step against the load of the hottest expert: what uneven routing costs on this plan. */
import type { ExpertLoadStep } from '../planExtras.ts';
import { formatChange, formatStep } from '../quantities.ts';
import { axes, figure, type Plot, svg } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { linearScale } from './scales.ts';
import { table } from './tables.ts';

export function loadSection(points: readonly ExpertLoadStep[]): Markup {
  const last = points.at(-1);
  const words =
    last === undefined
      ? 'no loads'
      : `A step from ${formatStep(points[0]?.stepSeconds ?? 0)} with an even load to ` +
        `${formatStep(last.stepSeconds)} with an expert of ${last.hottestExpert} times the mean`;
  return fragment(
    figure({ label: words, caption: null }, (width) => draw(points, width)),
    table(
      'Step by the hottest expert’s load',
      [
        { head: 'hottest expert' },
        { head: 'its rank', kind: 'number' },
        { head: 'step', kind: 'number' },
        { head: 'against an even load', kind: 'number' },
      ],
      points.map(({ hottestExpert, hottestRank, stepSeconds }) => ({
        cells: [
          `${hottestExpert} ×`,
          `${hottestRank.toFixed(2)} ×`,
          formatStep(stepSeconds),
          formatChange(stepSeconds, points[0]?.stepSeconds ?? stepSeconds),
        ],
      })),
    ),
  );
}

function draw(points: readonly ExpertLoadStep[], width: number): Markup {
  const height = 280;
  const plot: Plot = { width, height, left: 70, right: width - 16, top: 34, bottom: height - 46 };
  const loads = points.map(({ hottestExpert }) => hottestExpert);
  const steps = points.map(({ stepSeconds }) => stepSeconds);
  const x = linearScale(
    { from: Math.min(...loads), to: Math.max(...loads) },
    { from: plot.left, to: plot.right },
    width > 500 ? 8 : 4,
  );
  const y = linearScale(
    { from: 0, to: Math.max(...steps) },
    { from: plot.bottom, to: plot.top },
    5,
  );
  const placed = points.map((point) => ({
    x: x.at(point.hottestExpert),
    y: y.at(point.stepSeconds),
  }));
  return svg(
    plot,
    axes(plot, {
      x: { scale: x, name: 'load of the hottest expert over the mean', format: String },
      y: { scale: y, name: 'seconds of a step', format: String },
    }),
    element('polyline', {
      class: 'front',
      points: placed.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(' '),
    }),
    ...placed.map((point) =>
      element('circle', { class: 'weight', cx: point.x, cy: point.y, r: 4 }),
    ),
  );
}
