/**
 * What we use of WebAssembly, which every engine has under one global name. Its types come with
 * TypeScript's library of the browser only, and that would bring the whole browser.
 */

/** Bytes compiled by the engine; may be sent to workers, which then need not compile. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

/** Linear memory, in pages of 64 KiB. */
export interface WasmLinearMemory {
  /** Another object after each growth; the one before is detached unless it is shared. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** @throws RangeError when the engine has no more */
  grow(pages: number): number;
}

/** What `csrc/wasm.cpp` exports. Addresses are 32-bit and come out signed. */
export interface WasmExports {
  readonly __stack_pointer: { value: number };
  readonly __heap_base: { readonly value: number };
  abiVersion(): number;
  arguments(): number;
  maxArguments(): number;
  maxThreads(): number;
  operationNames(): number;
  /** Gives how many workers have failed so far. */
  run(operation: number, threads: number): number;
  work(): void;
  abandon(): void;
  awaitWorkers(wanted: number, milliseconds: number): number;
  stop(): void;
}

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Memory: new (descriptor: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => WasmLinearMemory;
  readonly Instance: new (module: WasmModule, imports: object) => { readonly exports: unknown };
};

export const PAGE_BYTES = 65_536;

/** @throws the engine's CompileError where it lacks relaxed SIMD, say */
export function compileModule(bytes: Uint8Array): WasmModule {
  return new WebAssembly.Module(bytes);
}

/** @throws RangeError where the engine cannot reserve so much */
export function createMemory(descriptor: {
  readonly initialPages: number;
  readonly maximumPages: number;
  readonly isShared: boolean;
}): WasmLinearMemory {
  const { initialPages: initial, maximumPages: maximum, isShared: shared } = descriptor;
  return new WebAssembly.Memory({ initial, maximum, shared });
}

/** @param allocate gives an operation scratch, or throws */
export function instantiate(
  module: WasmModule,
  memory: WasmLinearMemory,
  allocate: (byteLength: number) => number,
): WasmExports {
  const imports = { env: { memory }, host: { allocate } };
  return new WebAssembly.Instance(module, imports).exports as WasmExports;
}
