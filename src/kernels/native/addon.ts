/** What the C++ addon is to TypeScript: the shape of `build/Release/moebius.node`. */

/** The loaded `build/Release/moebius.node` (`csrc/addon.cpp`). */
export interface NativeAddon {
  readonly abiVersion: number;
  /** Of the sources that it was built from (`compiled/convention.ts`). */
  readonly callingConvention: string;
  /** What each of `operations` reads, as a hash. */
  readonly signatures: readonly string[];
  /** Instruction sets this machine can run, best first: `avx512`, `avx2`, `sse2`, or `neon`. */
  readonly isas: readonly string[];
  /** Names of operations; `run` reads the index. */
  readonly operations: readonly string[];
  /** Cores this process may use. */
  readonly availableThreads: number;
  readonly maxThreads: number;
  /** Doubles in an array that `run` reads. */
  readonly maxArguments: number;
  /**
   * Runs operations. At the address: instruction set, threads, then for each operation its index,
   * the count of its arguments, and these.
   */
  run(count: number, address: number): void;
  /** Zeroed memory on huge pages, given back when the buffer is collected. */
  allocate(byteLength: number): ArrayBuffer;
  /** A file's bytes, read-only: writing to them ends the process. Throws what the system says. */
  mapFile(path: string): ArrayBuffer;
  /** Where a typed array's first byte lies. */
  address(bytes: Uint8Array): number;
  /**
   * Reads files into memory by threads of its own (`csrc/loader.h`). `copies` has five numbers for
   * each copy, in the order of groups: group, index of the path, offset, address, bytes. Memory at
   * those addresses must stay until all is there or the loader was stopped.
   */
  createLoader(
    paths: readonly string[],
    copies: Float64Array,
    threads: number,
    dropsCache: boolean,
  ): NativeLoader;
  /** Returns once these groups are there, or there is an error. */
  loaderNeed(loader: NativeLoader, groups: Uint32Array): void;
  loaderState(loader: NativeLoader): LoaderState;
  /** No byte is written once it returns. */
  loaderStop(loader: NativeLoader): void;
  measureRoofline(isa: number, threads: number, seconds: number): Roofline;
}

/** A loader of the addon's; it ends when it is collected. */
export interface NativeLoader {
  readonly nativeLoader: unique symbol;
}

export interface LoaderState {
  readonly bytes: number;
  /** How many are there, counted from the first to the first that is not. */
  readonly groups: number;
  /** Empty while nothing is wrong. */
  readonly error: string;
}

/** What the machine can do at most, measured on the given threads. */
export interface Roofline {
  readonly flopsPerSecond: number;
  readonly readBytesPerSecond: number;
  /** Bytes read plus bytes written. */
  readonly copyBytesPerSecond: number;
}
