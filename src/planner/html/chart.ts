/**
 * What every chart has: a figure drawn for three widths, of which the page shows the one that fits,
 * and axes with ticks and units.
 */
import { element, fragment, type Markup } from './markup.ts';
import type { LabelPlace, Scale } from './scales.ts';

export interface Plot {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const SIZES = [
  { kind: 'wide', width: 1150 },
  { kind: 'middle', width: 660 },
  { kind: 'narrow', width: 340 },
] as const;

/** Drawn for desks, tablets and telephones: text keeps its size in all of them. */
export function figure(
  { label: words, caption }: { readonly label: string; readonly caption: string | null },
  draw: (width: number) => Markup,
): Markup {
  return fragment(
    ...SIZES.map(({ kind, width }) =>
      element(
        'figure',
        { class: kind, role: 'img', 'aria-label': words },
        draw(width),
        caption === null ? null : element('figcaption', {}, caption),
      ),
    ),
  );
}

export function svg({ width, height }: Pick<Plot, 'width' | 'height'>, ...parts: Markup[]): Markup {
  return element(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width, height, 'aria-hidden': 'true', focusable: 'false' },
    ...parts,
  );
}

export function line(
  kind: string,
  from: { readonly x: number; readonly y: number },
  to: { readonly x: number; readonly y: number },
): Markup {
  return element('line', { class: kind, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
}

export function text(
  { x, y }: { readonly x: number; readonly y: number },
  words: string,
  look: { readonly anchor?: 'start' | 'middle' | 'end'; readonly kind?: string } = {},
): Markup {
  const { anchor = 'start', kind = null } = look;
  return element('text', { x, y, 'text-anchor': anchor, class: kind }, words);
}

/** A label with the line that leads to it, when it could not stand beside its marker. */
export function label(
  words: string,
  place: LabelPlace,
  {
    marker: at,
    kind,
  }: { readonly marker: { readonly x: number; readonly y: number }; readonly kind: string },
): Markup {
  return fragment(
    place.leader === null ? null : line('leader', at, place.leader),
    text(place, words, { anchor: place.anchor, kind }),
  );
}

export interface Axis {
  readonly scale: Scale;
  readonly name: string;
  readonly format: (value: number) => string;
}

/** Grid lines, tick labels and the axes' names with their units. */
export function axes(plot: Plot, { x, y }: { readonly x: Axis; readonly y: Axis }): Markup {
  const room = (plot.right - plot.left) / Math.max(1, x.scale.ticks.length);
  const every = Math.max(1, Math.ceil(58 / room));
  return fragment(
    ...x.scale.ticks.flatMap((tick, index) => {
      const at = x.scale.at(tick);
      const words =
        index % every === 0
          ? [
              text({ x: at, y: plot.bottom + 17 }, x.format(tick), {
                anchor: 'middle',
                kind: 'muted',
              }),
            ]
          : [];
      return [line('grid', { x: at, y: plot.top }, { x: at, y: plot.bottom }), ...words];
    }),
    ...y.scale.ticks.flatMap((tick) => {
      const at = y.scale.at(tick);
      return [
        line('grid', { x: plot.left, y: at }, { x: plot.right, y: at }),
        text({ x: plot.left - 8, y: at + 4 }, y.format(tick), { anchor: 'end', kind: 'muted' }),
      ];
    }),
    line('axis', { x: plot.left, y: plot.bottom }, { x: plot.right, y: plot.bottom }),
    line('axis', { x: plot.left, y: plot.top }, { x: plot.left, y: plot.bottom }),
    text({ x: plot.right, y: plot.bottom + 36 }, x.name, { anchor: 'end' }),
    text({ x: 2, y: plot.top - 12 }, y.name),
  );
}

/** Colour samples with their words. */
export function legend(
  entries: readonly { readonly kind: string; readonly name: string }[],
): Markup {
  return element(
    'ul',
    { class: 'legend' },
    ...entries.map(({ kind, name }) => {
      const box = { width: 16, height: 12, y: 0 };
      const swatch =
        kind === 'pair'
          ? fragment(
              element('rect', { ...box, height: 6, class: 'forward' }),
              element('rect', { ...box, y: 6, height: 6, class: 'backward' }),
            )
          : element('rect', { ...box, class: kind });
      return element(
        'li',
        {},
        element('svg', { viewBox: '0 0 16 12', 'aria-hidden': 'true' }, swatch),
        name,
      );
    }),
  );
}

/** Parts of a whole as one bar that stretches with its cell. */
export function stackedBar(
  parts: readonly { readonly kind: string; readonly value: number; readonly title: string }[],
  { scale, mark }: { readonly scale: number; readonly mark: number | null },
): Markup {
  let start = 0;
  const rects = parts.map(({ kind, value, title }) => {
    const [x, width] = [(start / scale) * 1000, (value / scale) * 1000];
    start += value;
    return element(
      'rect',
      { class: kind, x, y: 0, width, height: 16 },
      element('title', {}, title),
    );
  });
  const at = mark === null ? null : (mark / scale) * 1000;
  return element(
    'svg',
    { viewBox: '0 0 1000 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    ...rects,
    at === null
      ? null
      : element('line', {
          class: 'capacity',
          x1: at,
          x2: at,
          y1: 0,
          y2: 16,
          'vector-effect': 'non-scaling-stroke',
        }),
  );
}

/** A marker whose shape says what its colour says. */
export function marker(
  shape: 'circle' | 'square' | 'triangle' | 'diamond',
  {
    x,
    y,
    size,
    kind,
  }: { readonly x: number; readonly y: number; readonly size: number; readonly kind: string },
  title: string,
): Markup {
  const name = element('title', {}, title);
  if (shape === 'circle') return element('circle', { class: kind, cx: x, cy: y, r: size }, name);
  if (shape === 'square') {
    const side = size * 1.8;
    return element(
      'rect',
      { class: kind, x: x - side / 2, y: y - side / 2, width: side, height: side },
      name,
    );
  }
  const points =
    shape === 'triangle'
      ? [
          [0, -1.25],
          [1.15, 0.85],
          [-1.15, 0.85],
        ]
      : [
          [0, -1.35],
          [1.35, 0],
          [0, 1.35],
          [-1.35, 0],
        ];
  const path = points
    .map(([dx = 0, dy = 0]) => `${(x + dx * size).toFixed(1)},${(y + dy * size).toFixed(1)}`)
    .join(' ');
  return element('polygon', { class: kind, points: path }, name);
}
