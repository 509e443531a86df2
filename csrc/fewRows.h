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

// Up to here reading b in place beats packing it: a tile's worth of rows pays for packing, and
// narrow weights, which dot products widen again for every four rows, are packed sooner.
constexpr i64 kDotRows = 16;
constexpr i64 kNarrowDotRows = 8;
constexpr i64 kStreamRows = 8;

bool hasFewRows(const Product& p) {
  if (!p.b.alongK) return p.m <= kStreamRows;
  return p.a.alongK && p.m <= (p.b.dtype == DType::f32 ? kDotRows : kNarrowDotRows);
}

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

// Weights as dot products read them, two vectors: f8 without its unit and scale, which the row of a
// takes along.
template <class T>
MOEBIUS_INLINE void widenPair(const T* p, vf* w) {
  w[0] = widen(p);
  w[1] = widen(p + kLanes);
}
MOEBIUS_INLINE void widenPair(const F8* p, vf* w) { f8PairOverUnit(&p->code, w[0], w[1]); }

// A range of at most R rows of a times C rows of b, over k in [begin, end); f8 rows of b share
// their scales. Where there are fewer rows the last is repeated and the result dropped.
constexpr i64 kDotStep = 2 * kLanes;

template <int R, int C, class T>
MOEBIUS_NOINLINE void dotBlock(const Product& p, const Range& range, i64 begin, i64 end) {
  constexpr int kSums = (R * C + kLanes - 1) / kLanes * kLanes;
  const i64 rows = range.rowEnd - range.rowBegin;
  const i64 columns = range.columnEnd - range.columnBegin;
  vf sums[kSums];
  MOEBIUS_UNROLL
  for (int i = 0; i < kSums; i++) sums[i] = zero();
  const float* a[R];
  const T* b[C];
  for (int i = 0; i < R; i++) {
    const i64 row = range.rowBegin + minOf<i64>(i, rows - 1);
    a[i] = static_cast<const float*>(p.a.data) + row * p.a.stride;
  }
  for (int j = 0; j < C; j++) {
    const i64 column = range.columnBegin + minOf<i64>(j, columns - 1);
    b[j] = static_cast<const T*>(p.b.data) + column * p.b.stride;
  }
  const auto step = [&](i64 k, vf scale) {
    vf x[R][2];
    MOEBIUS_UNROLL
    for (int i = 0; i < R * 2; i++) {
      x[i / 2][i % 2] = load(a[i / 2] + k + i % 2 * kLanes);
      if constexpr (isScaled<T>) x[i / 2][i % 2] = x[i / 2][i % 2] * scale;
    }
    MOEBIUS_UNROLL
    for (int j = 0; j < C; j++) {
      vf w[2];
      widenPair(b[j] + k, w);
      MOEBIUS_UNROLL
      for (int i = 0; i < R * 2; i++) {
        sums[i / 2 * C + j] = fma(x[i / 2][i % 2], w[i % 2], sums[i / 2 * C + j]);
      }
    }
  };
  const i64 chunk = isScaled<T> ? kFp8Block : end - begin;
  for (i64 k = begin; k < end;) {
    const i64 chunkEnd = minOf(k + chunk, end);
    vf scale = {};
    if constexpr (isScaled<T>) scale = splat(scaleAt(p.b, range.columnBegin, k));
    for (; k + kDotStep <= chunkEnd; k += kDotStep) step(k, scale);
    if (k < chunkEnd) {
      // The last few, padded with zeros.
      float lastA[R][kDotStep] = {};
      T lastB[C][kDotStep] = {};
      for (i64 r = 0; k + r < chunkEnd; r++) {
        for (int i = 0; i < R; i++) lastA[i][r] = a[i][k + r];
        for (int j = 0; j < C; j++) lastB[j][r] = b[j][k + r];
      }
      for (int i = 0; i < R; i++) a[i] = lastA[i];
      for (int j = 0; j < C; j++) b[j] = lastB[j];
      step(0, scale);
      break;
    }
  }
  float results[kSums];
  MOEBIUS_UNROLL
  for (int i = 0; i < kSums; i += kLanes) store(results + i, sumEach(sums + i));
  const bool accumulate = p.accumulate || begin > 0;
  for (i64 i = 0; i < rows; i++) {
    float* out = p.out + (range.rowBegin + i) * p.outStride + range.columnBegin;
    for (i64 j = 0; j < columns; j++) {
      out[j] = accumulate ? out[j] + results[i * C + j] : results[i * C + j];
    }
  }
}

// So much of a row at a time that the rows of a stay in the caches while all of b passes.
constexpr i64 kDotDepth = 4096;

template <class T>
void dotRange(const Product& p, const Range& range) {
  constexpr int kOne = kDotSums;
  constexpr int kTwo = kDotSums / 2;
  constexpr int kFour = kDotSums == 16 ? 4 : 3;
  const i64 numRows = range.rowEnd - range.rowBegin;
  const i64 width = numRows == 1 ? kOne : numRows == 2 ? kTwo : kFour;
  for (i64 k = 0; k < p.k; k += kDotDepth) {
    const i64 end = minOf(k + kDotDepth, p.k);
    i64 columns;
    for (i64 j = range.columnBegin; j < range.columnEnd; j += columns) {
      columns = minOf(width, range.columnEnd - j);
      if constexpr (isScaled<T>) {  // up to where the scale changes
        columns = minOf(columns, kFp8Block - (p.b.firstRow + j) % kFp8Block);
      }
      for (i64 i = range.rowBegin; i < range.rowEnd; i += 4) {
        const Range block = {i, minOf(i + 4, range.rowEnd), j, j + columns};
        if (numRows == 1) {
          dotBlock<1, kOne, T>(p, block, k, end);
        } else if (numRows == 2) {
          dotBlock<2, kTwo, T>(p, block, k, end);
        } else {
          dotBlock<4, kFour, T>(p, block, k, end);
        }
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
      for (int i = 0; i < R; i++) {
        packed[d * kRowPanelWidth + i] = a[(row + i) * alongRow + (k + d) * alongK];
      }
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
      float* edge = packed + kRowPanelWidth * kDepth;
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
