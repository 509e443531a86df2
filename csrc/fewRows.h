// Products with few rows of a (decoding): b is read once where it lies, never packed.
//
//   b along k (nt):      dot products, one vector of partial sums per element of out
//   b along n (nn, tn):  rows of b, scaled and added to sums held in registers
//
// Bytes: b once; FLOPs: 2 per element of b and row of a; bound by the memory b is in up to about
// four rows. All rows of a dot product are summed alike, so a row's result has the same bits
// whatever other rows came with it: speculative decoding verifies with the bits it drafted against.
#pragma once
#include "gemm.h"

namespace moebius {
namespace {

// Up to here reading b in place beats packing it (measured at n = k = 1024, see docs/log.md).
constexpr i64 kDotRows = 16;
constexpr i64 kStreamRows = 8;

// Partial sums held at once: R rows of a × kDotSums / R rows of b.
#if MOEBIUS_LANES == 16 || defined(__aarch64__)
constexpr int kDotSums = 16;
#else
constexpr int kDotSums = 8;
#endif

// Sums each of kLanes vectors; lane i of the result is the sum of vectors[i].
MOEBIUS_INLINE vf sumEach(vf* vectors) {
  const auto stage = [&]<int S>(LaneList<S>) {
    MOEBIUS_UNROLL
    for (int i = 0; i < S; i++) {
      exchangeBlocks<S>(vectors[i], vectors[i + S], AllLanes{});
      vectors[i] = vectors[i] + vectors[i + S];
    }
  };
#if MOEBIUS_LANES >= 16
  stage(LaneList<8>{});
#endif
#if MOEBIUS_LANES >= 8
  stage(LaneList<4>{});
#endif
  stage(LaneList<2>{});
  stage(LaneList<1>{});
  return vectors[0];
}

// R rows of a times C rows of b; those beyond `rows` or `columns` repeat the last and are dropped.
template <int R, int C, class T>
MOEBIUS_NOINLINE void dotBlock(const Product& p, i64 row, i64 column, i64 rows, i64 columns) {
  constexpr int kSums = (R * C + kLanes - 1) / kLanes * kLanes;
  vf sums[kSums];
  MOEBIUS_UNROLL
  for (int i = 0; i < kSums; i++) sums[i] = zero();
  const float* a[R];
  const T* b[C];
  for (int i = 0; i < R; i++) {
    a[i] = static_cast<const float*>(p.a.data) + (row + minOf<i64>(i, rows - 1)) * p.a.stride;
  }
  for (int j = 0; j < C; j++) {
    b[j] = static_cast<const T*>(p.b.data) + (column + minOf<i64>(j, columns - 1)) * p.b.stride;
  }
  const auto step = [&](i64 k, const auto& loadA, const auto& loadB, const float* scales) {
    vf x[R];
    MOEBIUS_UNROLL
    for (int i = 0; i < R; i++) x[i] = loadA(a[i] + k);
    MOEBIUS_UNROLL
    for (int j = 0; j < C; j++) {
      vf w = loadB(b[j] + k);
      if constexpr (isScaled<T>) w = w * splat(scales[j]);
      MOEBIUS_UNROLL
      for (int i = 0; i < R; i++) sums[i * C + j] = fma(x[i], w, sums[i * C + j]);
    }
  };
  const i64 chunk = isScaled<T> ? kFp8Block : p.k;
  for (i64 begin = 0; begin < p.k; begin += chunk) {
    const i64 end = minOf(begin + chunk, p.k);
    float scales[C] = {};
    if constexpr (isScaled<T>) {
      for (int j = 0; j < C; j++) {
        scales[j] = scaleAt(p.b, column + minOf<i64>(j, columns - 1), begin);
      }
    }
    i64 k = begin;
    for (; k + kLanes <= end; k += kLanes) {
      step(k, [](const float* q) { return load(q); }, [](const T* q) { return widen(q); }, scales);
    }
    if (k < end) {
      step(k, [&](const float* q) { return loadPart(q, end - k); },
           [&](const T* q) { return widenPart(q, end - k); }, scales);
    }
  }
  float results[kSums];
  MOEBIUS_UNROLL
  for (int i = 0; i < kSums; i += kLanes) store(results + i, sumEach(sums + i));
  for (i64 i = 0; i < rows; i++) {
    float* out = p.out + (row + i) * p.outStride + column;
    for (i64 j = 0; j < columns; j++) {
      out[j] = p.accumulate ? out[j] + results[i * C + j] : results[i * C + j];
    }
  }
}

template <class T>
void dotRange(const Product& p, const Range& range) {
  constexpr int kOne = kDotSums;
  constexpr int kTwo = kDotSums / 2;
  constexpr int kFour = kDotSums / 4;
  const i64 numRows = range.rowEnd - range.rowBegin;
  const i64 width = numRows == 1 ? kOne : numRows == 2 ? kTwo : kFour;
  for (i64 j = range.columnBegin; j < range.columnEnd; j += width) {
    const i64 columns = minOf(width, range.columnEnd - j);
    for (i64 i = range.rowBegin; i < range.rowEnd; i += 4) {
      const i64 rows = minOf<i64>(4, range.rowEnd - i);
      if (numRows == 1) {
        dotBlock<1, kOne, T>(p, i, j, rows, columns);
      } else if (numRows == 2) {
        dotBlock<2, kTwo, T>(p, i, j, rows, columns);
      } else {
        dotBlock<4, kFour, T>(p, i, j, rows, columns);
      }
    }
  }
}

// R rows of out over columns [begin, end): as many vectors side by side as registers allow.
template <int R, class T>
MOEBIUS_NOINLINE void streamRows(const Product& p, i64 row, const Range& range, float* packed) {
  constexpr int kBudget = MOEBIUS_LANES == 16 || kTileRows * kTileVectors >= 24 ? 24 : 12;
  constexpr int V = minOf(8, kBudget / R);
  for (i64 k = 0; k < p.k; k += kDepth) {
    const i64 depth = minOf(kDepth, p.k - k);
    const float* a = static_cast<const float*>(p.a.data);
    const i64 alongRow = p.a.alongK ? p.a.stride : 1;
    const i64 alongK = p.a.alongK ? 1 : p.a.stride;
    for (i64 d = 0; d < depth; d++) {
      for (int i = 0; i < R; i++) packed[d * R + i] = a[(row + i) * alongRow + (k + d) * alongK];
    }
    i64 j = range.columnBegin;
    const auto tile = [&](auto function, i64 columns) {
      function({packed, static_cast<const T*>(p.b.data) + k * p.b.stride + j, p.b.stride, depth,
                p.out + row * p.outStride + j, p.outStride, columns, p.accumulate || k > 0,
                nullptr});
      j += columns;
    };
    while (j + V * kLanes <= range.columnEnd) tile(multiplyTile<R, V, T>, V * kLanes);
    while (j + kLanes <= range.columnEnd) tile(multiplyTile<R, 1, T>, kLanes);
    if (j < range.columnEnd) {
      // The last columns are packed, so that no load passes the end of b.
      float* edge = packed + R * kDepth;
      packBlock(edge, ColumnPanels(range.columnEnd - j), p.b, j, k, depth);
      multiplyTile<R, 1, float>({packed, edge, kLanes, depth, p.out + row * p.outStride + j,
                                 p.outStride, range.columnEnd - j, p.accumulate || k > 0, nullptr});
    }
  }
}

template <class T>
void streamRange(const Product& p, const Range& range, float* scratch) {
  i64 row = range.rowBegin;
  for (; row + 4 <= range.rowEnd; row += 4) streamRows<4, T>(p, row, range, scratch);
  if (row + 2 <= range.rowEnd) {
    streamRows<2, T>(p, row, range, scratch);
    row += 2;
  }
  if (row < range.rowEnd) streamRows<1, T>(p, row, range, scratch);
}

void multiplyFewRows(const Product& p, const Range& range, float* scratch) {
  forWeightType(p.b.dtype, [&]<class T>(const T*) {
    if (p.b.alongK) {
      dotRange<T>(p, range);
    } else if constexpr (isScaled<T>) {
      multiplyPacked(p, range, scratch);  // its scales change along k and along n
    } else {
      streamRange<T>(p, range, scratch);
    }
  });
}

}  // namespace
}  // namespace moebius
