/**
 * The C++ backend: `csrc/` behind the `Kernels` interface, on the cores of this machine.
 *
 * The addon is passed in (`runtime/loadAddon.ts` finds it), because this room knows no Node.
 * Tensors may lie in an arena of ours (huge pages), in any ArrayBuffer, or in a mapped file.
 * Operations are done when they return.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError, nearestName } from '../base/errors.ts';
import { ChunkArena } from '../tensor/arena.ts';
import { KernelCall } from './compiled/call.ts';
import { compiledKernels } from './compiled/operations.ts';
import type { Kernels } from './kernels.ts';
import type { NativeAddon, Roofline } from './native/addon.ts';
import { NativeHost } from './native/host.ts';
import { offerRecorder } from './recording.ts';

/** Pages are the system's until they are written to, so chunks may be large. */
const CHUNK_BYTES = 64 * 2 ** 20;
const MOST_CHUNK_BYTES = 512 * 2 ** 20;

export interface NativeOptions {
  /** One of `addon.isas`; the best by default. */
  readonly isa?: string;
  /** Threads an operation is split over, the caller included; every available core by default. */
  readonly threads?: number;
}

export interface NativeSettings {
  readonly isa: string;
  readonly threads: number;
}

/** @throws kernels.unknownIsa, kernels.invalidThreads */
export function createNativeKernels(addon: NativeAddon, options: NativeOptions = {}): Kernels {
  const { isa, threads } = nativeSettings(addon, options);
  const host = new NativeHost(addon, addon.isas.indexOf(isa), threads);
  const call = new KernelCall(host);
  const kernels: Kernels = {
    name: 'native',
    createArena: () =>
      new ChunkArena((byteLength) => host.allocate(byteLength), CHUNK_BYTES, {
        mostChunkBytes: MOST_CHUNK_BYTES,
        giveBack: (memory) => {
          call.waitToGiveBack();
          host.giveBack(memory);
        },
      }),
    ...compiledKernels(call),
  };
  offerRecorder(kernels, (work) => call.record(() => work(kernels)));
  return kernels;
}

/** The choices that `options` amount to on this machine. */
export function nativeSettings(addon: NativeAddon, options: NativeOptions = {}): NativeSettings {
  const best = addon.isas[0];
  assert(best !== undefined, 'the addon names no instruction set');
  const { isa = best, threads = addon.availableThreads } = options;
  if (!addon.isas.includes(isa)) {
    const nearest = nearestName(isa, addon.isas);
    throw new MoebiusError('kernels.unknownIsa', `this machine cannot run instruction set ${isa}`, {
      values: { isa, available: addon.isas },
      hint: nearest === undefined ? `Take one of ${addon.isas.join(', ')}.` : `Take ${nearest}.`,
    });
  }
  if (!Number.isInteger(threads) || threads < 1 || threads > addon.maxThreads) {
    throw new MoebiusError('kernels.invalidThreads', `kernels cannot use ${threads} threads`, {
      values: { threads },
      hint: `Take a whole number from 1 to ${addon.maxThreads}.`,
    });
  }
  return { isa, threads };
}

/** What `doctor` prints. */
export interface NativeDescription extends NativeSettings {
  readonly isas: readonly string[];
  readonly availableThreads: number;
  readonly abiVersion: number;
  readonly numOperations: number;
}

export function describeNative(addon: NativeAddon, options: NativeOptions = {}): NativeDescription {
  return {
    ...nativeSettings(addon, options),
    isas: addon.isas,
    availableThreads: addon.availableThreads,
    abiVersion: addon.abiVersion,
    numOperations: addon.operations.length,
  };
}

/** Measures this machine with the instruction set and threads the kernels would use. */
export function measureRoofline(
  addon: NativeAddon,
  options: NativeOptions & { readonly seconds?: number } = {},
): Roofline {
  const { isa, threads } = nativeSettings(addon, options);
  return addon.measureRoofline(addon.isas.indexOf(isa), threads, options.seconds ?? 0.5);
}
