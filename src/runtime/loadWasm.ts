/**
 * Finds the WebAssembly kernels, `wasm/kernels.wasm` of this package, and gives them threads:
 * Node's workers.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { MoebiusError } from '../base/errors.ts';
import { WasmInstance, type WorkerSeat } from '../kernels/wasm/instance.ts';
import { packageRoot } from './packageRoot.ts';

export interface LoadWasmOptions {
  /** The file to load instead of searching. */
  readonly path?: string;
  /** Threads that operations may use, the caller included; every available core by default. */
  readonly threads?: number;
  /** Shared unless it is said otherwise: a shared memory grows without moving under its views. */
  readonly isShared?: boolean;
  readonly maxBytes?: number;
}

export type LoadedWasm =
  | { readonly instance: WasmInstance; readonly path: string }
  | { readonly reason: string };

const BINARY = join('wasm', 'kernels.wasm');
/** A worker is there in a twentieth of a second; on a crowded machine it may take long. */
const PATIENCE_MS = 10_000;

/** @throws kernels.invalidThreads, kernels.outOfMemory */
export function loadWasm(options: LoadWasmOptions = {}): LoadedWasm {
  const path = options.path ?? findBinary();
  if (path === undefined) return { reason: `this package has no ${BINARY}` };
  const { threads = Math.min(availableParallelism(), 64), isShared = true, maxBytes } = options;
  try {
    const instance = new WasmInstance({
      bytes: readFileSync(path),
      threads,
      startWorker,
      isShared,
      ...(maxBytes === undefined ? {} : { maxBytes }),
    });
    instance.awaitWorkers(PATIENCE_MS);
    return { instance, path };
  } catch (error) {
    if (error instanceof MoebiusError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return { reason: `${path} does not load: ${message}` };
  }
}

function startWorker(seat: WorkerSeat): void {
  // The same file in a checkout (.ts) and in the published form (.js).
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./wasmWorker.${extension}`, import.meta.url), {
    workerData: seat,
    execArgv: [],
  });
  // A worker that fails has told its instance, whose run() throws: nothing is left to do here.
  worker.on('error', () => {});
  worker.unref();
}

function findBinary(): string | undefined {
  const root = packageRoot();
  const path = root === null ? undefined : join(root, BINARY);
  return path !== undefined && existsSync(path) ? path : undefined;
}
