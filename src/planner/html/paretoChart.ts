/**
 * Days against dollars: every plan that was looked at, the front of those that no other beats in
 * both, and the best. Losers' reasons are in the table beneath and under the pointer.
 */
import type { Candidate } from '../planExtras.ts';
import { formatDays, formatDollars, formatStep, formatTick } from '../quantities.ts';
import { axes, figure, label, legend, marker, type Plot, svg } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { boxAround, linearScale, placeLabels, type Range, textWidth } from './scales.ts';

interface Point {
  readonly candidate: Candidate;
  /** Days, or seconds of a step where no run is planned. */
  readonly time: number;
  readonly isOnFront: boolean;
}

/** Those that no other is at once cheaper and quicker than, from the quickest on. */
export function paretoFront(candidates: readonly Candidate[]): readonly Candidate[] {
  let cheapest = Number.POSITIVE_INFINITY;
  return candidates
    .toSorted((a, b) => timeOf(a) - timeOf(b) || a.dollars - b.dollars)
    .filter(({ dollars }) => {
      if (dollars >= cheapest) return false;
      cheapest = dollars;
      return true;
    });
}

function timeOf({ days, stepSeconds }: Candidate): number {
  return days ?? stepSeconds;
}

export function paretoFigure(candidates: readonly Candidate[]): Markup {
  const front = new Set(paretoFront(candidates));
  const points = candidates.map((candidate) => ({
    candidate,
    time: timeOf(candidate),
    isOnFront: front.has(candidate),
  }));
  const best = candidates.find(({ isBest }) => isBest);
  const words =
    `Days against dollars of ${candidates.length} plans, ${front.size} of them on the front` +
    (best === undefined ? '' : `; best is ${best.label}, ${describe(best)}`);
  return fragment(
    figure({ label: words, caption: null }, (width) => drawPareto(points, width)),
    legend([
      { kind: 'forward', name: 'best (diamond)' },
      { kind: 'weight', name: 'on the front (circle)' },
      { kind: 'loser', name: 'beaten (hollow)' },
    ]),
  );
}

function describe({ days, dollars, stepSeconds }: Candidate): string {
  const time = days === null ? formatStep(stepSeconds) : formatDays(days);
  return `${time}, ${formatDollars(dollars)}`;
}

function drawPareto(points: readonly Point[], width: number): Markup {
  const height = width > 500 ? 360 : 300;
  const plot: Plot = { width, height, left: 70, right: width - 16, top: 34, bottom: height - 46 };
  const hasDays = points.every(({ candidate }) => candidate.days !== null);
  const x = linearScale(
    rangeOf(points.map(({ time }) => time)),
    { from: plot.left, to: plot.right },
    width > 500 ? 8 : 4,
  );
  const y = linearScale(
    rangeOf(points.map(({ candidate }) => candidate.dollars)),
    { from: plot.bottom, to: plot.top },
    5,
  );
  const placed = points.map((point) => ({
    ...point,
    x: x.at(point.time),
    y: y.at(point.candidate.dollars),
  }));
  const rank = ({ candidate, isOnFront }: Point): number =>
    candidate.isBest ? 0 : isOnFront ? 1 : 2;
  const named = placed
    .toSorted((a, b) => rank(a) - rank(b) || a.time - b.time)
    .slice(0, width > 500 ? 8 : 3);
  const radiusOf = ({ candidate }: Point): number => (candidate.isBest ? 10 : 5);
  const labels = placeLabels(
    named.map((point) => ({
      ...point,
      radius: radiusOf(point),
      width: textWidth(point.candidate.label),
    })),
    { bounds: plot, obstacles: placed.map((point) => boxAround(point, radiusOf(point))) },
  );
  const front = placed.filter(({ isOnFront }) => isOnFront).toSorted((a, b) => a.x - b.x);
  return svg(
    plot,
    axes(plot, {
      x: { scale: x, name: hasDays ? 'days of the run' : 'seconds of a step', format: formatTick },
      y: {
        scale: y,
        name: hasDays ? 'dollars of the run' : 'dollars of a step',
        format: (value) => `$${formatTick(value)}`,
      },
    }),
    front.length < 2
      ? fragment()
      : element('polyline', {
          class: 'front',
          points: front.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(' '),
        }),
    ...placed
      .toSorted((a, b) => rank(b) - rank(a))
      .map((point) => {
        const { candidate } = point;
        const kind = candidate.isBest ? 'forward edge' : point.isOnFront ? 'weight edge' : 'loser';
        return marker(
          candidate.isBest ? 'diamond' : 'circle',
          { x: point.x, y: point.y, size: candidate.isBest ? 8 : 5, kind },
          `${candidate.label}: ${describe(candidate)}. ${candidate.reason}`,
        );
      }),
    ...labels.flatMap((place, index) => {
      const point = named[index];
      if (place === null || point === undefined) return [];
      const kind = point.candidate.isBest ? 'small strong' : 'small';
      return [label(point.candidate.label, place, { marker: point, kind })];
    }),
  );
}

/** With air around the points; from zero only where that costs little room. */
function rangeOf(values: readonly number[]): Range {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low || high || 1) * 0.12;
  return { from: Math.max(0, low - air), to: high + air };
}
