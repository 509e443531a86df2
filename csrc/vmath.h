// exp, log, sigmoid and 2^n on vectors, without a library; within 2 ulp over the whole range
// (tests/native/vectorMath.test.ts holds them to Math.*), NaN in NaN out, subnormals included.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

// To the nearest integer, ties to even, for |v| < 2^22: adding 1.5 · 2^23 leaves no fraction bits.
MOEBIUS_INLINE vf roundSmall(vf v) {
  const vf magic = splat(12582912.0f);
  vf sum = v + magic;
  return sum - magic;
}

// 2^n for integer n in [-126, 127].
MOEBIUS_INLINE vf exp2i(vi n) { return bitsToFloat((n + 127) << 23); }

// e^x = 2^n · e^r with |r| ≤ ln 2 / 2; the polynomial interpolates (e^r - 1 - r) / r² at Chebyshev
// nodes (relative error 2.2e-10). 2^n goes in as two factors, so that results may be subnormal.
MOEBIUS_INLINE vf vexp(vf x) {
  x = vmax(splat(-104.0f), x);  // in this order NaN passes
  x = vmin(splat(89.0f), x);
  const vf n = roundSmall(x * splat(1.44269504088896341f));
  vf r = fma(n, splat(-0.693359375f), x);  // ln 2 in two parts, the first exact in 9 bits
  r = fma(n, splat(2.12194440054690583e-4f), r);
  vf p = splat(1.9890990981e-4f);
  p = fma(p, r, splat(1.3933641603e-3f));
  p = fma(p, r, splat(8.3333104849e-3f));
  p = fma(p, r, splat(4.1666466743e-2f));
  p = fma(p, r, splat(1.6666667163e-1f));
  p = fma(p, r, splat(0.5f));
  p = fma(p * r, r, r) + splat(1.0f);
  const vi whole = toInt(n);
  const vi half = whole >> 1;
  return p * exp2i(half) * exp2i(whole - half);
}

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;

// 2^t for t ≤ 0 to 1.2e-7: softmax needs one side and no subnormals, so 12 operations do.
// Below -126.5 the result is an exact zero, -∞ included; NaN passes.
MOEBIUS_INLINE vf exp2Negative(vf t) {
  const vf least = splat(-127.0f);
  t = t < least ? least : t;
  const vf shifted = t + splat(12582912.0f);  // 1.5 · 2^23: the nearest integer in the low bits
  const vf f = t - (shifted - splat(12582912.0f));
  vf p = splat(1.326472731e-3f);
  p = fma(p, f, splat(9.671512991e-3f));
  p = fma(p, f, splat(5.550733581e-2f));
  p = fma(p, f, splat(2.402224243e-1f));
  p = fma(p, f, splat(6.931470037e-1f));
  p = fma(p, f, splat(1.0f));
  return p * bitsToFloat((floatToBits(shifted) - (0x4B400000 - 127)) << 23);
}

// ln x = e · ln 2 + ln m, m in [√½, √2); with f = m - 1 and s = f / (2 + f), ln m = 2 atanh s.
MOEBIUS_INLINE vf vlog(vf x) {
  const vi isSubnormal = (x < splat(1.17549435e-38f)) & (x > zero());
  const vf y = select(isSubnormal, x * splat(33554432.0f), x);
  vi bits = floatToBits(y) - 0x3f3504f3;  // relative to √½
  const vi exponent = (bits >> 23) - select(isSubnormal, splatInt(25), splatInt(0));
  const vf m = bitsToFloat((bits & 0x007fffff) + 0x3f3504f3);
  const vf f = m - splat(1.0f);
  const vf s = f / (splat(2.0f) + f);
  const vf s2 = s * s;
  vf p = splat(0.2333046794f);
  p = fma(p, s2, splat(0.2855082154f));
  p = fma(p, s2, splat(0.4000012279f));
  p = fma(p, s2, splat(0.6666666865f));
  const vf halfSquare = splat(0.5f) * f * f;
  const vf e = toFloat(exponent);
  const vf low = fma(s, fma(s2, p, halfSquare), e * splat(-2.12194440054690583e-4f));
  const vf value = fma(e, splat(0.693359375f), f - (halfSquare - low));
  const float inf = __builtin_inff();
  vf result = select(x == splat(inf), x, value);
  result = select(x == zero(), splat(-inf), result);
  return select((x < zero()) | (x != x), splat(__builtin_nanf("")), result);
}

// 1 / (1 + e^-x) as e^min(x, 0) / (1 + e^-|x|): no infinity on the way to a subnormal result.
MOEBIUS_INLINE vf vsigmoid(vf x) {
  const vf e = vexp(-vabs(x));
  return select(x < zero(), e, splat(1.0f)) / (splat(1.0f) + e);
}

// e^x in doubles for x ≤ 700, within 2 ulp; what lies below e^-700 is taken to be that, and so is
// NaN. Taylor's series to r^13 leaves 5e-18 at |r| = ln 2 / 2. The low bits of `shifted` are n.
MOEBIUS_INLINE vd vexpDouble(vd x) {
  const vd least = vd{} - 700.0;
  x = x > least ? x : least;
  const vd magic = vd{} + 0x1.8p52;
  const vd shifted = x * 1.44269504088896338700 + magic;
  const vd n = shifted - magic;
  vd r = x - n * 6.93147180369123816490e-01;  // ln 2 in two parts, the first exact in 33 bits
  r = r - n * 1.90821492927058770002e-10;
  constexpr double kTerms[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                               1.0 / 40320,     1.0 / 5040,     1.0 / 720,     1.0 / 120,
                               1.0 / 24,        1.0 / 6,        1.0 / 2,       1.0,
                               1.0};
  vd p = vd{} + 1.0 / 6227020800;
  MOEBIUS_UNROLL
  for (int i = 0; i < 13; i++) p = p * r + kTerms[i];
  return p * (vd)(((vq)shifted << 52) + (u64(1023) << 52));
}
MOEBIUS_INLINE double expOneDouble(double x) { return vexpDouble(vd{} + x)[0]; }

// ln x for normal x > 0, within 2 ulp also near 1: with m in [√½, √2) and s = f / (2 + f),
// ln m = 2 atanh s, whose series to s^23 leaves 1e-18; 2 s is written f − s f.
inline double logOneDouble(double x) {
  constexpr u64 kRootHalf = 0x3fe6a09e667f3bcd;
  u64 bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  bits -= kRootHalf;
  const double exponent = double(i64(bits) >> 52);
  bits = (bits & 0x000fffffffffffff) + kRootHalf;
  double m;
  __builtin_memcpy(&m, &bits, sizeof m);
  const double f = m - 1.0;
  const double s = f / (2.0 + f);
  const double s2 = s * s;
  double p = 0.0;
  MOEBIUS_UNROLL
  for (int odd = 23; odd >= 3; odd -= 2) p = p * s2 + 1.0 / odd;
  const double mantissa = f - s * (f - 2.0 * s2 * p);
  return exponent * 6.93147180369123816490e-01 +
         (mantissa + exponent * 1.90821492927058770002e-10);
}

// One number through the vector code, so that scalars and vectors agree bitwise.
MOEBIUS_INLINE float expOne(float x) { return vexp(splat(x))[0]; }
MOEBIUS_INLINE float logOne(float x) { return vlog(splat(x))[0]; }

}  // namespace
}  // namespace moebius
