// The operations for WebAssembly: 128-bit vectors with relaxed SIMD's fused multiply-add. Compiled
// by scripts/build-wasm.js; to the addon's compiler this unit is empty.
#if defined(__wasm__)
#include "kernels.h"

#define MOEBIUS_ISA kIsaBaseline
#define MOEBIUS_ISA_NAME "wasm"
#define MOEBIUS_LANES 4
#include "isa.inl"
#endif
