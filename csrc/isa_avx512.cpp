// The operations for avx512 machines; chosen at run time (addon.cpp), so this unit alone may use
// it.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels.h"

#define MOEBIUS_ISA kIsaAvx512
#define MOEBIUS_ISA_NAME "avx512"
#define MOEBIUS_LANES 16
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2")
#endif
#include "isa.inl"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
