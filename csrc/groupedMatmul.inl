// One product per expert over rows sorted by expert; group e is rows offsets[e] … offsets[e+1].
//
//   nt: out_RN = a_RK b_ENKᵀ     nn: out_RK = a_RN b_ENK     tn: out_EMN (+)= a_RMᵀ b_RN
//
// FLOPs: 2 R N K. Bytes: the weights of experts that have rows, once; a and out. With many rows
// bound by multiply-adds, in decoding by reading weights. The work of all experts is cut evenly
// over threads whatever the routing (products.h). In tn an expert without rows gets zeros.
#pragma once
#include "matmul.inl"

namespace moebius {
namespace {

// args: out, a, b (weights), offsets, layout, accumulate, swiglu, gateUp, order (as in
// matmul)
void groupedMatmul(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const AnyMatrix a = args.any();
  const Weights b = args.weights();
  const Matrix<const i32> offsets = args.matrix<const i32>();
  const Layout layout = Layout(args.integer());
  const bool accumulate = args.flag();
  const auto hidden = args.matrix();
  const auto gateUp = args.matrix<const float>();
  const Order order = Order(args.integer());
  const i64 numExperts = offsets.columns - 1;

  // Stored rows of one expert.
  const i64 expertRows = b.values.rows / maxOf<i64>(numExperts, 1);
  const i64 outRows = out.rows / maxOf<i64>(numExperts, 1);

  const SwigluEnd end = swigluEnd(hidden, gateUp, 0);
  const bool isAtEnd = endsWithSwiglu(end.width, a.columns);
  multiplyMany(context, numExperts, [&](i64 expert) -> Product {
    const i64 first = offsets.data[expert];
    const i64 rows = offsets.data[expert + 1] - first;
    if (layout == Layout::tn) {
      const Source left = sourceOf(someRows(a, first, rows), false);
      const Source right = sourceOf(someRows(b.values, first, rows), false);
      return {out.row(expert * outRows), out.stride, left, right, left.count, right.count, rows,
              accumulate};
    }
    const Source left = sourceOf(someRows(a, first, rows), true);
    const Source right = sourceOf(entryOf(b, expert, expertRows), layout == Layout::nt);
    return {out.row(first), out.stride, left, right, rows, right.count, left.depth, accumulate,
            isAtEnd ? swigluEnd(hidden, gateUp, first) : SwigluEnd{}, order};
  });
  if (end.width == 0 || isAtEnd) return;
  swigluAfter(context, {out.data, out.stride, {}, {}, out.rows, 0, 0, false, end});
}

}  // namespace
}  // namespace moebius
