// Products with few rows of a (decoding): b is read once where it lies, never packed.
//
//   b along k (nt):      dot products (dotRows.h)
//   b along n (nn, tn):  rows of b, scaled and added to sums held in registers
//
// Bytes: b once; FLOPs: 2 per element of b and row of a; bound by the memory b is in up to about
// four rows.
#pragma once
#include "dotStreams.h"
#include "gemm.h"

namespace moebius {
namespace {

// Weight gradients (tn) sum over many rows of b, and reading them for every four of a costs more
// than packing them once.
constexpr i64 kFewGradientRows = 4;

bool hasFewRows(const Product& p) {
  if (p.order != Order::bySize) return p.order == Order::streamed;
  if (!p.a.alongK) return p.m <= kFewGradientRows && !p.b.alongK;
  return p.m <= kFewRows;
}

// So much of a row at a time that the rows of a stay in the caches while all of b passes.
constexpr i64 kDotDepth = 4096;

template <class T>
void dotRange(const Product& p, const Range& range, float* scratch) {
  const DotArithmetic<T> arithmetic;
  const i64 numRows = range.rowEnd - range.rowBegin;
  const float* a = static_cast<const float*>(p.a.data) + range.rowBegin * p.a.stride;
  for (i64 k = 0; k < p.k; k += kDotDepth) {
    const i64 depth = minOf(kDotDepth, p.k - k);
    const DotInput in = prepareInput<T>(scratch, a + k, p.a.stride, numRows, depth);
    Source b = p.b;
    b.data = static_cast<const T*>(b.data) + k;
    b.firstColumn += k;
    if constexpr (isScaled<T>) b.scales += k / kFp8Block;
    const DotOutput out = {p.out + range.rowBegin * p.outStride, p.outStride,
                           p.accumulate || k > 0, nullptr, nullptr};
    withRows(numRows, [&]<int R>(LaneList<R>) {
      dotStreams<R, T>(in, b, range.columnBegin, range.columnEnd,
                       [&](const DotResults& results) { writeResults(out, results); });
    });
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

// f8, R rows of out over up to G groups of columns: rows of b in steps of a group, each row's
// factor with its scale. As many groups at once as registers allow, so that b is read along its
// rows.
template <int R, int G, class T, bool isCareful>
MOEBIUS_NOINLINE bool streamScaledGroups(const Product& p, i64 column, i64 groups,
                                         const float* const* factors, float* sums) {
  constexpr int V = kStepVectors<T>;
  vf totals[G][R][V];
  MOEBIUS_UNROLL
  for (int i = 0; i < G * R * V; i++) totals[i / (R * V)][i / V % R][i % V] = zero();
  F8Codes largest = noF8Codes();
  const T* b = static_cast<const T*>(p.b.data) + column;
  for (i64 k = 0; k < p.k; k++, b += p.b.stride) {
    MOEBIUS_UNROLL
    for (int g = 0; g < G; g++) {
      vf wide[V];
      widenStep<isCareful>(b + minOf<i64>(g, groups - 1) * kStep<T>, wide, largest);
      MOEBIUS_UNROLL
      for (int i = 0; i < R; i++) {
        const vf factor = splat(factors[g][k * R + i]);
        MOEBIUS_UNROLL
        for (int v = 0; v < V; v++) totals[g][i][v] = fma(factor, wide[v], totals[g][i][v]);
      }
    }
  }
  MOEBIUS_UNROLL
  for (int i = 0; i < G * R * V; i++) {
    const vf total = totals[i / (R * V)][i / V % R][i % V];
    store(sums + i * kLanes, isListed<T> ? total * splat(kListedRest) : total);
  }
  return !isListed<T> && hasF8NaN(largest);
}

// Adds the products with listed codes in columns begin … end of b to row `row` of out.
MOEBIUS_NOINLINE void addListedColumns(const Product& p, i64 row, i64 begin, i64 end) {
  const float* a = static_cast<const float*>(p.a.data);
  float* out = p.out + row * p.outStride;
  for (i64 k = 0; k < p.k; k++) {
    const i32* begins = p.b.specials.begins + k;
    for (i64 e = begins[0]; e < begins[1]; e++) {
      const u32 entry = p.b.specials.entries[e];
      const i64 column = i64(entry >> 8) - p.b.firstColumn;
      if (column < begin || column >= end) continue;
      const float factor = p.a.alongK ? a[row * p.a.stride + k] : a[k * p.a.stride + row];
      const float weight = specialValue(entry) * (scaleAt(p.b, k, column) * (1 / kF8Unit));
      out[column] = __builtin_fmaf(factor, weight, out[column]);
    }
  }
}

// One element of out at a time: the columns that fill no group.
template <int R>
void streamScaledRest(const Product& p, i64 column, i64 count, const float* factors, float* sums) {
  for (i64 c = 0; c < count; c++) {
    float totals[R] = {};
    const F8* b = static_cast<const F8*>(p.b.data) + column + c;
    for (i64 k = 0; k < p.k; k++, b += p.b.stride) {
      const vf value = widenUnscaledPart(b, 1);
      for (int i = 0; i < R; i++) {
        totals[i] = fma(splat(factors[k * R + i]), value, splat(totals[i]))[0];
      }
    }
    for (int i = 0; i < R; i++) sums[i * kStep<F8> + c] = totals[i];
  }
}

template <int R, class T>
void streamScaledRows(const Product& p, i64 row, const Range& range, float* memory) {
  constexpr int V = kStepVectors<T>;
  constexpr int G = maxOf(1, kDotSums / (R * V));
  constexpr i64 kGroupsPerScale = kFp8Block / kStep<F8>;
  const float* a = static_cast<const float*>(p.a.data);
  const i64 alongRow = p.a.alongK ? p.a.stride : 1;
  const i64 alongK = p.a.alongK ? 1 : p.a.stride;
  const auto scaled = [&](float* factors, i64 column, bool isLifted) {
    for (i64 k = 0; k < p.k; k++) {
      const float scale = scaleAt(p.b, k, column) * (isLifted ? kListedLift / kF8Unit : 1.0f);
      for (int i = 0; i < R; i++) {
        factors[k * R + i] = a[(row + i) * alongRow + k * alongK] * scale;
      }
    }
  };
  const auto write = [&](i64 column, i64 count, const float* sums, bool isRegrouped) {
    for (int i = 0; i < R; i++) {
      float* out = p.out + (row + i) * p.outStride + column;
      for (i64 at = 0; at < kStep<F8>; at++) {
        const i64 place = isRegrouped ? groupPlace<T>(at / kLanes, at % kLanes) : at;
        if (place >= count) continue;
        const float value = sums[i * kStep<F8> + at];
        out[place] = p.accumulate ? out[place] + value : value;
      }
    }
  };
  float sums[maxOf<i64>(G * R * V * kLanes, R * kStep<F8>)];
  i64 groups;
  for (i64 column = range.columnBegin; column < range.columnEnd; column += groups * kStep<F8>) {
    // Ranges begin at whole groups, as tiles are no narrower.
    groups = minOf<i64>(G, (range.columnEnd - column) / kStep<F8>);
    if (groups == 0 || column % kStep<F8> != 0) {
      const i64 toGroup = kStep<F8> - column % kStep<F8>;
      const i64 count = minOf(toGroup, range.columnEnd - column);
      scaled(memory, column, false);
      streamScaledRest<R>(p, column, count, memory, sums);
      write(column, count, sums, false);
      column += count;
      groups = 0;
      continue;
    }
    const float* factors[G];
    for (i64 g = 0; g < G; g++) {
      const i64 at = minOf(g, groups - 1);
      const i64 block = (column + at * kStep<F8>) / kFp8Block;
      const i64 slot = block - column / kFp8Block;
      factors[g] = memory + slot * p.k * R;
      if (at == g && (g == 0 || (column + g * kStep<F8>) / kStep<F8> % kGroupsPerScale == 0)) {
        scaled(memory + slot * p.k * R, column + g * kStep<F8>, isListed<T>);
      }
    }
    if (streamScaledGroups<R, G, T, isListed<T>>(p, column, groups, factors, sums)) {
      streamScaledGroups<R, G, T, true>(p, column, groups, factors, sums);
    }
    for (i64 g = 0; g < groups; g++) {
      write(column + g * kStep<F8>, kStep<F8>, sums + g * R * V * kLanes, true);
    }
    if constexpr (isListed<T>) {
      for (int i = 0; i < R; i++) {
        addListedColumns(p, row + i, column, column + groups * kStep<F8>);
      }
    }
  }
}

// Depths whose factors fit in scratch; deeper products are packed.
constexpr i64 kScaledDepth = kProductScratch / 16;

template <class T>
void streamScaledRange(const Product& p, const Range& range, float* scratch) {
  if (p.k > kScaledDepth) return multiplyPacked(p, range, scratch);
  const DotArithmetic<T> arithmetic;
  i64 row = range.rowBegin;
  for (; row + 4 <= range.rowEnd; row += 4) streamScaledRows<4, T>(p, row, range, scratch);
  for (; row + 2 <= range.rowEnd; row += 2) streamScaledRows<2, T>(p, row, range, scratch);
  for (; row < range.rowEnd; row++) streamScaledRows<1, T>(p, row, range, scratch);
}

void multiplyFewRows(const Product& p, const Range& range, float* scratch) {
  forRowType(p.b, [&]<class T>(const T*) {
    if (p.b.alongK) {
      for (i64 row = range.rowBegin; row < range.rowEnd; row += kFewRows) {
        dotRange<T>(p, {row, minOf(row + kFewRows, range.rowEnd), range.columnBegin,
                        range.columnEnd}, scratch);
      }
    } else if constexpr (isScaled<T>) {
      streamScaledRange<T>(p, range, scratch);
    } else {
      streamRange<T>(p, range, scratch);
    }
  });
}

}  // namespace
}  // namespace moebius
