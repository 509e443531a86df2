// What every machine of the architecture has: SSE2 on x86-64, NEON on arm64, 128-bit elsewhere.
#include "kernels.h"

#define MOEBIUS_ISA kIsaBaseline
#define MOEBIUS_LANES 4
#if defined(__x86_64__)
#define MOEBIUS_ISA_NAME "sse2"
#elif defined(__aarch64__)
#define MOEBIUS_ISA_NAME "neon"
#else
#define MOEBIUS_ISA_NAME "generic"
#endif
#include "isa.inl"
