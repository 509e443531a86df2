// Panels for the tiles of gemm.h: `width` consecutive indices for every k, one k after the other.
//
//   to[k · width + i] = source(first + i, k)      i < height ≤ width; lanes beyond are arbitrary
//
// Widths are whole vectors, so that every store is. Bytes: one read and one write of the block; 0.3
// cycles per element from near caches, so it must be used for a dozen rows to be worth making.
#pragma once
#include "narrow.h"

namespace moebius {
namespace {

// A tile is kTileRows × (kTileVectors · kLanes), as large as the registers allow: 28 + 3 of
// AVX-512's 32, 12 + 3 of AVX2's and SSE2's 16, 24 + 5 of NEON's 32. Its width divides kFp8Block.
#if MOEBIUS_LANES == 16
constexpr int kTileRows = 14;
constexpr int kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 6;
constexpr int kTileVectors = 4;
#else
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;
#endif
constexpr i64 kTileColumns = kTileVectors * kLanes;
constexpr i64 kRowPanelWidth = (kTileRows + kLanes - 1) / kLanes * kLanes;

constexpr i64 kFp8Block = 128;  // rows and columns that share a scale
static_assert(kFp8Block % kTileColumns == 0);

// One factor of a product: element (index, k) for index < count, k < depth.
struct Source {
  const void* data;
  i64 stride;   // elements from one stored row to the next
  i64 count, depth;
  bool alongK;  // stored rows run along k (else along the index)
  DType dtype;
  const float* scales;  // f8 only, or null: one per 128 × 128 block of the stored matrix
  i64 scaleStride;
  i64 firstRow;  // of the stored matrix, when data points into it: where scales are counted from
  bool isPacked = false;  // data are panels of all of k, made ahead (packAhead)
  SpecialCodes specials = {nullptr, nullptr};  // f8 only; begins is that of the first row
  i64 firstColumn = 0;  // of the stored matrix: where columns of specials are counted from
};

Source sourceOf(const AnyMatrix& m, bool alongK) {
  const i64 count = alongK ? m.rows : m.columns;
  return {m.data, m.stride, count, alongK ? m.columns : m.rows, alongK, m.dtype, nullptr, 0, 0};
}
Source sourceOf(const Weights& w, bool alongK) {
  Source source = sourceOf(w.values, alongK);
  source.scales = w.scales.data;
  source.scaleStride = w.scales.stride;
  source.specials = w.specials;
  return source;
}
Source sourceOf(const float* data, i64 stride, i64 count, i64 depth, bool alongK) {
  return {data, stride, count, depth, alongK, DType::f32, nullptr, 0, 0};
}

AnyMatrix someRows(AnyMatrix m, i64 first, i64 rows) {
  m.data = static_cast<u8*>(m.data) + first * m.stride * bytesOf(m.dtype);
  m.rows = rows;
  return m;
}
// One of the matrices of a stack, which have `rows` rows each and scales of their own.
Weights entryOf(const Weights& stack, i64 index, i64 rows) {
  Weights entry = {someRows(stack.values, index * rows, rows), stack.scales, stack.specials};
  if (stack.scales) entry.scales.data = stack.scales.row(index * ceilDiv(rows, kFp8Block));
  if (stack.specials.begins != nullptr) entry.specials.begins += index * rows;
  return entry;
}
// Rows within a matrix, whose scales go on being counted from its first.
Source sourceOfRows(const Weights& w, i64 first, i64 rows, bool alongK) {
  Source source = sourceOf(Weights{someRows(w.values, first, rows), w.scales, w.specials}, alongK);
  source.firstRow = first;
  if (w.specials.begins != nullptr) source.specials.begins += first;
  return source;
}

// f8 codes that are meant as they are; F8 itself comes with scales.
struct F8Code {
  u8 code;
};
MOEBIUS_INLINE vf widen(const F8Code* p) { return floatFromF8(load(&p->code)); }
MOEBIUS_INLINE vf widenPart(const F8Code* p, i64 n) { return floatFromF8(loadPart(&p->code, n)); }

template <class T>
constexpr bool isScaled = false;
template <>
constexpr bool isScaled<F8> = true;
template <>
constexpr bool isScaled<F8Listed> = true;

// The scale of a stored element, f8's unit included: to be multiplied with widenUnscaled.
MOEBIUS_INLINE float scaleAt(const Source& s, i64 row, i64 column) {
  return s.scales[(s.firstRow + row) / kFp8Block * s.scaleStride + column / kFp8Block] * kF8Unit;
}
template <class T>
MOEBIUS_INLINE vf widenUnscaled(const T* p) {
  return widen(p);
}
MOEBIUS_INLINE vf widenUnscaled(const F8* p) { return f8OverUnit(load(&p->code)); }
template <class T>
MOEBIUS_INLINE vf widenUnscaledPart(const T* p, i64 count) {
  return widenPart(p, count);
}
MOEBIUS_INLINE vf widenUnscaledPart(const F8* p, i64 n) {
  return f8OverUnit(loadPart(&p->code, n));
}

// Stored rows along k: up to kLanes of them become lanes; for those that are not there, the last.
template <class T>
MOEBIUS_INLINE void packTransposed(float* to, i64 width, const Source& s, i64 first, i64 rows,
                                   i64 k, i64 depth) {
  const T* data = static_cast<const T*>(s.data) + first * s.stride + k;
  const i64 lastRow = (rows - 1) * s.stride;
  i64 done = 0;
  for (; done + kLanes <= depth; done += kLanes) {
    vf block[kLanes];
    MOEBIUS_UNROLL
    for (int r = 0; r < kLanes; r++) {
      block[r] = widenUnscaled(data + minOf(r * s.stride, lastRow) + done);
      if constexpr (isScaled<T>) {
        block[r] = block[r] * splat(scaleAt(s, first + minOf<i64>(r, rows - 1), k + done));
      }
    }
    transpose(block);
    MOEBIUS_UNROLL
    for (int j = 0; j < kLanes; j++) store(to + (done + j) * width, block[j]);
  }
  for (; done < depth; done++) {
    for (i64 r = 0; r < rows; r++) {
      float value = widenUnscaledPart(data + r * s.stride + done, 1)[0];
      if constexpr (isScaled<T>) value *= scaleAt(s, first + r, k + done);
      to[done * width + r] = value;
    }
  }
}

// Panels of a block: `height(p)` indices from `begin(p)` on, each `width(p)` wide when packed;
// those before it take `packed(p)` floats for every k.
//
// Rows are cut evenly (to within one), not into full panels and a rest: 64 rows as 13 + 13 + 13 +
// 13 + 12 keep the multipliers busier than 14 × 4 + 8.
constexpr i64 kMaxRowPanels = MOEBIUS_LANES == 16 ? 8 : 24;
constexpr i64 kPanelsAtOnce = 4;  // whose rows are dealt out together

struct RowPanels {
  static constexpr i64 kWidth = kRowPanelWidth;
  i64 rows, count;
  i64 begins[kMaxRowPanels + 1];  // kept, because dividing again costs as much as packing a row
  explicit RowPanels(i64 rows) : rows(rows), count(ceilDiv(rows, kTileRows)) {
    for (i64 p = 0; p <= count; p++) begins[p] = rows * p / count;
  }
  i64 begin(i64 panel) const { return begins[panel]; }
  i64 height(i64 panel) const { return begins[panel + 1] - begins[panel]; }
  static i64 width(i64) { return kRowPanelWidth; }
  static i64 packed(i64 panel) { return panel * kRowPanelWidth; }
};
struct ColumnPanels {
  static constexpr i64 kWidth = kTileColumns;
  i64 columns, count;
  explicit ColumnPanels(i64 columns) : columns(columns), count(ceilDiv(columns, kTileColumns)) {}
  static i64 begin(i64 panel) { return panel * kTileColumns; }
  i64 height(i64 panel) const { return minOf(kTileColumns, columns - begin(panel)); }
  i64 width(i64 panel) const { return ceilDiv(height(panel), kLanes) * kLanes; }
  static i64 packed(i64 panel) { return panel * kTileColumns; }
};

// Where panels go: `depth` steps of k lie in one, of which those from `first` on are made now.
struct Place {
  i64 depth;
  i64 first = 0;
  template <class Panels>
  i64 of(const Panels& panels, i64 p) const {
    return panels.packed(p) * depth + first * panels.width(p);
  }
};

// Short pieces of rows a page or more apart are nothing the hardware would fetch ahead.
constexpr i64 kRowsAhead = 24;

// kPanels whole panels of kVectors each, of rows that lie as they are wanted.
template <class T, int kPanels, int kVectors>
MOEBIUS_INLINE void packWhole(float* const (&to)[kPanels], const T* const (&from)[kPanels],
                              i64 stride, i64 depth) {
  constexpr i64 kWidth = kVectors * kLanes;
  for (i64 d = 0; d < depth; d++) {
    MOEBIUS_UNROLL
    for (int p = 0; p < kPanels; p++) {
      MOEBIUS_UNROLL
      for (int v = 0; v < kVectors; v++) {
        const T* row = from[p] + d * stride + v * kLanes;
        prefetch(row + kRowsAhead * stride);
        store(to[p] + d * kWidth + v * kLanes, widen(row));
      }
    }
  }
}

// Stored rows along the index, dealt out to a few panels at once: with more of them the places
// written to, whole pages apart, would push each other out of the first cache. Vectors are read
// beyond a panel's height, but not beyond the end of the matrix.
template <class T, class Panels>
MOEBIUS_INLINE void packStraight(float* to, const Panels& panels, i64 panelBegin, i64 panelEnd,
                                 const Source& s, i64 first, i64 k, i64 depth, const Place& place) {
  const i64 reach = panels.begin(panelEnd - 1) + panels.width(panelEnd - 1);
  constexpr i64 kWidth = Panels::kWidth;
  if constexpr (!isScaled<T>) {
    const bool areWhole = panelEnd - panelBegin == kPanelsAtOnce &&
                          panels.width(panelEnd - 1) == kWidth &&
                          reach <= s.count - first;
    if (areWhole) {
      float* targets[kPanelsAtOnce];
      const T* rows[kPanelsAtOnce];
      MOEBIUS_UNROLL
      for (int p = 0; p < kPanelsAtOnce; p++) {
        targets[p] = to + place.of(panels, panelBegin + p);
        rows[p] =
            static_cast<const T*>(s.data) + k * s.stride + first + panels.begin(panelBegin + p);
      }
      return packWhole<T, kPanelsAtOnce, kWidth / kLanes>(targets, rows, s.stride, depth);
    }
  }
  for (i64 d = 0; d < depth; d++) {
    const T* row = static_cast<const T*>(s.data) + (k + d) * s.stride + first;
    // Elements from here to the end of the matrix.
    const i64 remaining = (s.depth - k - d - 1) * s.stride + s.count - first;
    const auto deal = [&](const auto& get) {
      for (i64 p = panelBegin; p < panelEnd; p++) {
        const i64 begin = panels.begin(p);
        const i64 width = panels.width(p);
        float* out = to + place.of(panels, p) + d * width;
        for (i64 i = 0; i < width; i += kLanes) {
          vf values = get(begin + i);
          if constexpr (isScaled<T>) {
            values = values * splat(scaleAt(s, k + d, first + begin + i));
          }
          store(out + i, values);
        }
      }
    };
    if (reach <= remaining) {
      deal([&](i64 i) {
        prefetch(row + i + kRowsAhead * s.stride);
        return widenUnscaled(row + i);
      });
    } else {
      deal([&](i64 i) {
        const i64 count = minOf<i64>(maxOf<i64>(remaining - i, 0), kLanes);
        return count == kLanes ? widenUnscaled(row + i) : widenUnscaledPart(row + i, count);
      });
    }
  }
}

// All panels of a block whose first index is `first`, one behind the other.
template <class T, class Panels>
MOEBIUS_NOINLINE void packBlockOf(float* to, const Panels& panels, const Source& s, i64 first,
                                  i64 k, i64 depth, Place place) {
  if (!s.alongK) {
    for (i64 p = 0; p < panels.count; p += kPanelsAtOnce) {
      packStraight<T>(to, panels, p, minOf(p + kPanelsAtOnce, panels.count), s, first, k, depth,
                      place);
    }
    return;
  }
  for (i64 p = 0; p < panels.count; p++) {
    const i64 begin = panels.begin(p);
    const i64 rows = panels.height(p);
    float* out = to + place.of(panels, p);
    for (i64 g = 0; g < rows; g += kLanes) {
      packTransposed<T>(out + g, panels.width(p), s, first + begin + g,
                        minOf<i64>(kLanes, rows - g), k, depth);
    }
  }
}

void packBlock(float* to, const RowPanels& panels, const Source& s, i64 first, i64 k, i64 depth) {
  // Left factors are activations: f32, or codes for fp8Matmul.
  if (s.dtype == DType::f32) return packBlockOf<float>(to, panels, s, first, k, depth, {depth});
  packBlockOf<F8Code>(to, panels, s, first, k, depth, {depth});
}

void packBlock(float* to, const ColumnPanels& panels, const Source& s, i64 first, i64 k, i64 depth,
               const Place& place) {
  if (s.dtype == DType::f8e4m3 && s.scales == nullptr) {
    return packBlockOf<F8Code>(to, panels, s, first, k, depth, place);
  }
  forWeightType(s.dtype, [&]<class T>(const T*) {
    packBlockOf<T>(to, panels, s, first, k, depth, place);
  });
}
void packBlock(float* to, const ColumnPanels& panels, const Source& s, i64 first, i64 k,
               i64 depth) {
  packBlock(to, panels, s, first, k, depth, {depth});
}

// Panels for many products with one right factor: kTileColumns indices after another, all of k.
inline i64 packedFloats(const Source& s) {
  return ceilDiv(s.count, kTileColumns) * kTileColumns * s.depth;
}
// Of those the steps of k from kBegin to kEnd.
void packAhead(float* to, const Source& s, i64 kBegin, i64 kEnd) {
  packBlock(to, ColumnPanels(s.count), s, 0, kBegin, kEnd - kBegin, {s.depth, kBegin});
}
// Rows along k are cut like panels are, rows along the index by k: they are read as they lie.
inline void packOverThreads(const Context& context, float* to, const Source& s) {
  if (!s.alongK) {
    parallelFor(context, s.depth, grainFor(2 * s.count), [&](i64 begin, i64 end, int) {
      packAhead(to, s, begin, end);
    });
    return;
  }
  parallelFor(context, ceilDiv(s.count, kTileColumns), grainFor(2 * kTileColumns * s.depth),
              [&](i64 begin, i64 end, int) {
    const i64 first = begin * kTileColumns;
    const ColumnPanels panels(minOf(end * kTileColumns, s.count) - first);
    packBlock(to + first * s.depth, panels, s, first, 0, s.depth);
  });
}
inline Source packedSource(const float* panels, const Source& s) {
  return {panels, 0, s.count, s.depth, false, DType::f32, nullptr, 0, 0, true};
}

}  // namespace
}  // namespace moebius
