/**
 * The limits of this machine in the run that is measured: before it and after it, and the larger of
 * the two, since clocks and neighbours only ever take away.
 */
import { measureRoofline } from '../../kernels/native.ts';
import { nativeOptionsFromEnvironment } from '../../runtime/loadAddon.ts';
import type { Machine } from '../wiring.ts';

export interface Limits {
  readonly fmaPeakGflops: number;
  readonly readGigabytesPerSecond: number;
  readonly copyGigabytesPerSecond: number;
}

/** null on the reference kernels, which nothing measures. */
export function measureLimits(machine: Machine, seconds = 0.5): Limits | null {
  const { addon, threads } = machine;
  if (addon === null) return null;
  const limits = measureRoofline(addon, { ...nativeOptionsFromEnvironment(), threads, seconds });
  return {
    fmaPeakGflops: limits.flopsPerSecond / 1e9,
    readGigabytesPerSecond: limits.readBytesPerSecond / 1e9,
    copyGigabytesPerSecond: limits.copyBytesPerSecond / 1e9,
  };
}

export function largerLimits(a: Limits | null, b: Limits | null): Limits | null {
  if (a === null || b === null) return a ?? b;
  return {
    fmaPeakGflops: Math.max(a.fmaPeakGflops, b.fmaPeakGflops),
    readGigabytesPerSecond: Math.max(a.readGigabytesPerSecond, b.readGigabytesPerSecond),
    copyGigabytesPerSecond: Math.max(a.copyGigabytesPerSecond, b.copyGigabytesPerSecond),
  };
}

export function describeLimits(limits: Limits | null): string {
  if (limits === null) return 'not measured without native kernels';
  const { fmaPeakGflops, readGigabytesPerSecond } = limits;
  return `${fmaPeakGflops.toFixed(0)} GFLOP/s, read ${readGigabytesPerSecond.toFixed(1)} GB/s`;
}
