// exp, log, sigmoid and 2^n on vectors, without a library; within 2 ulp over the whole range
// (src/kernels/native/vmath.test.ts holds them to Math.*), NaN in NaN out, subnormals included.
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

// One number through the vector code, so that scalars and vectors agree bitwise.
MOEBIUS_INLINE float expOne(float x) { return vexp(splat(x))[0]; }
MOEBIUS_INLINE float logOne(float x) { return vlog(splat(x))[0]; }

}  // namespace
}  // namespace moebius
