/**
 * What-if hardware as dials: each multiplies one number of the cluster, or several that go
 * together, and is written as the settings that `--what-if` takes. Settings that no dial writes are
 * left alone.
 */
import { formatBytes } from '../../src/base/units.ts';
import type { ClusterSpec } from '../../src/config/clusterSpec.ts';
import { formatDollars, formatRate } from '../../src/planner/quantities.ts';

export type DialName = 'flops' | 'memory' | 'memoryBandwidth' | 'scaleUp' | 'network' | 'price';

export interface Dial {
  readonly name: DialName;
  readonly paths: readonly string[];
}

export const dials: readonly Dial[] = [
  { name: 'flops', paths: ['gpu.peakFlops.bf16', 'gpu.peakFlops.fp8'] },
  { name: 'memory', paths: ['gpu.memoryBytes'] },
  { name: 'memoryBandwidth', paths: ['gpu.memoryBytesPerSecond'] },
  { name: 'scaleUp', paths: ['scaleUp.bytesPerSecond'] },
  { name: 'network', paths: ['scaleOut.nicBytesPerSecond'] },
  { name: 'price', paths: ['price.dollarsPerGpuHour'] },
];

/** A dial moves in quarters of a doubling, from a quarter to eight times. */
export const dialRange = { least: -2, most: 3, step: 0.25 } as const;

/** Three digits: a link stays readable. */
export function factorAt(doublings: number): number {
  return Number((2 ** doublings).toPrecision(3));
}

export function doublingsOf(factor: number): number {
  return Math.round(Math.log2(factor) / dialRange.step) * dialRange.step + 0;
}

/** 1 where the settings say nothing of it. */
export function readDial(settings: readonly string[], { paths }: Dial): number {
  const [first = ''] = paths;
  const found = settings.find((each) => each.startsWith(`${first}*=`));
  const factor = Number(found?.slice(first.length + 2) ?? 1);
  return factor > 0 && Number.isFinite(factor) ? factor : 1;
}

/** The settings with the dial at a factor; at 1 it leaves them. */
export function turnDial(
  settings: readonly string[],
  {
    dial,
    factor,
    cluster,
  }: { readonly dial: Dial; readonly factor: number; readonly cluster: ClusterSpec },
): readonly string[] {
  const others = settings.filter(
    (each) => !dial.paths.some((path) => each.startsWith(`${path}*=`)),
  );
  if (factor === 1) return others;
  const paths = dial.paths.filter(
    (path) => path !== 'gpu.peakFlops.fp8' || cluster.gpu.peakFlops.fp8 !== null,
  );
  return [...others, ...paths.map((path) => `${path}*=${factor}`)];
}

/** What a dial multiplies, multiplied, with its unit; of two peaks that of BF16. */
export function amountOf(
  { gpu, scaleUp, scaleOut, price }: ClusterSpec,
  { name }: Dial,
  factor: number,
): string {
  switch (name) {
    case 'flops':
      return formatRate(gpu.peakFlops.bf16 * factor, 'FLOP/s');
    case 'memory':
      return formatBytes(gpu.memoryBytes * factor);
    case 'memoryBandwidth':
      return formatRate(gpu.memoryBytesPerSecond * factor, 'B/s');
    case 'scaleUp':
      return formatRate(scaleUp.bytesPerSecond * factor, 'B/s');
    case 'network':
      return formatRate(scaleOut.nicBytesPerSecond * factor, 'B/s');
    case 'price':
      return formatDollars(price.dollarsPerGpuHour * factor);
    default:
      name satisfies never;
      return '';
  }
}
