/**
 * The roofline: each class of operations at its intensity (FLOPs per byte) and the FLOP/s it
 * reaches, under the roofs of memory and of the tensor cores. What does not compute (transfers,
 * copies) has no place there and stands in the table beneath, with its share of what bounds it.
 */
import { formatPercent } from '../../base/units.ts';
import type { GpuSpec } from '../../config/clusterSpec.ts';
import type { OperationShare } from '../planReport.ts';
import { formatRate, formatStep, formatTick, significant, wordsOf } from '../quantities.ts';
import { axes, figure, label, legend, line, marker, type Plot, svg, text } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { type Box, boxAround, logScale, placeLabels, textWidth } from './scales.ts';
import { table, tagOf } from './tables.ts';

const SHAPES = { compute: 'circle', memory: 'square', network: 'triangle' } as const;

export function rooflineSection(given: readonly OperationShare[], gpu: GpuSpec): Markup {
  const operations = given.map((each) => ({ ...each, name: wordsOf(each.name) }));
  const computing = operations.filter(({ flops, bytes }) => flops > 0 && bytes > 0);
  const words =
    `Roofline of ${gpu.name}: ${computing.length} classes of operations; ` +
    computing
      .slice(0, 4)
      .map(({ name, shareOfLimit }) => `${name} at ${formatPercent(shareOfLimit, 0)} of its limit`)
      .join(', ');
  return fragment(
    computing.length === 0
      ? element('p', { class: 'muted' }, 'No class of operations computes anything.')
      : figure({ label: words, caption: null }, (width) => drawRoofline(computing, { gpu, width })),
    legend([
      { kind: 'compute', name: 'bound by computing (circle)' },
      { kind: 'memory', name: 'bound by memory (square)' },
      { kind: 'network', name: 'bound by the network (triangle)' },
    ]),
    operationTable(operations),
  );
}

interface Point {
  readonly operation: OperationShare;
  /** Pixels. */
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly rate: number;
}

function drawRoofline(
  operations: readonly OperationShare[],
  { gpu, width }: { readonly gpu: GpuSpec; readonly width: number },
): Markup {
  const height = width > 500 ? 420 : 340;
  const plot: Plot = { width, height, left: 52, right: width - 14, top: 34, bottom: height - 46 };
  const bandwidth = gpu.memoryBytesPerSecond;
  const peak = Math.max(gpu.peakFlops.bf16, gpu.peakFlops.fp8 ?? 0);
  const intensities = operations.map(({ flops, bytes }) => flops / bytes);
  const rates = operations.map(({ flops, seconds }) => flops / seconds);
  const lowest = powerBelow(Math.min(...rates, peak / 30));
  const x = logScale(
    {
      from: Math.min(powerBelow(Math.min(...intensities)), lowest / bandwidth),
      to: Math.max(...intensities, (peak / bandwidth) * 3) * 2,
    },
    { from: plot.left, to: plot.right },
  );
  const y = logScale({ from: lowest, to: peak * 2.5 }, { from: plot.bottom, to: plot.top });
  const total = operations.reduce((sum, { seconds }) => sum + seconds, 0);
  const points = operations
    .map((operation, index) => ({
      operation,
      x: x.at(intensities[index] ?? 1),
      y: y.at(rates[index] ?? 1),
      radius: 4 + 7 * Math.sqrt(operation.seconds / total),
      rate: rates[index] ?? 0,
    }))
    .toSorted((a, b) => b.radius - a.radius);
  const roofs = roofsOf(gpu).map(({ flops, name, kind }) => ({
    kind,
    words: `${name} ${formatRate(flops, 'FLOP/s')}`,
    corner: { x: x.at(flops / bandwidth), y: y.at(flops) },
  }));
  const top = roofs[0]?.corner ?? { x: plot.left, y: plot.top };
  const memory = {
    words: `memory ${formatRate(bandwidth, 'B/s')}`,
    x: (x.at(lowest / bandwidth) + top.x) / 2 - 10,
    y: (y.at(lowest) + top.y) / 2 - 6,
  };
  const foot = { x: x.at(lowest / bandwidth), y: y.at(lowest) };
  return svg(
    plot,
    axes(plot, {
      x: { scale: x, name: 'intensity, FLOP per byte', format: formatTick },
      y: { scale: y, name: 'reached, FLOP/s', format: formatTick },
    }),
    line('roof', foot, top),
    text(memory, memory.words, { anchor: 'end', kind: 'small muted' }),
    ...roofs.flatMap(({ kind, words, corner }) => [
      line(kind, corner, { x: plot.right, y: corner.y }),
      text({ x: plot.right - 4, y: corner.y - 5 }, words, { anchor: 'end', kind: 'small muted' }),
    ]),
    ...points.map(({ operation, rate, radius, ...at }) =>
      marker(
        SHAPES[operation.bound],
        { x: at.x, y: at.y, size: radius, kind: `${operation.bound} edge` },
        `${operation.name}: ${formatRate(rate, 'FLOP/s')}, ` +
          `${formatPercent(operation.shareOfLimit)} of its limit`,
      ),
    ),
    ...labelsOf(points.slice(0, width > 500 ? 14 : 3), {
      bounds: plot,
      obstacles: [
        ...points.map((point) => boxAround(point, point.radius)),
        {
          left: memory.x - textWidth(memory.words),
          right: memory.x,
          top: memory.y - 12,
          bottom: memory.y + 4,
        },
        ...roofs.map(({ words, corner }) => ({
          left: plot.right - textWidth(words),
          right: plot.right,
          top: corner.y - 16,
          bottom: corner.y,
        })),
      ],
    }),
  );
}

