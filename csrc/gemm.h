// Products on one thread: pack, then multiply tiles held in registers (after Goto and van de Geijn,
// 2008). Operations that contain products call multiplyRange from inside their parallel sections.
//
//   out[m, n] (+)= Σ_k a(m, k) · b(n, k)
//
// Where a and b lie is a `Source`: a matrix whose rows run along k, or along the index, which
// covers nt, nn and tn. Either may be narrow (bf16, f16, f8 with scales of 128 × 128 blocks): it is
// widened while being packed. Products with few rows of a go another way (fewRows.h).
//
// Every element of out is one chain of multiply-adds in the order of k, cut at multiples of kDepth:
// its bits depend neither on the tile it falls in nor on how m and n are split over threads.
#pragma once
#include "pack.h"

namespace moebius {
namespace {

// Blocking: a block of b (kDepth × kBlockColumns) and one of a (kBlockRows × kDepth) share the
// second-level cache (2 MiB, or 512 KiB where vectors are short).
#if MOEBIUS_LANES == 16 || defined(__wasm__)
constexpr i64 kDepth = 512;
#else
constexpr i64 kDepth = 256;
#endif
constexpr i64 kBlockRows = kTileRows * kMaxRowPanels;
constexpr i64 kBlockColumns = MOEBIUS_LANES == 16 ? 512 : 384;
static_assert(kBlockColumns % kTileColumns == 0);

struct Product {
  float* out;
  i64 outStride;
  Source a;
  Source b;
  i64 m, n, k;
  bool accumulate;
};

// Scratch of multiplyRange, in floats, whatever the product.
constexpr i64 kPackedA = kMaxRowPanels * kRowPanelWidth * kDepth;
constexpr i64 kPackedB = kBlockColumns * kDepth;
constexpr i64 kProductScratch = (kPackedA + kPackedB + 15) / 16 * 16;

// One tile: out = (accumulate ? out : 0) + rowScales ⊙ Σ_k a_k b_kᵀ.
template <class T>
struct TileArgs {
  const float* a;  // a row panel: kRowPanelWidth per k
  const T* b;
  i64 bStride;  // elements from one k to the next
  i64 depth;
  float* out;
  i64 outStride;
  i64 columns;  // of the tile's last vector only some may exist
  bool accumulate;
  const float* rowScales;  // null for ones
};

// A tile that hangs over the last column.
MOEBIUS_NOINLINE void storeEdge(float* out, i64 outStride, const float* edge, i64 edgeStride,
                                i64 rows, i64 columns, bool accumulate) {
  for (i64 i = 0; i < rows; i++) {
    for (i64 j = 0; j < columns; j++) {
      const float value = edge[i * edgeStride + j];
      out[i * outStride + j] = accumulate ? out[i * outStride + j] + value : value;
    }
  }
}

template <int R, int V, class T>
MOEBIUS_NOINLINE void multiplyTile(const TileArgs<T>& t) {
  vf sums[R][V];
  MOEBIUS_UNROLL
  for (int i = 0; i < R; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < V; j++) sums[i][j] = zero();
    MOEBIUS_UNROLL
    for (int j = 0; j < V * kLanes; j += 16) prefetchWrite(t.out + i * t.outStride + j);
  }
  const float* a = t.a;
  const T* b = t.b;
  MOEBIUS_UNROLL_BY_4  // without it the loop's own cost is 15 %
  for (i64 k = 0; k < t.depth; k++) {
    vf row[V];
    MOEBIUS_UNROLL
    for (int j = 0; j < V; j++) row[j] = widen(b + j * kLanes);
    MOEBIUS_UNROLL
    for (int i = 0; i < R; i++) {
      const vf factor = splat(a[i]);
      MOEBIUS_UNROLL
      for (int j = 0; j < V; j++) sums[i][j] = fma(factor, row[j], sums[i][j]);
    }
    a += kRowPanelWidth;
    b += t.bStride;
  }
  if (t.rowScales != nullptr) {
    MOEBIUS_UNROLL
    for (int i = 0; i < R; i++) {
      MOEBIUS_UNROLL
      for (int j = 0; j < V; j++) sums[i][j] = sums[i][j] * splat(t.rowScales[i]);
    }
  }
  if (t.columns != V * kLanes) {
    float edge[R * V * kLanes];
    MOEBIUS_UNROLL
    for (int i = 0; i < R * V; i++) store(edge + i * kLanes, sums[i / V][i % V]);
    return storeEdge(t.out, t.outStride, edge, V * kLanes, R, t.columns, t.accumulate);
  }
  if (t.accumulate) {
    MOEBIUS_UNROLL
    for (int i = 0; i < R; i++) {
      MOEBIUS_UNROLL
      for (int j = 0; j < V; j++) {
        sums[i][j] = load(t.out + i * t.outStride + j * kLanes) + sums[i][j];
      }
    }
  }
  MOEBIUS_UNROLL
  for (int i = 0; i < R; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < V; j++) store(t.out + i * t.outStride + j * kLanes, sums[i][j]);
  }
}

