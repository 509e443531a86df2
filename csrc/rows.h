// A row of a matrix, a vector at a time: the last vector may be short.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();

MOEBIUS_INLINE vf loadSome(const float* p, i64 count) {
  return count == kLanes ? load(p) : loadPart(p, count);
}
MOEBIUS_INLINE void storeSome(float* p, vf v, i64 count) {
  if (count == kLanes) {
    store(p, v);
  } else {
    storePart(p, v, count);
  }
}

inline void clearFloats(float* to, i64 count) {
  for (i64 i = 0; i < count; i++) to[i] = 0.0f;
}

// Σ_i step(i), four vectors of partial sums; step(i, count) gives a vector, `count` lanes of it
// real and zero elsewhere.
template <class Step>
MOEBIUS_INLINE float sumOverRow(i64 columns, const Step& step) {
  vf sums[4] = {zero(), zero(), zero(), zero()};
  i64 i = 0;
  for (; i + 4 * kLanes <= columns; i += 4 * kLanes) {
    MOEBIUS_UNROLL
    for (int j = 0; j < 4; j++) sums[j] = sums[j] + step(i + j * kLanes, i64(kLanes));
  }
  for (; i + kLanes <= columns; i += kLanes) sums[0] = sums[0] + step(i, i64(kLanes));
  if (i < columns) sums[1] = sums[1] + step(i, columns - i);
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// to[i] = step(i, count) for a row, a vector at a time.
template <class Step>
MOEBIUS_INLINE void writeRow(float* to, i64 columns, const Step& step) {
  i64 i = 0;
  for (; i + kLanes <= columns; i += kLanes) store(to + i, step(i, i64(kLanes)));
  if (i < columns) storePart(to + i, step(i, columns - i), columns - i);
}

}  // namespace
}  // namespace moebius
