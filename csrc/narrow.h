// bf16, f16 and f8 (E4M3, report 3.3) to f32 and back, on vectors of codes.
//
// Widening is exact; narrowing rounds to nearest, ties to even. f8 has no infinity: values beyond
// ±448 saturate, NaN is 0x7f. No step makes an f32 subnormal: Intel cores stall 150 cycles on one.
#pragma once
#include "simd.h"

// With AVX2 and AVX-512 some conversions are named, because GCC 12 takes the portable ones apart
// into scalars, or knows no f16. Their units have included <immintrin.h>.
#if defined(__x86_64__) && MOEBIUS_LANES >= 8
#define MOEBIUS_HAS_F16C 1
#else
#define MOEBIUS_HAS_F16C 0
#endif

namespace moebius {
namespace {

typedef int8_t vsb __attribute__((vector_size(MOEBIUS_LANES)));
typedef int16_t vsh __attribute__((vector_size(2 * MOEBIUS_LANES)));

#if MOEBIUS_HAS_F16C && MOEBIUS_LANES == 16
constexpr __mmask16 kAll = 0xffff;  // GCC 12 warns of its own unmasked forms
MOEBIUS_INLINE vu widenCodes(vh codes) {
  return (vu)_mm512_maskz_cvtepu16_epi32(kAll, (__m256i)codes);
}
MOEBIUS_INLINE vu widenCodes(vb codes) {
  return (vu)_mm512_maskz_cvtepu8_epi32(kAll, (__m128i)codes);
}
MOEBIUS_INLINE vsh widenSigned(vsb codes) { return (vsh)_mm256_cvtepi8_epi16((__m128i)codes); }
#elif MOEBIUS_HAS_F16C
MOEBIUS_INLINE __m128i lowHalf(vb codes) {
  long long bits;
  __builtin_memcpy(&bits, &codes, sizeof bits);
  return _mm_cvtsi64_si128(bits);
}
MOEBIUS_INLINE vu widenCodes(vh codes) { return (vu)_mm256_cvtepu16_epi32((__m128i)codes); }
MOEBIUS_INLINE vu widenCodes(vb codes) { return (vu)_mm256_cvtepu8_epi32(lowHalf(codes)); }
MOEBIUS_INLINE vsh widenSigned(vsb codes) { return (vsh)_mm_cvtepi8_epi16(lowHalf((vb)codes)); }
#else
MOEBIUS_INLINE vu widenCodes(vh codes) { return __builtin_convertvector(codes, vu); }
MOEBIUS_INLINE vu widenCodes(vb codes) {
  return __builtin_convertvector(__builtin_convertvector(codes, vh), vu);
}
#endif

MOEBIUS_INLINE vf floatFromBf16(vh codes) { return bitsToFloat(widenCodes(codes) << 16); }

#if MOEBIUS_HAS_F16C
// The machine's own conversion: one cycle, subnormals included.
MOEBIUS_INLINE vf floatFromF16(vh codes) {
#if MOEBIUS_LANES == 16
  return (vf)_mm512_maskz_cvtph_ps(kAll, (__m256i)codes);
#else
  return (vf)_mm256_cvtph_ps((__m128i)codes);
#endif
}

MOEBIUS_INLINE vf floatFromStoredF16(const vh* codes) {
  vf result;
  asm("vcvtph2ps %1, %0" : "=v"(result) : "m"(*codes));
  return result;
}

// f8 · 2^-8 is an f16 with the same bits, further left: also where it is subnormal. Only NaN, 0x7f,
// must be sent on to the highest exponent: adding one unit carries into that bit from it alone.
MOEBIUS_INLINE vf f8OverUnit(vb codes) {
  const vh shifted = (vh)(widenSigned((vsb)codes) << 7) & 0xbfff;
  return floatFromF16(shifted | ((shifted + 0x0080) & 0x4000));
}
constexpr float kF8Unit = 256.0f;

// A group of 4 · kLanes codes: even codes and odd ones apart, so that no shuffle is needed before
// the conversion. `largest` collects the magnitudes seen, so that a NaN among many groups costs one
// look at the end; `isCareful` turns NaN into NaN at two more instructions a vector.
#if MOEBIUS_LANES == 16
typedef __m512i F8Codes;
MOEBIUS_INLINE F8Codes noF8Codes() { return _mm512_setzero_si512(); }
MOEBIUS_INLINE F8Codes loadF8Codes(const u8* p) { return _mm512_loadu_si512(p); }
MOEBIUS_INLINE F8Codes largerF8(F8Codes a, F8Codes codes) {
  return _mm512_max_epu8(a, _mm512_and_si512(codes, _mm512_set1_epi8(0x7f)));
}
MOEBIUS_INLINE bool hasF8NaN(F8Codes largest) {
  return _mm512_cmpeq_epi8_mask(largest, _mm512_set1_epi8(0x7f)) != 0;
}
MOEBIUS_INLINE vh lowerHalf(F8Codes wide) { return (vh)_mm512_castsi512_si256(wide); }
#else
typedef __m256i F8Codes;
MOEBIUS_INLINE F8Codes noF8Codes() { return _mm256_setzero_si256(); }
MOEBIUS_INLINE F8Codes loadF8Codes(const u8* p) { return _mm256_loadu_si256((const __m256i*)p); }
MOEBIUS_INLINE F8Codes largerF8(F8Codes a, F8Codes codes) {
  return _mm256_max_epu8(a, _mm256_and_si256(codes, _mm256_set1_epi8(0x7f)));
}
MOEBIUS_INLINE bool hasF8NaN(F8Codes largest) {
  return _mm256_movemask_epi8(_mm256_cmpeq_epi8(largest, _mm256_set1_epi8(0x7f))) != 0;
}
MOEBIUS_INLINE vh lowerHalf(F8Codes wide) { return (vh)_mm256_castsi256_si128(wide); }
#endif
typedef int16_t vsw __attribute__((vector_size(4 * MOEBIUS_LANES)));
typedef u16 vw __attribute__((vector_size(4 * MOEBIUS_LANES)));

template <bool isCareful>
MOEBIUS_INLINE void f8GroupOverUnit(const u8* p, vf* out, F8Codes& largest) {
  const F8Codes codes = loadF8Codes(p);
  if (!isCareful) largest = largerF8(largest, codes);
  vw odd = (vw)((vsw)codes >> 1) & 0xbf80;
  vw even = (vw)((vsw)((vw)codes << 8) >> 1) & 0xbf80;
  if (isCareful) {
    odd = odd | ((odd + 0x0080) & 0x4000);
    even = even | ((even + 0x0080) & 0x4000);
  }
  out[0] = floatFromF16(lowerHalf((F8Codes)even));
  out[1] = floatFromF16(lowerHalf((F8Codes)odd));
  // The upper halves by way of the first cache: taking them down costs a shuffle each.
  alignas(64) const vw stored[2] = {even, odd};
  out[2] = floatFromStoredF16((const vh*)&stored[0] + 1);
  out[3] = floatFromStoredF16((const vh*)&stored[1] + 1);
}
// Which code of a group stands in lane i of vector j.
constexpr i64 f8GroupPlace(i64 j, i64 i) { return j / 2 * 2 * kLanes + 2 * i + j % 2; }
constexpr bool kF8Regroups = true;

// A group whose subnormal and NaN codes are dealt with elsewhere: nine instructions in place of
// nineteen. Byte j of every 32-bit lane, moved to the top and four bits down, has its sign, its
// exponent and its mantissa where an f32 has them, 2^-120 times as large. Subnormal codes become
// subnormal floats, which F8Arithmetic takes for zeros. Words are shifted by multiplying: shifts
// run in one of two units, products in both.
MOEBIUS_INLINE void f8NormalsOverUnit(const u8* p, vf* out) {
  const F8Codes codes = loadF8Codes(p);
#if MOEBIUS_LANES == 16
  const F8Codes up = _mm512_set1_epi16(1 << 8);
  const F8Codes down = _mm512_set1_epi16(1 << 12);
  const vu odd = (vu)_mm512_mulhi_epi16(codes, down);
  const vu even = (vu)_mm512_mulhi_epi16(_mm512_mullo_epi16(codes, up), down);
#else
  const F8Codes up = _mm256_set1_epi16(1 << 8);
  const F8Codes down = _mm256_set1_epi16(1 << 12);
  const vu odd = (vu)_mm256_mulhi_epi16(codes, down);
  const vu even = (vu)_mm256_mulhi_epi16(_mm256_mullo_epi16(codes, up), down);
#endif
  constexpr u32 kSignExponentMantissa = 0x87f00000;
  out[0] = bitsToFloat((even << 16) & kSignExponentMantissa);
  out[1] = bitsToFloat((odd << 16) & kSignExponentMantissa);
  out[2] = bitsToFloat(even & kSignExponentMantissa);
  out[3] = bitsToFloat(odd & kSignExponentMantissa);
}
// Which code of a group stands in lane i of vector j.
constexpr i64 f8NormalPlace(i64 j, i64 i) { return 4 * i + j; }
// While it lives subnormal operands and results count as zeros on this thread.
class F8Arithmetic {
 public:
  F8Arithmetic() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~F8Arithmetic() { _mm_setcsr(saved_); }
  F8Arithmetic(const F8Arithmetic&) = delete;
  F8Arithmetic& operator=(const F8Arithmetic&) = delete;

