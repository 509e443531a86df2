/**
 * Inside one overlapped pair: what the computing SMs do, and beneath it what the network does, as
 * in the published diagram (DeepSeek-V3 report, figure 4).
 */
import { formatPercent, formatSeconds } from '../../base/units.ts';
import type { PairSpan } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import { figure, legend, line, type Plot, svg, text } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { linearScale, textWidth } from './scales.ts';

const LANE = 34;

export function pairSection(
  overlap: NonNullable<PlanReport['overlap']>,
  spans: readonly PairSpan[],
): Markup {
  const { pairSeconds, computeSeconds, communicationSeconds, hiddenShare } = overlap;
  const saved = computeSeconds + communicationSeconds - pairSeconds;
  const words =
    `A forward and a backward pass of two micro-batches take ${formatSeconds(pairSeconds)} ` +
    'together: ' +
    `${formatSeconds(computeSeconds)} of computing and ${formatSeconds(communicationSeconds)} of ` +
    `communication, of which ${formatPercent(hiddenShare)} is hidden. One after the other they ` +
    `would take ${formatSeconds(saved)} more.`;
  return fragment(
    element('p', {}, words),
    spans.length === 0
      ? element('p', { class: 'muted' }, 'Its inner order is not part of this report.')
      : fragment(
          figure({ label: words, caption: null }, (width) => drawPair(spans, width)),
          legend([
            { kind: 'forward', name: 'forward' },
            { kind: 'backward', name: 'backward' },
            { kind: 'weight', name: 'weight gradients' },
          ]),
          element('p', { class: 'muted' }, `Letters: ${lettersOf(spans)}.`),
        ),
  );
}

function drawPair(spans: readonly PairSpan[], width: number): Markup {
  const isWide = width > 500;
  const left = isWide ? 110 : 8;
  const top = 22;
  const gap = isWide ? 8 : 24;
  const height = top + 2 * LANE + gap + 34;
  const plot: Plot = { width, height, left, right: width - 10, top, bottom: height - 28 };
  const end = Math.max(...spans.map((span) => span.end));
  const x = linearScale({ from: 0, to: end }, { from: plot.left, to: plot.right }, isWide ? 10 : 4);
  const lanes = ['compute', 'communication'] as const;
  const yOf = (lane: number): number => top + lane * (LANE + gap);
  return svg(
    plot,
    ...x.ticks.flatMap((tick) => [
      line('grid', { x: x.at(tick), y: top - 4 }, { x: x.at(tick), y: plot.bottom }),
      text({ x: x.at(tick), y: plot.bottom + 16 }, `${Number((tick * 1e3).toPrecision(6))} ms`, {
        anchor: tick === 0 ? 'start' : 'middle',
        kind: 'muted',
      }),
    ]),
    ...lanes.map((lane, index) =>
      isWide
        ? text({ x: left - 10, y: yOf(index) + LANE / 2 + 4 }, lane, { anchor: 'end' })
        : text({ x: left, y: yOf(index) - 6 }, lane),
    ),
    ...lanes.map((_, index) =>
      element('rect', {
        class: 'bubble',
        x: plot.left,
        y: yOf(index),
        width: plot.right - plot.left,
        height: LANE,
      }),
    ),
    ...spans.map((span) => {
      const y = yOf(lanes.indexOf(span.stream));
      const from = x.at(span.start);
      const room = x.at(span.end) - from;
      const title = `${span.pass} ${span.name}: ${formatSeconds(span.end - span.start)}`;
      const kind = span.pass === 'forward' ? 'small on-forward' : 'small inside';
      return fragment(
        element(
          'rect',
          { class: `${span.pass} edge`, x: from, y, width: room, height: LANE },
          element('title', {}, title),
        ),
        text({ x: from + room / 2, y: y + LANE / 2 + 4 }, nameFor(span.name, room), {
          anchor: 'middle',
          kind,
        }),
      );
    }),
  );
}

/** The name, or its initial, or nothing. */
function nameFor(name: string, room: number): string {
  if (textWidth(name) + 6 <= room) return name;
  return room >= 12 ? initialOf(name) : '';
}

function initialOf(name: string): string {
  return name.slice(0, 1).toUpperCase();
}

function lettersOf(spans: readonly PairSpan[]): string {
  const names = [...new Set(spans.map(({ name }) => name))];
  return names.map((name) => `${initialOf(name)} ${name}`).join(', ');
}
