// Experts' rows back to their tokens, and the two gradients of it.
//
//     out[t]          = Σ_k weights[t,k] · x[row[t,k]]     (or adds; without weights a plain sum)
//     dX[r]           = weights[slot[r]] · dOut[slot[r] / K]
//     dWeights[t,k]   = dOut[t] · x[row[t,k]]
//
// T tokens, K rows each, D columns. FLOPs: 2 · T · K · D; bytes: 4 · T · (K + 1) · D. Bound
// by memory. The sum over k is one chain in the order of k.
#pragma once
#include "rows.h"

namespace moebius {
namespace {

// args: out_TD, x_RD, row_TK, weights_TK (may be left out), accumulate
void unpermute(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto x = args.matrix<const float>();
  const auto rows = args.matrix<const i32>();
  const auto weights = args.matrix<const float>();
  const bool accumulate = args.flag();
  const i64 perToken = rows.columns;
  parallelFor(context, out.rows, grainFor((perToken + 1) * out.columns),
              [&](i64 begin, i64 end, int) {
    for (i64 t = begin; t < end; t++) {
      float* to = out.row(t);
      const i32* row = rows.row(t);
      writeRow(to, out.columns, [&](i64 i, i64 count) {
        vf total = zero();
        for (i64 k = 0; k < perToken; k++) {
          const vf v = loadSome(x.row(row[k]) + i, count);
          total = weights ? fma(splat(weights.row(t)[k]), v, total) : total + v;
        }
        return accumulate ? loadSome(to + i, count) + total : total;
      });
    }
  });
}

// args: dX_RD, dOut_TD, slot_R, weights_TK
void unpermuteBackwardInput(const Context& context, const double* raw) {
  Args args(raw);
  const auto dX = args.matrix();
  const auto dOut = args.matrix<const float>();
  const i32* slots = args.vector<const i32>();
  const auto weights = args.matrix<const float>();
  const i64 perToken = weights.columns;
  parallelFor(context, dX.rows, grainFor(2 * dX.columns), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      const i64 token = slots[row] / perToken;
      const float* from = dOut.row(token);
      const vf weight = splat(weights.row(token)[slots[row] % perToken]);
      writeRow(dX.row(row), dX.columns,
               [&](i64 i, i64 count) { return weight * loadSome(from + i, count); });
    }
  });
}

// args: dWeights_TK, dOut_TD, x_RD, row_TK
void unpermuteBackwardWeights(const Context& context, const double* raw) {
  Args args(raw);
  const auto dWeights = args.matrix();
  const auto dOut = args.matrix<const float>();
  const auto x = args.matrix<const float>();
  const auto rows = args.matrix<const i32>();
  parallelFor(context, rows.rows, grainFor((rows.columns + 1) * dOut.columns),
              [&](i64 begin, i64 end, int) {
    for (i64 t = begin; t < end; t++) {
      const float* d = dOut.row(t);
      for (i64 k = 0; k < rows.columns; k++) {
        const float* from = x.row(rows.row(t)[k]);
        dWeights.row(t)[k] = sumOverRow(dOut.columns, [&](i64 i, i64 count) {
          return loadSome(d + i, count) * loadSome(from + i, count);
        });
      }
    }
  });
}

}  // namespace
}  // namespace moebius
