/** Pictures of marks between two axes: the roofline, and plans' time against a cost. */
import { formatPercent } from '../../src/base/units.ts';
import type { GpuSpec } from '../../src/config/clusterSpec.ts';
import {
  type Box,
  boxAround,
  linearScale,
  logScale,
  placeLabels,
  type Scale,
  textWidth,
} from '../../src/planner/html/scales.ts';
import type { Candidate } from '../../src/planner/planExtras.ts';
import type { OperationShare } from '../../src/planner/planReport.ts';
import { formatRate, formatTick, wordsOf } from '../../src/planner/quantities.ts';
import { paretoFront, timeOf } from '../../src/planner/search/paretoFront.ts';
import { type Picture, type Point, type Shape, textAt, ticksFor } from './shapes.ts';

/** What binds an operation has a form of its own, for colours alone do not tell. */
export const markShapes = { compute: 'circle', memory: 'square', network: 'triangle' } as const;

const GIBI = 2 ** 30;

export interface AxisNames {
  readonly x: string;
  readonly y: string;
}

export interface RooflineQuestion {
  readonly operations: readonly OperationShare[];
  readonly gpu: GpuSpec;
  /** Other hardware, whose roofs are drawn as well. */
  readonly before?: GpuSpec;
}

interface Roof {
  readonly words: string;
  readonly flops: number;
}

function roofsOf({ peakFlops: { bf16, fp8 } }: GpuSpec): readonly Roof[] {
  const roof = (name: string, flops: number): Roof => {
    return { words: `${name} ${formatRate(flops, 'FLOP/s')}`, flops };
  };
  return [roof('BF16', bf16), ...(fp8 === null ? [] : [roof('FP8', fp8)])];
}

/**
 * Classes of operations at their intensity and the rate they reach, under the roofs of memory and
 * of the tensor cores. Transfers compute nothing and have no place here.
 */
export function rooflinePicture(
  { operations, gpu, before }: RooflineQuestion,
  { width, names }: { readonly width: number; readonly names: AxisNames },
): Picture {
  const height = width > 420 ? 360 : 320;
  const frame = { left: 56, right: width - 14, top: 26, bottom: height - 42 };
  const points = operations
    .filter(({ flops, bytes, seconds }) => flops > 0 && bytes > 0 && seconds > 0)
    .map((each) => ({ each, intensity: each.flops / each.bytes, rate: each.flops / each.seconds }));
  const gpus = before === undefined ? [gpu] : [gpu, before];
  const bandwidth = Math.max(...gpus.map((each) => each.memoryBytesPerSecond));
  const peak = Math.max(...gpus.flatMap(roofsOf).map(({ flops }) => flops));
  const lowest = Math.min(peak / 20, ...points.map((p) => p.rate / 2));
  const least = Math.min(lowest / bandwidth, ...points.map((p) => p.intensity / 2));
  const most = Math.max((peak / bandwidth) * 6, ...points.map((p) => p.intensity * 2));
  const x = logScale({ from: least, to: most }, { from: frame.left, to: frame.right });
  const y = logScale({ from: lowest, to: peak * 2 }, { from: frame.bottom, to: frame.top });
  const seconds = points.reduce((sum, { each }) => sum + each.seconds, 0);
  const placed = points
    .map((point) => ({
      ...point,
      ...{ x: x.at(point.intensity), y: y.at(point.rate) },
      radius: 4 + 7 * Math.sqrt(point.each.seconds / seconds),
      text: wordsOf(point.each.name),
    }))
    .toSorted((a, b) => b.radius - a.radius);
  const slope = (of: GpuSpec, tone: string): readonly Shape[] => {
    const memory = of.memoryBytesPerSecond;
    const bend = (flops: number): Point => ({ x: x.at(flops / memory), y: y.at(flops) });
    const top = Math.max(...roofsOf(of).map(({ flops }) => flops));
    return [
      { kind: 'line', points: [bend(Math.max(lowest, least * memory)), bend(top)], tone },
      ...roofsOf(of).map(
        ({ flops }): Shape => ({
          ...{ kind: 'line', tone },
          points: [bend(flops), { x: frame.right, y: y.at(flops) }],
        }),
      ),
    ];
  };
  const named = roofsOf(gpu).map(({ words, flops }) => {
    const bend = x.at(flops / gpu.memoryBytesPerSecond) + 6;
    return { words, x: Math.min(bend, frame.right - widthOf(words)), y: y.at(flops) - 5 };
  });
  return {
    ...{ width, height },
    shapes: [
      ...axes(frame, { x, y, names, formatX: formatTick, formatY: formatTick }),
      ...(before === undefined ? [] : slope(before, 'roofBefore')),
      ...slope(gpu, 'roof'),
      ...named.map(({ words, ...at }) => textAt(at, words, 'start')),
      ...placed.map(
        ({ each, rate, radius, ...at }): Shape => ({
          ...{ kind: 'mark', shape: markShapes[each.bound], x: at.x, y: at.y, size: radius },
          tone: `bound-${each.bound}`,
          title:
            `${wordsOf(each.name)}: ${formatRate(rate, 'FLOP/s')}, ` +
            `${formatPercent(each.shareOfLimit)}`,
        }),
      ),
      ...labels(placed, {
        ...{ frame, count: 12 },
        obstacles: [
          ...named.map(({ words, x: left, y: base }) => ({
            ...{ left, right: left + widthOf(words), top: base - 11, bottom: base + 7 },
          })),
          ...slope(gpu, 'roof').flatMap(boxesAlong),
        ],
      }),
    ],
  };
}

