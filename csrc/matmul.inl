// out (or adds to it) = a ∘ b:   nt: out[m,n] = Σ a[m,k] b[n,k]
//                                nn: out[m,n] = Σ a[m,k] b[k,n]
//                                tn: out[m,n] = Σ a[k,m] b[k,n]
//
// FLOPs: 2 M N K. Bytes: M K + N K + M N elements at least. Bound by multiply-adds from about a
// dozen rows of a on (products.h, gemm.h), below by reading b (fewRows.h).
#pragma once
#include "products.h"

namespace moebius {
namespace {

enum class Layout : int { nt = 0, nn = 1, tn = 2 };

// Whether SwiGLU of so many columns can end a product; else it follows as a pass of its own.
bool endsWithSwiglu(i64 width, i64 depth) { return depth > 0 && width % kTileColumns == 0; }

// The pass of its own. Backward the product lies in the gate's columns.
void swigluAfter(const Context& context, const Product& p) {
  const i64 width = p.end.width;
  parallelFor(context, p.m, grainFor(8 * width), [&](i64 begin, i64 end, int) {
    finishRows(p, begin, end, 0, width);
  });
}

// SwiGLU of an operation, from tensors of which one at most is given.
SwigluEnd swigluEnd(const Matrix<float>& hidden, const Matrix<const float>& gateUp, i64 row) {
  if (hidden) return {hidden.columns, hidden.row(row), hidden.stride, nullptr, 0};
  if (gateUp) return {gateUp.columns / 2, nullptr, 0, gateUp.row(row), gateUp.stride};
  return {};
}

// args: out, a, b (weights), layout, accumulate, swiglu (may be left out), gateUp (as swiglu),
// order
void matmul(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const AnyMatrix a = args.any();
  const Weights b = args.weights();
  const Layout layout = Layout(args.integer());
  const bool accumulate = args.flag();
  const Source rows = sourceOf(a, layout != Layout::tn);
  const Source columns = sourceOf(b, layout == Layout::nt);
  const auto hidden = args.matrix();
  const auto gateUp = args.matrix<const float>();
  const Order order = Order(args.integer());
  Product p = {out.data, out.stride, rows, columns, rows.count, columns.count, rows.depth,
               accumulate};
  const SwigluEnd end = swigluEnd(hidden, gateUp, 0);
  const bool isAtEnd = endsWithSwiglu(end.width, p.k);
  if (isAtEnd) p.end = end;
  p.order = order;
  multiplyOverThreads(context, p);
  p.end = end;
  if (!isAtEnd && end.width > 0) swigluAfter(context, p);
}

}  // namespace
}  // namespace moebius
