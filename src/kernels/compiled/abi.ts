/**
 * What `csrc/kernels.h` calls `kAbiVersion`: addon and WebAssembly, built from the same sources,
 * both say it, and are refused when it is another.
 */
export const ABI_VERSION = 4;