/** A line as small boxes, for labels to keep clear of. */
function boxesAlong(shape: Shape): readonly Box[] {
  const [from, to] = shape.kind === 'line' ? shape.points : [];
  if (from === undefined || to === undefined) return [];
  const count = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / 6);
  return Array.from({ length: count + 1 }, (_, index) => {
    const [x, y] = [
      from.x + ((to.x - from.x) * index) / count,
      from.y + ((to.y - from.y) * index) / count,
    ];
    return { left: x - 2, right: x + 2, top: y - 2, bottom: y + 2 };
  });
}

export type ParetoAxis = 'dollars' | 'peakMemoryBytes';

/** Time against money, or against memory; the front of what nothing beats in both is joined. */
export function paretoPicture(
  { candidates, against }: ParetoQuestion,
  { width, names }: { readonly width: number; readonly names: AxisNames },
): Picture {
  const height = width > 420 ? 340 : 300;
  const frame = { left: 70, right: width - 16, top: 26, bottom: height - 42 };
  const scaled = against === 'dollars' ? 1 : GIBI;
  const points = candidates.map((plan) => ({
    plan,
    at: timeOf(plan),
    cost: plan[against] / scaled,
  }));
  const x = linearScale(
    around(points.map(({ at }) => at)),
    { from: frame.left, to: frame.right },
    ticksFor(width),
  );
  const y = linearScale(
    around(points.map(({ cost }) => cost)),
    { from: frame.bottom, to: frame.top },
    5,
  );
  const front = new Set(frontOf({ candidates, against }));
  const placed = points.map((point) => ({
    ...{ plan: point.plan, x: x.at(point.at), y: y.at(point.cost) },
    radius: point.plan.isBest ? 9 : 5,
    text: point.plan.label,
    isOnFront: front.has(point.plan),
  }));
  const joined = placed.filter(({ isOnFront }) => isOnFront).toSorted((a, b) => a.x - b.x);
  const named = [...placed].sort(
    (a, b) =>
      Number(b.plan.isBest) - Number(a.plan.isBest) || Number(b.isOnFront) - Number(a.isOnFront),
  );
  const unit = (value: number): string =>
    against === 'dollars' ? `$${formatTick(value)}` : `${formatTick(value)} GiB`;
  return {
    ...{ width, height },
    shapes: [
      ...axes(frame, { x, y, names, formatX: formatTick, formatY: unit }),
      {
        kind: 'line',
        points: joined.map(({ x: left, y: top }) => ({ x: left, y: top })),
        tone: 'front',
      },
      ...placed.map(
        (point): Shape => ({
          ...{ kind: 'mark', x: point.x, y: point.y, size: point.radius },
          shape: point.plan.isBest ? 'diamond' : 'circle',
          tone: point.plan.isBest ? 'best' : point.isOnFront ? 'onFront' : 'beaten',
          title: `${point.text}: ${point.plan.reason}`,
        }),
      ),
      ...labels(named, { frame, count: width > 480 ? 6 : 3, obstacles: [] }),
    ],
  };
}

