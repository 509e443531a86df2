// exp, log and sigmoid by themselves, so that tests can hold vmath.h to its 2 ulp.
#pragma once
#include "vmath.h"

namespace moebius {
namespace {

// args: out, x, function (0 exp, 1 log, 2 sigmoid); contiguous, of one shape
void vectorMath(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const Matrix<float> x = args.matrix();
  const i64 function = args.integer();
  const i64 count = x.rows * x.columns;
  parallelFor(context, count, 4096, [&](i64 begin, i64 end, int) {
    for (i64 i = begin; i < end; i += kLanes) {
      const i64 n = minOf<i64>(kLanes, end - i);
      const vf value = n == kLanes ? load(x.data + i) : loadPart(x.data + i, n);
      const vf result = function == 0   ? vexp(value)
                        : function == 1 ? vlog(value)
                                        : vsigmoid(value);
      n == kLanes ? store(out.data + i, result) : storePart(out.data + i, result, n);
    }
  });
}

}  // namespace
}  // namespace moebius