template <class T>
using Tile = void (*)(const TileArgs<T>&);

template <class T, int R = kTileRows, int V = kTileVectors>
Tile<T> tileFor(i64 rows, i64 vectors) {
  if (vectors < V) {
    if constexpr (V > 1) return tileFor<T, R, V - 1>(rows, vectors);
  }
  if (rows < R) {
    if constexpr (R > 1) return tileFor<T, R - 1, V>(rows, vectors);
  }
  return multiplyTile<R, V, T>;
}

// What follows from blocks that are packed: everything but the operands' positions.
struct BlockArgs {
  i64 depth;
  float* out;
  i64 outStride;
  bool accumulate;
  const float* rowScales;     // null for ones
  const float* columnScales;  // with rowScales: one per kFp8Block columns, the first at column 0
};

// A panel of b stays in the first cache while all of a passes by.
void multiplyBlocks(const float* a, const RowPanels& rows, const float* b,
                    const ColumnPanels& columns, const BlockArgs& block) {
  const i64 low = rows.rows / rows.count;
  for (i64 q = 0; q < columns.count; q++) {
    const i64 left = columns.begin(q);
    const i64 width = columns.width(q);
    const Tile<float> lowTile = tileFor<float>(low, width / kLanes);
    const Tile<float> highTile = tileFor<float>(minOf<i64>(low + 1, kTileRows), width / kLanes);
    for (i64 p = 0; p < rows.count; p++) {
      const i64 top = rows.begin(p);
      const i64 height = rows.height(p);
      float scales[kTileRows];
      if (block.rowScales != nullptr) {
        const float columnScale = block.columnScales[left / kFp8Block];
        for (i64 i = 0; i < height; i++) scales[i] = block.rowScales[top + i] * columnScale;
      }
      const Tile<float> tile = height == low ? lowTile : highTile;
      tile({a + rows.packed(p) * block.depth, b + columns.packed(q) * block.depth, width,
            block.depth, block.out + top * block.outStride + left, block.outStride,
            columns.height(q), block.accumulate, block.rowScales == nullptr ? nullptr : scales});
    }
  }
}

void clearBlock(float* out, i64 outStride, i64 rows, i64 columns) {
  for (i64 i = 0; i < rows; i++) {
    for (i64 j = 0; j < columns; j++) out[i * outStride + j] = 0;
  }
}

// A part of a product's output.
struct Range {
  i64 rowBegin, rowEnd, columnBegin, columnEnd;
};

void multiplyPacked(const Product& p, const Range& range, float* scratch) {
  float* packedA = scratch;
  float* packedB = scratch + kPackedA;
  for (i64 j = range.columnBegin; j < range.columnEnd; j += kBlockColumns) {
    const ColumnPanels columns(minOf(kBlockColumns, range.columnEnd - j));
    for (i64 k = 0; k < p.k; k += kDepth) {
      const i64 depth = minOf(kDepth, p.k - k);
      packBlock(packedB, columns, p.b, j, k, depth);
      for (i64 i = range.rowBegin; i < range.rowEnd; i += kBlockRows) {
        const RowPanels rows(minOf(kBlockRows, range.rowEnd - i));
        packBlock(packedA, rows, p.a, i, k, depth);
        multiplyBlocks(packedA, rows, packedB, columns,
                       {depth, p.out + i * p.outStride + j, p.outStride, p.accumulate || k > 0,
                        nullptr, nullptr});
      }
    }
  }
}

}  // namespace
}  // namespace moebius

#include "fewRows.h"

namespace moebius {
namespace {

// The range of a product on this thread, the way that suits its shape; kProductScratch floats.
void multiplyRange(const Product& p, const Range& range, float* scratch) {
  if (range.rowBegin >= range.rowEnd || range.columnBegin >= range.columnEnd) return;
  if (p.k == 0) {
    if (p.accumulate) return;
    return clearBlock(p.out + range.rowBegin * p.outStride + range.columnBegin, p.outStride,
                      range.rowEnd - range.rowBegin, range.columnEnd - range.columnBegin);
  }
  if (hasFewRows(p)) return multiplyFewRows(p, range, scratch);
  multiplyPacked(p, range, scratch);
}

// All of a product on this thread.
void multiply(const Product& p, float* scratch) { multiplyRange(p, {0, p.m, 0, p.n}, scratch); }

}  // namespace
}  // namespace moebius
