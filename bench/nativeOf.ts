/** The native kernels that a benchmark's options ask for. */

import type { NativeAddon } from '../src/kernels/native/addon.ts';
import { type NativeSettings, nativeSettings } from '../src/kernels/native.ts';
import { loadAddon } from '../src/runtime/loadAddon.ts';

export interface BenchedNative {
  readonly addon: NativeAddon;
  readonly options: { readonly isa?: string; readonly threads?: number };
  readonly settings: NativeSettings;
}

/** @throws Error when there is no addon, with the reason; and as nativeSettings throws */
export function nativeOf(values: {
  readonly isa?: string | undefined;
  readonly threads?: string | undefined;
}): BenchedNative {
  const loaded = loadAddon();
  if ('reason' in loaded) throw new Error(loaded.reason);
  const options = {
    ...(values.isa === undefined ? {} : { isa: values.isa }),
    ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
  };
  return { addon: loaded.addon, options, settings: nativeSettings(loaded.addon, options) };
}
