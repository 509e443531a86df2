// Tokens to their experts' rows: out[r] = x[slot[r] / K].
//
// R rows of D. Bytes: 8 · R · D, the reads mostly from cache (each token K times); bound by memory.
#pragma once
#include "operation.h"

namespace moebius {
namespace {

// args: out_RD, x_TD, slot_R, expertsPerToken
void permute(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto x = args.matrix<const float>();
  const i32* slots = args.vector<const i32>();
  const i64 perToken = args.integer();
  parallelFor(context, out.rows, grainFor(2 * out.columns), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      copyBytes(out.row(row), x.row(slots[row] / perToken), out.columns * i64(sizeof(float)));
    }
  });
}

}  // namespace
}  // namespace moebius
