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

// args: out, a, b (weights), layout, accumulate
void matmul(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const AnyMatrix a = args.any();
  const Weights b = args.weights();
  const Layout layout = Layout(args.integer());
  const bool accumulate = args.flag();
  const Source rows = sourceOf(a, layout != Layout::tn);
  const Source columns = sourceOf(b, layout == Layout::nt);
  multiplyOverThreads(context, {out.data, out.stride, rows, columns, rows.count, columns.count,
                                rows.depth, accumulate});
}

}  // namespace
}  // namespace moebius
