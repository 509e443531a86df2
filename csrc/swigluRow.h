// SwiGLU on a row, and its gradient (formulas and costs: swiglu.inl).
#pragma once
#include "rows.h"
#include "vmath.h"

namespace moebius {
namespace {

inline void swigluRow(float* to, const float* gate, const float* up, i64 width) {
  writeRow(to, width, [&](i64 i, i64 count) {
    const vf g = loadSome(gate + i, count);
    return g * vsigmoid(g) * loadSome(up + i, count);
  });
}

// dOut may lie where dGate goes.
inline void swigluBackwardRow(float* dGate, float* dUp, const float* dOut, const float* gate,
                              const float* up, i64 width) {
  for (i64 i = 0; i < width; i += kLanes) {
    const i64 count = minOf<i64>(kLanes, width - i);
    const vf g = loadSome(gate + i, count);
    const vf u = loadSome(up + i, count);
    const vf d = loadSome(dOut + i, count);
    const vf s = vsigmoid(g);
    const vf dG = d * u * (s * fma(g, splat(1.0f) - s, splat(1.0f)));
    const vf dU = d * (g * s);
    storeSome(dGate + i, dG, count);
    storeSome(dUp + i, dU, count);
  }
}

}  // namespace
}  // namespace moebius
