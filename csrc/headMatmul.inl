// One product per head against rows firstRow … firstRow + numRows of the head's block in a matrix
// [H × rowsPerHead, C]: absorbs the up-projections of MLA into query and output (report, 2.1.1).
//
//   nn: out_THC = a_THn b_h[n, C]        nt: out_THn = a_THC b_h[n, C]ᵀ
//
// FLOPs: 2 T H n C. Bytes: H n C weights once; in decoding bound by reading them.
#pragma once
#include "matmul.inl"

namespace moebius {
namespace {

// args: out, a, b (weights), tokens, heads, rowsPerHead, firstRow, numRows, layout
void headMatmul(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const Matrix<float> a = args.matrix();
  const Weights b = args.weights();
  const i64 tokens = args.integer();
  const i64 heads = args.integer();
  const i64 rowsPerHead = args.integer();
  const i64 firstRow = args.integer();
  const i64 numRows = args.integer();
  const Layout layout = Layout(args.integer());

  multiplyMany(context, heads, [&](i64 head) -> Product {
    // Rows of a and out are (token, head): one head's are `heads` rows apart.
    const Source left = sourceOf(a.row(head), heads * a.stride, tokens, a.columns, true);
    const i64 row = head * rowsPerHead + firstRow;
    const Source right = sourceOfRows(b, row, numRows, layout == Layout::nt);
    return {out.row(head), heads * out.stride, left, right, tokens, right.count, left.depth, false};
  });
}

}  // namespace
}  // namespace moebius
