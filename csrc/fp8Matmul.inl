// out_MN = a_MK b_NKᵀ on E4M3 codes (report, 3.3.2): each slice of 128 along K is summed on its
// own, multiplied by both scales, and added in f32.
//
//   out[m,n] = Σ_s aScales[m,s] · bScales[n/128,s] · Σ_{k in s} a[m,k] b[n,k]
//
// Products of two codes are exact in f32. FLOPs: 2 M N K; bytes: (M + N) K codes, out once a slice
// (from the cache). Bound by multiply-adds.
#pragma once
#include "products.h"

namespace moebius {
namespace {

struct Fp8Product {
  Matrix<float> out;
  AnyMatrix a, b;
  Matrix<const float> aScales, bScales;
};

void multiplyFp8Range(const Fp8Product& p, const Range& range, float* scratch) {
  float* packedA = scratch;
  float* packedB = scratch + kPackedA;
  float rowScales[kBlockRows];
  float columnScales[kBlockColumns / kFp8Block + 2];
  const Source a = sourceOf(p.a, true);
  const Source b = sourceOf(p.b, true);
  for (i64 j = range.columnBegin; j < range.columnEnd; j += kBlockColumns) {
    const ColumnPanels columns(minOf(kBlockColumns, range.columnEnd - j));
    for (i64 k = 0; k < a.depth; k += kFp8Block) {
      const i64 slice = k / kFp8Block;
      const i64 depth = minOf(kFp8Block, a.depth - k);
      packBlock(packedB, columns, b, j, k, depth);
      for (i64 n = 0; n < columns.columns; n += kFp8Block) {
        columnScales[n / kFp8Block] = p.bScales.row((j + n) / kFp8Block)[slice];
      }
      for (i64 i = range.rowBegin; i < range.rowEnd; i += kBlockRows) {
        const RowPanels rows(minOf(kBlockRows, range.rowEnd - i));
        packBlock(packedA, rows, a, i, k, depth);
        for (i64 m = 0; m < rows.rows; m++) rowScales[m] = p.aScales.row(i + m)[slice];
        multiplyBlocks(packedA, rows, packedB, columns,
                       {depth, p.out.row(i) + j, p.out.stride, k > 0, rowScales, columnScales});
      }
    }
  }
}

// args: out, a, aScales, b, bScales
void fp8Matmul(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const AnyMatrix a = args.any();
  const Matrix<const float> aScales = args.matrix<const float>();
  const AnyMatrix b = args.any();
  const Matrix<const float> bScales = args.matrix<const float>();
  const Fp8Product product = {out, a, b, aScales, bScales};
  if (a.columns == 0) return clearBlock(out.data, out.stride, out.rows, out.columns);
  // Columns are cut at whole blocks of scales, rows anywhere; the longer side is cut.
  const i64 blocks = ceilDiv(out.columns, kFp8Block);
  const int threads = threadsFor(context, costOf(out.rows, out.columns, a.columns));
  const bool byRows = out.rows > out.columns || blocks < threads;
  const i64 units = byRows ? out.rows : blocks;
  float* memory = scratch<float>(context, threads * kProductScratch);
  const i64 grain = maxOf<i64>(1, ceilDiv(units, threads));
  parallelFor(context, units, grain, [&](i64 begin, i64 end, int thread) {
    const Range range = byRows ? Range{begin, end, 0, out.columns}
                               : Range{0, out.rows, begin * kFp8Block,
                                       minOf(end * kFp8Block, out.columns)};
    multiplyFp8Range(product, range, memory + thread * kProductScratch);
  });
}

}  // namespace
}  // namespace moebius