export interface ParetoQuestion {
  readonly candidates: readonly Candidate[];
  readonly against: ParetoAxis;
}

/** Undominated in time and the other, the fastest first. */
export function frontOf({ candidates, against }: ParetoQuestion): readonly Candidate[] {
  if (against === 'dollars') return paretoFront(candidates);
  const byMemory = candidates.map((plan) => ({
    ...{ plan, days: plan.days, stepSeconds: plan.stepSeconds },
    // The front knows two costs; here memory stands where money does.
    dollars: plan.peakMemoryBytes,
  }));
  return paretoFront(byMemory).map(({ plan }) => plan);
}

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function axes(
  frame: Frame,
  args: {
    readonly x: Scale;
    readonly y: Scale;
    readonly names: AxisNames;
    readonly formatX: (value: number) => string;
    readonly formatY: (value: number) => string;
  },
): readonly Shape[] {
  const { x, y, names, formatX, formatY } = args;
  const { left, right, top, bottom } = frame;
  const line = (from: Point, to: Point): Shape => ({
    kind: 'line',
    points: [from, to],
    tone: 'grid',
  });
  return [
    ...x.ticks.flatMap((tick) => [
      line({ x: x.at(tick), y: top }, { x: x.at(tick), y: bottom }),
      textAt({ x: x.at(tick), y: bottom + 16 }, formatX(tick), 'middle'),
    ]),
    ...y.ticks.flatMap((tick) => [
      line({ x: left, y: y.at(tick) }, { x: right, y: y.at(tick) }),
      textAt({ x: left - 6, y: y.at(tick) + 4 }, formatY(tick), 'end'),
    ]),
    textAt({ x: right, y: bottom + 34 }, names.x, 'end'),
    textAt({ x: 4, y: 12 }, names.y, 'start'),
  ];
}

interface Labelled extends Point {
  readonly radius: number;
  readonly text: string;
}

interface LabelRoom {
  readonly frame: Frame;
  /** At most. */
  readonly count: number;
  /** Other words in the frame. */
  readonly obstacles: readonly Box[];
}

/** Names beside marks, as many as find room; the first ones first. */
function labels(
  marks: readonly Labelled[],
  { frame, count, obstacles }: LabelRoom,
): readonly Shape[] {
  const wished = marks.slice(0, count);
  const places = placeLabels(
    wished.map(({ x, y, radius, text }) => ({ x, y, radius, width: widthOf(text) })),
    {
      bounds: frame,
      obstacles: [...obstacles, ...marks.map((mark) => boxAround(mark, mark.radius))],
    },
  );
  return places.flatMap((place, index): readonly Shape[] => {
    const wish = wished[index];
    if (place === null || wish === undefined) return [];
    const { leader } = place;
    return [
      ...(leader === null
        ? []
        : [{ kind: 'line', points: [{ x: wish.x, y: wish.y }, leader], tone: 'leader' } as const]),
      textAt(place, wish.text, place.anchor),
    ];
  });
}

function around(values: readonly number[]): { readonly from: number; readonly to: number } {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low || high || 1) * 0.12;
  return { from: Math.max(0, low - air), to: high + air };
}

/** With air: fonts that a system brings may be wider than the report's own. */
function widthOf(text: string): number {
  return 1.12 * textWidth(text);
}