 private:
  unsigned saved_;
};
constexpr bool kF8HasNormals = true;
#else
MOEBIUS_INLINE vf floatFromF16(vh codes) {
  const vu wide = widenCodes(codes);
  const vu magnitude = wide & 0x7fff;
  const vu sign = (wide & 0x8000) << 16;
  // Exponent bias 15 → 127. At e = 0 the formula gives 2^-15 (1 + m/1024): doubled, less 2^-14.
  const vf normal = bitsToFloat((magnitude << 13) + (112u << 23));
  const vf small = normal + normal - splat(6.103515625e-5f);
  vu bits = (vu)normal;
  bits = magnitude < 0x0400 ? (vu)small : bits;
  bits = magnitude >= 0x7c00 ? (magnitude << 13) | 0x7f800000 : bits;
  return bitsToFloat(bits | sign);
}

MOEBIUS_INLINE vf f8OverUnit(vb codes) {
  const vu wide = widenCodes(codes);
  const vu magnitude = wide & 0x7f;
  const vu sign = (wide & 0x80) << 24;
  // Exponent bias 7 → 127. At e = 0 the formula gives 2^-7 (1 + m/8): doubled, less 2^-6.
  const vf normal = bitsToFloat((magnitude << 20) + (120u << 23));
  const vf small = normal + normal - splat(0.015625f);
  vu bits = (vu)normal;
  bits = magnitude < 0x08 ? (vu)small : bits;
  bits = magnitude == 0x7f ? splatUint(0x7fc00000) : bits;
  return bitsToFloat(bits | sign);
}
constexpr float kF8Unit = 1.0f;

// Without a conversion of the machine's own nothing is gained by another order.
typedef bool F8Codes;
MOEBIUS_INLINE F8Codes noF8Codes() { return false; }
MOEBIUS_INLINE bool hasF8NaN(F8Codes) { return false; }
template <bool isCareful>
MOEBIUS_INLINE void f8GroupOverUnit(const u8* p, vf* out, F8Codes&) {
  for (int j = 0; j < 4; j++) out[j] = f8OverUnit(load(p + j * kLanes));
}
constexpr i64 f8GroupPlace(i64 j, i64 i) { return j * kLanes + i; }
constexpr bool kF8Regroups = false;
// Without wide vectors, or a way to make subnormals cheap, a list of special codes is no help.
MOEBIUS_INLINE void f8NormalsOverUnit(const u8*, vf*) {}
constexpr i64 f8NormalPlace(i64 j, i64 i) { return f8GroupPlace(j, i); }
struct F8Arithmetic {
  F8Arithmetic() {}
};
constexpr bool kF8HasNormals = false;
#endif

// What f8 codes stand for is kF8Unit times f8OverUnit: whoever multiplies by a scale anyway takes
// the unit along.
MOEBIUS_INLINE vf floatFromF8(vb codes) { return f8OverUnit(codes) * splat(kF8Unit); }

MOEBIUS_INLINE vh bf16FromFloat(vf v) {
  const vu bits = (vu)v;
  const vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const vu isNan = (bits & 0x7fffffff) > 0x7f800000 ? splatUint(1) : splatUint(0);
  return __builtin_convertvector(isNan ? (bits >> 16) | 0x40 : rounded, vh);
}

MOEBIUS_INLINE vh f16FromFloat(vf v) {
  const vu bits = (vu)v;
  const vu sign = (bits >> 16) & 0x8000;
  const vu magnitude = bits & 0x7fffffff;
  vu code = (magnitude - (112u << 23) + 0x0fff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14 the unit is 2^-24, the last bit of numbers in [0.5, 1): adding 0.5 rounds to it.
  const vf clamped = bitsToFloat(magnitude < (113u << 23) ? magnitude : splatUint(0));
  const vf shifted = clamped + splat(0.5f);
  code = magnitude < (113u << 23) ? (vu)shifted - 0x3f000000 : code;
  code = magnitude >= 0x477ff000 ? splatUint(0x7c00) : code;  // 65520 and above
  code = magnitude > 0x7f800000 ? splatUint(0x7e00) : code;
  return __builtin_convertvector(code | sign, vh);
}

MOEBIUS_INLINE vu f8CodesFromFloat(vf v) {
  const vu bits = (vu)v;
  const vu sign = (bits >> 24) & 0x80;
  const vu magnitude = bits & 0x7fffffff;
  vu code = (magnitude - (120u << 23) + 0x7ffff + ((magnitude >> 20) & 1)) >> 20;
  // Below 2^-6 the unit is 2^-9, the last bit of numbers in [2^14, 2^15).
  const vf clamped = bitsToFloat(magnitude < (121u << 23) ? magnitude : splatUint(0));
  const vf shifted = clamped + splat(16384.0f);
  code = magnitude < (121u << 23) ? (vu)shifted - 0x46800000 : code;
  code = magnitude >= 0x43e00000 ? splatUint(0x7e) : code;  // 448 and above
  code = magnitude > 0x7f800000 ? splatUint(0x7f) : code;
  return code | sign;
}
MOEBIUS_INLINE vb f8FromFloat(vf v) {
  return __builtin_convertvector(__builtin_convertvector(f8CodesFromFloat(v), vh), vb);
}

// Eight-lane-agnostic loads by element type: `widen(p)` reads kLanes elements as floats.
struct Bf16 {
  u16 code;
};
struct F16 {
  u16 code;
};
struct F8 {
  u8 code;
};
// F8 whose subnormal and NaN codes are listed, as dotRows.h reads it where kF8HasNormals.
struct F8Listed {
  u8 code;
};

MOEBIUS_INLINE vf widen(const float* p) { return load(p); }
MOEBIUS_INLINE vf widen(const Bf16* p) { return floatFromBf16(load(&p->code)); }
MOEBIUS_INLINE vf widen(const F16* p) { return floatFromF16(load(&p->code)); }
MOEBIUS_INLINE vf widen(const F8* p) { return floatFromF8(load(&p->code)); }

// The first `count` elements; zero (code 0) in the other lanes.
MOEBIUS_INLINE vf widenPart(const float* p, i64 count) { return loadPart(p, count); }
MOEBIUS_INLINE vf widenPart(const Bf16* p, i64 n) { return floatFromBf16(loadPart(&p->code, n)); }
MOEBIUS_INLINE vf widenPart(const F16* p, i64 n) { return floatFromF16(loadPart(&p->code, n)); }
MOEBIUS_INLINE vf widenPart(const F8* p, i64 n) { return floatFromF8(loadPart(&p->code, n)); }

MOEBIUS_INLINE void narrow(float* p, vf v) { store(p, v); }
MOEBIUS_INLINE void narrow(Bf16* p, vf v) { store(&p->code, bf16FromFloat(v)); }
MOEBIUS_INLINE void narrow(F16* p, vf v) { store(&p->code, f16FromFloat(v)); }
MOEBIUS_INLINE void narrow(F8* p, vf v) { store(&p->code, f8FromFloat(v)); }
MOEBIUS_INLINE void narrowPart(float* p, vf v, i64 n) { storePart(p, v, n); }
MOEBIUS_INLINE void narrowPart(Bf16* p, vf v, i64 n) { storePart(&p->code, bf16FromFloat(v), n); }
MOEBIUS_INLINE void narrowPart(F16* p, vf v, i64 n) { storePart(&p->code, f16FromFloat(v), n); }
MOEBIUS_INLINE void narrowPart(F8* p, vf v, i64 n) { storePart(&p->code, f8FromFloat(v), n); }

// Calls body with a null pointer of the element type behind a weight dtype, so that one generic
// body serves all four: forWeightType(dtype, [&](auto* null) { using T = …; }).
template <class Body>
MOEBIUS_INLINE void forWeightType(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f32: return body(static_cast<const float*>(nullptr));
    case DType::bf16: return body(static_cast<const Bf16*>(nullptr));
    case DType::f16: return body(static_cast<const F16*>(nullptr));
    case DType::f8e4m3: return body(static_cast<const F8*>(nullptr));
    case DType::i32: return;
  }
}

}  // namespace
}  // namespace moebius
