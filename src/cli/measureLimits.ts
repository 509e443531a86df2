/** The limits of this machine as prices know them: arithmetic and memory, on its threads. */
import type { Roofline } from '../config/machineProfile.ts';
import { measureRoofline } from '../kernels/native.ts';
import { nativeOptionsFromEnvironment } from '../runtime/loadAddon.ts';
import type { Machine } from './wiring.ts';

/** Half a second of all threads. @returns null without the addon: nothing else measures them */
export function measureLimits({ addon, threads }: Machine): Roofline | null {
  if (addon === null) return null;
  const limits = measureRoofline(addon, { ...nativeOptionsFromEnvironment(), threads });
  return {
    fmaPeak: limits.flopsPerSecond,
    readBandwidth: limits.readBytesPerSecond,
    copyBandwidth: limits.copyBytesPerSecond,
  };
}
