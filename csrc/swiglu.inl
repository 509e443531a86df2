// SwiGLU on rows [gate | up] of 2F columns, and its gradient.
//
//     out  = silu(gate) · up,      silu(g) = g σ(g),  σ(g) = 1 / (1 + e^-g)
//     dUp  = dOut · silu(gate),    dGate = dOut · up · σ (1 + g (1 − σ))
//
// T rows, F columns of out. One exponential and a division per element of out (30 operations);
// bytes: 12 per element forward, 20 backward. In caches bound by the exponential (about 1 element
// a cycle at 16 lanes), from memory by that.
#pragma once
#include "rows.h"
#include "vmath.h"

namespace moebius {
namespace {

// args: out_TF, gateUp_T2F
void swiglu(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto gateUp = args.matrix<const float>();
  const i64 width = out.columns;
  parallelFor(context, out.rows, grainFor(8 * width), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      const float* gate = gateUp.row(row);
      const float* up = gate + width;
      float* to = out.row(row);
      writeRow(to, width, [&](i64 i, i64 count) {
        const vf g = loadSome(gate + i, count);
        return g * vsigmoid(g) * loadSome(up + i, count);
      });
    }
  });
}

// args: dGateUp_T2F, dOut_TF, gateUp_T2F
void swigluBackward(const Context& context, const double* raw) {
  Args args(raw);
  const auto dGateUp = args.matrix();
  const auto dOut = args.matrix<const float>();
  const auto gateUp = args.matrix<const float>();
  const i64 width = dOut.columns;
  parallelFor(context, dOut.rows, grainFor(12 * width), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      const float* gate = gateUp.row(row);
      const float* d = dOut.row(row);
      float* dGate = dGateUp.row(row);
      for (i64 i = 0; i < width; i += kLanes) {
        const i64 count = minOf<i64>(kLanes, width - i);
        const vf g = loadSome(gate + i, count);
        const vf up = loadSome(gate + width + i, count);
        const vf dO = loadSome(d + i, count);
        const vf s = vsigmoid(g);
        const vf dG = dO * up * (s * fma(g, splat(1.0f) - s, splat(1.0f)));
        const vf dU = dO * (g * s);
        storeSome(dGate + i, dG, count);
        storeSome(dGate + width + i, dU, count);
      }
    }
  });
}

}  // namespace
}  // namespace moebius
