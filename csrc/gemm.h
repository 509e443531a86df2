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
#include "swigluRow.h"

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

// What becomes of rows of a product while they lie in near caches.
struct SwigluEnd {
  i64 width = 0;  // F, whole tiles; 0 for nothing
  // Forward: the product is [gate | up], 2F columns, which are counted by pairs of tiles, a gate's
  // and its up's, wherever they are cut.
  float* hidden = nullptr;  // [m, F] = swiglu
  i64 hiddenStride = 0;
  // Backward: the product is the gradient of F hidden columns, out the one of [gate | up].
  const float* gateUp = nullptr;
  i64 gateUpStride = 0;
};

// What a sum's order is chosen by: the number of rows, for speed; or it is given, and then a row's
// bits do not depend on how many others there are.
enum class Order : int { bySize = 0, streamed = 1, tiled = 2 };

struct Product {
  float* out;
  i64 outStride;
  Source a;
  Source b;
  i64 m, n, k;
  bool accumulate;
  SwigluEnd end = {};
  Order order = Order::bySize;
};

// Where columns may be cut.
i64 columnUnit(const Product& p) {
  return p.end.hidden == nullptr ? kTileColumns : 2 * kTileColumns;
}

// Rows whose columns [begin, end) of F are complete.
void finishRows(const Product& p, i64 rowBegin, i64 rowEnd, i64 begin, i64 end) {
  const i64 width = p.end.width;
  for (i64 row = rowBegin; row < rowEnd; row++) {
    float* out = p.out + row * p.outStride + begin;
    if (p.end.hidden != nullptr) {
      swigluRow(p.end.hidden + row * p.end.hiddenStride + begin, out, out + width, end - begin);
    } else {
      const float* gate = p.end.gateUp + row * p.end.gateUpStride + begin;
      swigluBackwardRow(out, out + width, out, gate, gate + width, end - begin);
    }
  }
}

// Scratch of multiplyRange, in floats, whatever the product.
constexpr i64 kPackedA = kMaxRowPanels * kRowPanelWidth * kDepth;
constexpr i64 kPackedB = kBlockColumns * kDepth;
constexpr i64 kProductScratch = (kPackedA + kPackedB + 15) / 16 * 16;

// Lines fetched while a tile is computed: `count` of them, `stride` floats apart, with every
// kChunk steps of k, then `advance` floats on. A burst of them would keep the few buffers for lines
// on their way from what the tile itself reads.
struct Ahead {
  const float* first;
  i64 stride, count, advance;
};
constexpr int kChunk = 16;  // a line of floats

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
  Ahead ahead[2] = {};  // lines of a, and of b
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

// AVX-512 multiplies by a number of memory in one instruction. For most rows of a tile that is
// better than a broadcast and V multiplications (35 instructions instead of 44 at each step of k,
// which counts where a core's front end is shared with another thread), for all of them it would
// be more than two loads a cycle.
constexpr int kTwiceRows = MOEBIUS_LANES == 16 ? 9 : 0;

