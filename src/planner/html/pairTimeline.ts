/**
 * Inside one overlapped pair: what the computing SMs do, and beneath it what the network does, as
 * in the published diagram (DeepSeek-V3 report, figure 4).
 */
import { formatPercent, formatSeconds } from '../../base/units.ts';
import type { PairSpan } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import { wordsOf } from '../quantities.ts';
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
          element(
            'p',
            { class: 'muted' },
            `Letters: ${[...lettersOf(namesOf(spans))]
              .map(([name, letters]) => `${letters} ${wordsOf(name)}`)
              .join(', ')}.`,
          ),
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
  const letters = lettersOf(namesOf(spans));
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
      const title = `${span.pass} ${wordsOf(span.name)}: ${formatSeconds(span.end - span.start)}`;
      const kind = `small on-${span.pass}`;
      return fragment(
        element(
          'rect',
          { class: `${span.pass} edge`, x: from, y, width: room, height: LANE },
          element('title', {}, title),
        ),
        text(
          { x: from + room / 2, y: y + LANE / 2 + 4 },
          nameFor(span.name, letters.get(span.name) ?? '', room),
          {
            anchor: 'middle',
            kind,
          },
        ),
      );
    }),
  );
}

/** What a block shows: the name, or where it is too narrow its letters, or nothing. */
function nameFor(name: string, letters: string, room: number): string {
  return [wordsOf(name), letters].find((words) => textWidth(words) + 4 <= room) ?? '';
}

/** The fewest first letters that tell a name from those before it. */
export function lettersOf(names: readonly string[]): ReadonlyMap<string, string> {
  const letters = new Map<string, string>();
  for (const name of names) {
    if (letters.has(name)) continue;
    const taken = new Set(letters.values());
    let length = 1;
    while (length < name.length && taken.has(capital(name.slice(0, length)))) length++;
    letters.set(name, capital(name.slice(0, length)));
  }
  return letters;
}

function capital(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}

/** Parts of every layer come before those of the model's ends. */
function namesOf(spans: readonly PairSpan[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { name } of spans) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([name]) => name);
}
