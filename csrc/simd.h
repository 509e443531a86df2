// Portable vectors: MOEBIUS_LANES floats, written with the vector extensions of GCC and Clang, so
// that one source gives SSE2, AVX2, AVX-512, NEON and WASM. No library: also exp, log and the
// narrow formats are here. Included by each isa_*.cpp inside its own target.
//
//   vf  floats        vi  int32        vu  uint32        vh  uint16        vb  uint8
//   vd  doubles, half as many          vq  uint64, as many as doubles
//
// Comparisons give vi masks (all ones or zero). Beware `vf{} + x`: it adds signed zeros; splat(x).
#pragma once
#include "operation.h"

#define MOEBIUS_INLINE inline __attribute__((always_inline))
#define MOEBIUS_NOINLINE __attribute__((noinline))
// Before a loop of constant length whose variables must stay in registers.
#if defined(__wasm__)
#define MOEBIUS_UNROLL _Pragma("clang loop unroll(full)")
// Two steps of a tile at once are more than an engine's register allocator keeps in 16 registers.
#define MOEBIUS_UNROLL_BY_4 _Pragma("clang loop unroll(disable)")
#elif defined(__clang__)
#define MOEBIUS_UNROLL _Pragma("clang loop unroll(full)")
#define MOEBIUS_UNROLL_BY_4 _Pragma("clang loop unroll_count(4)")
#else
#define MOEBIUS_UNROLL _Pragma("GCC unroll 32")
#define MOEBIUS_UNROLL_BY_4 _Pragma("GCC unroll 4")
#endif

