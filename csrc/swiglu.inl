// SwiGLU on rows [gate | up] of 2F columns, and its gradient.
//
//     out  = silu(gate) · up,      silu(g) = g σ(g),  σ(g) = 1 / (1 + e^-g)
//     dUp  = dOut · silu(gate),    dGate = dOut · up · σ (1 + g (1 − σ))
//
// T rows, F columns of out. One exponential and a division per element of out (30 operations);
// bytes: 12 per element forward, 20 backward. In caches bound by the exponential (about 1 element
// a cycle at 16 lanes), from memory by that: where a product makes its input, it is done at the end
// of the product (`SwigluEnd`).
#pragma once
#include "swigluRow.h"

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
      swigluRow(out.row(row), gateUp.row(row), gateUp.row(row) + width, width);
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
      float* to = dGateUp.row(row);
      const float* gate = gateUp.row(row);
      swigluBackwardRow(to, to + width, dOut.row(row), gate, gate + width, width);
    }
  });
}

}  // namespace
}  // namespace moebius
