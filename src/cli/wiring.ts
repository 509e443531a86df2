/**
 * The one place that chooses: which kernels, which executor, real or simulated. Everything above is
 * handed interfaces and cannot tell.
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { ServingExecutor } from '../executor/executor.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { NativeAddon } from '../kernels/native/addon.ts';
import { createNativeKernels, describeNative } from '../kernels/native.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { createWasmKernels } from '../kernels/wasm.ts';
import type { MapFile } from '../runtime/files.ts';
import { loadAddon, nativeOptionsFromEnvironment } from '../runtime/loadAddon.ts';
import { loadWasm } from '../runtime/loadWasm.ts';
import { LocalTrainingExecutor } from '../runtime/localExecutor.ts';
import { LocalServingExecutor, type ServingRankOptions } from '../runtime/localServingExecutor.ts';
import type { TrainingRankOptions } from '../runtime/trainingRank.ts';
import {
  type SimulatedExecutorOptions,
  SimulatedTrainingExecutor,
} from '../simulator/simulatedExecutor.ts';

/** What computes, and what else the machine offers. */
export interface Machine {
  readonly kernels: Kernels;
  /** "native avx2, 2 threads", "wasm, 2 threads", "reference". */
  readonly description: string;
  readonly threads: number;
  /** null for all but the native kernels. */
  readonly addon: NativeAddon | null;
  readonly mapFile: MapFile | undefined;
}

export interface MachineOptions {
  /** `native` where it is built, else `wasm`, when left out. */
  readonly kernels?: string | undefined;
  readonly threads?: number | null | undefined;
  /** Told why slower kernels were taken. */
  readonly note?: (text: string) => void;
}

const KERNELS = ['native', 'wasm', 'reference'];

/**
 * @throws kernels.unknown
 * @throws kernels.notBuilt, kernels.notLoaded when kernels were asked for that are not to be had
 */
export function openMachine(options: MachineOptions = {}): Machine {
  const wanted = options.kernels ?? process.env.MOEBIUS_KERNELS;
  if (wanted !== undefined && !KERNELS.includes(wanted)) {
    throw new MoebiusError('kernels.unknown', `there are no kernels called "${wanted}"`, {
      values: { kernels: wanted },
      hint: `Take ${nearestName(wanted, KERNELS) ?? KERNELS.join(' or ')}.`,
    });
  }
  if (wanted === 'reference') return referenceMachine();
  const environment = nativeOptionsFromEnvironment();
  const threads = options.threads ?? environment.threads;
  if (wanted === 'wasm') return wasmMachine(threads);
  const loaded = loadAddon();
  if ('reason' in loaded) {
    if (wanted === 'native') {
      throw new MoebiusError('kernels.notBuilt', loaded.reason, {
        hint: 'Install a C++ compiler (g++ or clang++) and run: npm run build:native',
      });
    }
    options.note?.(`${loaded.reason} (WebAssembly computes instead)`);
    return wasmMachine(threads);
  }
  const native = { ...environment, ...(threads === undefined ? {} : { threads }) };
  const { addon } = loaded;
  const description = describeNative(addon, native);
  return {
    kernels: createNativeKernels(addon, native),
    description: `native ${description.isa}, ${count(description.threads, 'thread')}`,
    threads: description.threads,
    addon,
    mapFile: (path) => addon.mapFile(path),
  };
}

/** Files are read, not mapped: the module computes on its own memory only. */
function wasmMachine(threads: number | undefined): Machine {
  const loaded = loadWasm(threads === undefined ? {} : { threads });
  if ('reason' in loaded) {
    throw new MoebiusError('kernels.notLoaded', loaded.reason, {
      hint: 'Install the package again, or take the slow reference kernels: --kernels reference',
    });
  }
  const { instance } = loaded;
  return {
    kernels: createWasmKernels(instance),
    description: `wasm, ${count(instance.numThreads, 'thread')}`,
    threads: instance.numThreads,
    addon: null,
    mapFile: undefined,
  };
}

function referenceMachine(): Machine {
  return {
    kernels: createReferenceKernels(),
    description: 'reference',
    threads: 1,
    addon: null,
    mapFile: undefined,
  };
}

function count(value: number, noun: string): string {
  return `${value} ${noun}${value === 1 ? '' : 's'}`;
}

/** Trains for real: one rank in this process. */
export function trainingExecutor(options: TrainingRankOptions): LocalTrainingExecutor {
  return new LocalTrainingExecutor(options);
}

/** The same programs on described hardware: spans with prices, and nothing computed. */
export function simulatedTrainingExecutor(
  options: SimulatedExecutorOptions,
): SimulatedTrainingExecutor {
  return new SimulatedTrainingExecutor(options);
}

/** Generates for real. */
export function servingExecutor(options: ServingRankOptions): ServingExecutor {
  return new LocalServingExecutor(options);
}