// `again` points where `a` does, unbeknownst to the compiler, which would read only once.
template <int R, int V, class T>
MOEBIUS_INLINE void multiplyStep(vf (&sums)[R][V], const float* a, const float* again,
                                 const T* b) {
  vf row[V];
  MOEBIUS_UNROLL
  for (int j = 0; j < V; j++) row[j] = widen(b + j * kLanes);
  MOEBIUS_UNROLL
  for (int i = 0; i < R; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < V; j++) {
      const float* factor = i < kTwiceRows && j > 0 ? again : a;
      sums[i][j] = fma(splat(factor[i]), row[j], sums[i][j]);
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
  }
  const float* a = t.a;
  const float* again = t.a;
  const T* b = t.b;
  keepInRegister(again);
  // The tile of out is fetched along the way, some rows with every chunk.
  const float* out = t.out;
  const i64 rowsAtOnce = t.depth >= R * kChunk ? 1 : t.depth >= 4 * kChunk ? ceilDiv(R, 4) : R;
  const float* lines[2] = {t.ahead[0].first, t.ahead[1].first};
  i64 k = 0;
  for (; k + kChunk <= t.depth; k += kChunk) {
    for (i64 i = 0; i < rowsAtOnce && out < t.out + R * t.outStride; i++, out += t.outStride) {
      MOEBIUS_UNROLL
      for (int j = 0; j < V * kLanes; j += 16) prefetchWrite(out + j);
    }
    for (int s = 0; s < 2; s++) {
      const Ahead& ahead = t.ahead[s];
      for (i64 i = 0; i < ahead.count; i++) prefetchFar(lines[s] + i * ahead.stride);
      lines[s] += ahead.advance;
    }
    for (int u = 0; u < kChunk; u += 4) {  // without unrolling the loop's own cost is 15 %
      MOEBIUS_UNROLL
      for (int w = 0; w < 4; w++) {
        multiplyStep<R, V>(sums, a + w * kRowPanelWidth, again + w * kRowPanelWidth,
                           b + w * t.bStride);
      }
      a += 4 * kRowPanelWidth;
      again += 4 * kRowPanelWidth;
      b += 4 * t.bStride;
    }
  }
  for (; k < t.depth; k++) {
    multiplyStep<R, V>(sums, a, again, b);
    a += kRowPanelWidth;
    again += kRowPanelWidth;
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

// Part `part` of `parts` of what a panel of a is made of, rows along k: to be fetched while another
// panel passes those of b. Where rows lie along the index it does not pay: a line in every row.
Ahead rowsAhead(const Source& a, i64 row, i64 height, i64 k, i64 part, i64 parts) {
  const i64 first = height * part / parts;
  const i64 count = height * (part + 1) / parts - first;
  const float* data = static_cast<const float*>(a.data) + (row + first) * a.stride + k;
  return {data, a.stride, count, kChunk};
}

// A piece of memory, likewise, along a tile `depth` deep.
Ahead memoryAhead(const float* data, i64 floats, i64 depth, i64 part, i64 parts) {
  const i64 lines = ceilDiv(floats, kChunk);
  const i64 first = lines * part / parts;
  const i64 atOnce = ceilDiv((lines * (part + 1) / parts - first) * kChunk, depth);
  return {data + first * kChunk, kChunk, atOnce, atOnce * kChunk};
}

// A few panels of a stay in near caches while the block of b passes by: one, in the first, where
// they are made of rows; several where they lie side by side, to read longer pieces.
void multiplyPacked(const Product& p, const Range& range, float* scratch) {
  float* packedA = scratch;
  float* packedB = scratch + kPackedA;
  const i64 groupRows = (p.a.alongK ? 1 : kPanelsAtOnce) * kTileRows;
  const i64 numRows = range.rowEnd - range.rowBegin;
  const i64 groups = ceilDiv(numRows, groupRows);
  const auto groupAt = [&](i64 group) { return range.rowBegin + numRows * group / groups; };
  const bool fetchesRows = p.a.alongK && p.a.dtype == DType::f32;
  for (i64 j = range.columnBegin; j < range.columnEnd; j += kBlockColumns) {
    // In pairs: panels of gates, then those of their ups.
    const i64 halves = p.end.hidden == nullptr ? 1 : 2;
    const ColumnPanels columns(minOf(kBlockColumns, range.columnEnd - j) / halves);
    const i64 numPanels = halves * columns.count;
    const i64 left = j / halves;
    const float* made = static_cast<const float*>(p.b.data) + j * p.k;  // if made ahead
    for (i64 k = 0; k < p.k; k += kDepth) {
      const i64 depth = minOf(kDepth, p.k - k);
      for (i64 half = 0; half < halves && !p.b.isPacked; half++) {
        packBlock(packedB + half * columns.packed(columns.count) * depth, columns, p.b,
                  left + half * p.end.width, k, depth);
      }
      for (i64 group = 0; group < groups; group++) {
        const i64 first = groupAt(group);
        const i64 end = groupAt(group + 1);
        const RowPanels rows(end - first);
        packBlock(packedA, rows, p.a, first, k, depth);
        for (i64 panel = 0; panel < rows.count; panel++) {
          const i64 i = first + rows.begin(panel);
          const i64 height = rows.height(panel);
          for (i64 q = 0; q < numPanels; q++) {
            const bool isUp = q >= columns.count;
            const i64 own = isUp ? q - columns.count : q;
            const i64 column = left + columns.begin(own) + (isUp ? p.end.width : 0);
            const i64 width = columns.width(own);
            const float* b = p.b.isPacked ? made + columns.packed(q) * p.k + k * width
                                          : packedB + columns.packed(q) * depth;
            TileArgs<float> tile = {packedA + rows.packed(panel) * depth, b, width, depth,
                                    p.out + i * p.outStride + column, p.outStride,
                                    columns.height(own), p.accumulate || k > 0, nullptr};
            if (fetchesRows && end + height <= range.rowEnd) {
              tile.ahead[0] = rowsAhead(p.a, end, height, k, q, numPanels);
            }
            if (p.b.isPacked && k + depth == p.k && j + kBlockColumns < range.columnEnd) {
              const i64 floats = minOf(kBlockColumns, range.columnEnd - j - kBlockColumns) * p.k;
              tile.ahead[1] = memoryAhead(made + kBlockColumns * p.k, floats, depth,
                                          group * numPanels + q, groups * numPanels);
            }
            tileFor<float>(height, width / kLanes)(tile);
          }
          if (p.end.width > 0 && k + depth == p.k) {
            finishRows(p, i, i + height, left, left + columns.columns);
          }
        }
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
  if (p.b.isPacked || !hasFewRows(p)) return multiplyPacked(p, range, scratch);
  const i64 halves = p.end.hidden == nullptr ? 1 : 2;
  const i64 begin = range.columnBegin / halves;
  const i64 end = range.columnEnd / halves;
  for (i64 half = 0; half < halves; half++) {
    const i64 offset = half * p.end.width;
    multiplyFewRows(p, {range.rowBegin, range.rowEnd, offset + begin, offset + end}, scratch);
  }
  if (p.end.width > 0) finishRows(p, range.rowBegin, range.rowEnd, begin, end);
}

// All of a product on this thread.
void multiply(const Product& p, float* scratch) { multiplyRange(p, {0, p.m, 0, p.n}, scratch); }

}  // namespace
}  // namespace moebius
