/** What the C++ addon is to TypeScript: the shape of `build/Release/moebius.node`. */

/** The loaded `build/Release/moebius.node` (`csrc/addon.cpp`). */
export interface NativeAddon {
  /** `ABI_VERSION`, or the addon is of other sources. */
  readonly abiVersion: number;
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
  measureRoofline(isa: number, threads: number, seconds: number): Roofline;
}

/** What the machine can do at most, measured on the given threads. */
export interface Roofline {
  readonly flopsPerSecond: number;
  readonly readBytesPerSecond: number;
  /** Bytes read plus bytes written. */
  readonly copyBytesPerSecond: number;
}