namespace moebius {
namespace {

constexpr int kLanes = MOEBIUS_LANES;

typedef float vf __attribute__((vector_size(4 * MOEBIUS_LANES)));
typedef i32 vi __attribute__((vector_size(4 * MOEBIUS_LANES)));
typedef u32 vu __attribute__((vector_size(4 * MOEBIUS_LANES)));
typedef u16 vh __attribute__((vector_size(2 * MOEBIUS_LANES)));
typedef u8 vb __attribute__((vector_size(MOEBIUS_LANES)));
typedef double vd __attribute__((vector_size(4 * MOEBIUS_LANES)));
typedef u64 vq __attribute__((vector_size(4 * MOEBIUS_LANES)));

// Memory accesses of any alignment and of any declared type.
MOEBIUS_INLINE vf load(const float* p) {
  vf v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MOEBIUS_INLINE void store(float* p, vf v) { __builtin_memcpy(p, &v, sizeof v); }
MOEBIUS_INLINE vi load(const i32* p) {
  vi v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MOEBIUS_INLINE void store(i32* p, vi v) { __builtin_memcpy(p, &v, sizeof v); }
MOEBIUS_INLINE vh load(const u16* p) {
  vh v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MOEBIUS_INLINE void store(u16* p, vh v) { __builtin_memcpy(p, &v, sizeof v); }
MOEBIUS_INLINE vb load(const u8* p) {
  vb v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MOEBIUS_INLINE void store(u8* p, vb v) { __builtin_memcpy(p, &v, sizeof v); }

// The first `count` < kLanes elements; the others are zero / untouched.
template <class T>
MOEBIUS_INLINE auto loadPart(const T* p, i64 count) {
  T lanes[kLanes] = {};
  for (i64 i = 0; i < count; i++) lanes[i] = p[i];
  return load(static_cast<const T*>(lanes));
}
template <class T, class V>
MOEBIUS_INLINE void storePart(T* p, V v, i64 count) {
  T lanes[kLanes];
  store(lanes, v);
  for (i64 i = 0; i < count; i++) p[i] = lanes[i];
}

MOEBIUS_INLINE void store(double* p, vd v) { __builtin_memcpy(p, &v, sizeof v); }

MOEBIUS_INLINE vf splat(float x) {
#if MOEBIUS_LANES == 4
  return vf{x, x, x, x};
#elif MOEBIUS_LANES == 8
  return vf{x, x, x, x, x, x, x, x};
#else
  return vf{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#endif
}
MOEBIUS_INLINE vi splatInt(i32 x) { return vi{} + x; }
MOEBIUS_INLINE vu splatUint(u32 x) { return vu{} + x; }
MOEBIUS_INLINE vf zero() { return vf{}; }

// a · b + c; fused where the machine can (-ffp-contract=fast), else rounded twice.
#if defined(__wasm_relaxed_simd__)
MOEBIUS_INLINE vf fma(vf a, vf b, vf c) { return __builtin_wasm_relaxed_madd_f32x4(a, b, c); }
#else
MOEBIUS_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }
#endif

MOEBIUS_INLINE vf select(vi mask, vf a, vf b) { return mask ? a : b; }
MOEBIUS_INLINE vi select(vi mask, vi a, vi b) { return mask ? a : b; }
MOEBIUS_INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }
MOEBIUS_INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
MOEBIUS_INLINE vf bitsToFloat(vi v) { return (vf)v; }
MOEBIUS_INLINE vf bitsToFloat(vu v) { return (vf)v; }
MOEBIUS_INLINE vi floatToBits(vf v) { return (vi)v; }
MOEBIUS_INLINE vf vabs(vf v) { return bitsToFloat(floatToBits(v) & 0x7fffffff); }
MOEBIUS_INLINE vf toFloat(vi v) { return __builtin_convertvector(v, vf); }
// Truncates; what does not fit an int gives any.
#if defined(__wasm_relaxed_simd__)
MOEBIUS_INLINE vi toInt(vf v) { return __builtin_wasm_relaxed_trunc_s_i32x4_f32x4(v); }
#else
MOEBIUS_INLINE vi toInt(vf v) { return __builtin_convertvector(v, vi); }
#endif
MOEBIUS_INLINE vf vsqrt(vf v) {
  for (int i = 0; i < kLanes; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
}

// Lane numbers as types, for shuffles whose indices are computed at compile time.
template <int... I>
struct LaneList {};
#if MOEBIUS_LANES == 4
using AllLanes = LaneList<0, 1, 2, 3>;
#elif MOEBIUS_LANES == 8
using AllLanes = LaneList<0, 1, 2, 3, 4, 5, 6, 7>;
#else
using AllLanes = LaneList<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
#endif

// Exchanges blocks of S lanes: a keeps its even blocks and takes b's even ones in between; b gets
// the odd ones.
template <int S, int... I>
MOEBIUS_INLINE void exchangeBlocks(vf& a, vf& b, LaneList<I...>) {
  const vf even = __builtin_shufflevector(a, b, (I & S ? kLanes + (I ^ S) : I)...);
  const vf odd = __builtin_shufflevector(a, b, (I & S ? kLanes + I : I ^ S)...);
  a = even;
  b = odd;
}
template <int S>
MOEBIUS_INLINE void exchangeStage(vf* rows) {
  MOEBIUS_UNROLL
  for (int i = 0; i < kLanes; i++) {
    if ((i & S) == 0) exchangeBlocks<S>(rows[i], rows[i + S], AllLanes{});
  }
}
// rows[i][j] ↔ rows[j][i], kLanes × kLanes, in registers.
MOEBIUS_INLINE void transpose(vf* rows) {
  exchangeStage<1>(rows);
  exchangeStage<2>(rows);
#if MOEBIUS_LANES >= 8
  exchangeStage<4>(rows);
#endif
#if MOEBIUS_LANES >= 16
  exchangeStage<8>(rows);
#endif
}

// WebAssembly has none: what walks along rows only to ask for them is left out there.
#if defined(__wasm__)
constexpr bool kHasPrefetch = false;
#else
constexpr bool kHasPrefetch = true;
#endif
MOEBIUS_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
// Into the second-level cache: for what is needed later than the next few loads.
MOEBIUS_INLINE void prefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }
MOEBIUS_INLINE void prefetchWrite(const void* p) { __builtin_prefetch(p, 1, 3); }

// Past the caches, which would read a line only to have it written over: for memory that is not
// read soon. p is a multiple of a vector; endStoresPast() before anybody else may read it.
#if defined(__x86_64__) && MOEBIUS_LANES == 16
MOEBIUS_INLINE void storePast(float* p, vf v) { _mm512_stream_ps(p, (__m512)v); }
MOEBIUS_INLINE void endStoresPast() { _mm_sfence(); }
#elif defined(__x86_64__) && MOEBIUS_LANES == 8
MOEBIUS_INLINE void storePast(float* p, vf v) { _mm256_stream_ps(p, (__m256)v); }
MOEBIUS_INLINE void endStoresPast() { _mm_sfence(); }
#else
MOEBIUS_INLINE void storePast(float* p, vf v) { store(p, v); }
MOEBIUS_INLINE void endStoresPast() {}
#endif

// A vector's floats as doubles, the lower half of the lanes and the upper one.
MOEBIUS_INLINE void toDoubles(vf v, vd* low, vd* high) {
  typedef float half __attribute__((vector_size(2 * MOEBIUS_LANES)));
  half halves[2];
  __builtin_memcpy(halves, &v, sizeof v);
  *low = __builtin_convertvector(halves[0], vd);
  *high = __builtin_convertvector(halves[1], vd);
}

// Whether any lane of a mask is set.
MOEBIUS_INLINE bool anyLane(vi mask) {
  u64 words[kLanes / 2];
  __builtin_memcpy(words, &mask, sizeof mask);
  u64 all = 0;
  for (int i = 0; i < kLanes / 2; i++) all |= words[i];
  return all != 0;
}

// Makes the compiler forget how `pointer` came about.
template <class T>
MOEBIUS_INLINE void keepInRegister(T*& pointer) {
  asm volatile("" : "+r"(pointer));
}

// Reductions by halves: the same order for a given width, whatever came before.
MOEBIUS_INLINE float sum(vf v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
MOEBIUS_INLINE float maximum(vf v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; i++) lanes[i] = maxOf(lanes[i], lanes[i + width]);
  }
  return lanes[0];
}

}  // namespace
}  // namespace moebius