/** The highest first. */
function roofsOf({ peakFlops }: GpuSpec): { flops: number; name: string; kind: string }[] {
  const bf16 = { flops: peakFlops.bf16, name: 'BF16' };
  if (peakFlops.fp8 === null) return [{ ...bf16, kind: 'roof' }];
  return [
    { flops: peakFlops.fp8, name: 'FP8', kind: 'roof' },
    { ...bf16, kind: 'roof second' },
  ];
}

function labelsOf(
  points: readonly Point[],
  room: { readonly bounds: Box; readonly obstacles: readonly Box[] },
): readonly Markup[] {
  const wishes = points.map((point) => ({ ...point, width: textWidth(point.operation.name) }));
  return placeLabels(wishes, room).flatMap((place, index) => {
    const point = points[index];
    if (place === null || point === undefined) return [];
    return [label(point.operation.name, place, { marker: point, kind: 'small' })];
  });
}

function powerBelow(value: number): number {
  return 10 ** Math.floor(Math.log10(value) + 0.15);
}

function operationTable(operations: readonly OperationShare[]): Markup {
  const total = operations.reduce((sum, { seconds }) => sum + seconds, 0);
  const numbers = ['time', 'of all', 'share of limit'];
  return table(
    'Operations',
    [
      { head: 'operation' },
      ...numbers.map((head) => ({ head, kind: 'number' as const })),
      { head: 'bound by' },
      { head: 'known' },
    ],
    operations
      .toSorted((a, b) => b.seconds - a.seconds)
      .map((operation) => ({
        cells: [
          operation.name,
          formatStep(operation.seconds),
          formatPercent(operation.seconds / total),
          formatPercent(operation.shareOfLimit),
          reachedOf(operation),
          tagOf(operation.source),
        ],
      })),
  );
}

function reachedOf({ bound, flops, bytes, seconds }: OperationShare): string {
  if (seconds === 0) return bound;
  const rate =
    bound === 'compute'
      ? formatRate(flops / seconds, 'FLOP/s')
      : formatRate(bytes / seconds, 'B/s');
  const intensity = flops > 0 && bytes > 0 ? `, ${significant(flops / bytes)} FLOP/B` : '';
  return `${bound} (${rate}${intensity})`;
}
