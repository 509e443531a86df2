// What the attentions are built from: register-tiled products whose vector lanes are *queries*.
//
// Scores are held transposed, S[key][query], so that the running maximum and sum of a softmax are
// element-wise over vectors: no horizontal reduction anywhere. Both factors of every product keep
// their natural order: one is read a vector of queries at a time, of the other each number is
// broadcast from memory (free on AVX-512, one load per kScoreVectors FMAs elsewhere).
//
//     lanes   [depth][queries]           queries (or output gradients), turned once per block
//     panels  [panel][kKeys][kPanel]     keys (or values) of one key block, copied: columns
//                                        64·panel … of every key; a constant row stride
//
//     S[key][query]      = Σ_d  panels[key][d] · lanes[d][query]         productByRows
//     O[column][query]  += Σ_key panels[key][column] · P[key][query]     productByColumns
//     dK[key][column]   += Σ_q  dS[key][query] · rows[query][column]     productByQueries
//
// A tile holds kScoreRows × kScoreVectors accumulators: 24 FMAs per 11 loads on AVX-512 (93 % of
// the FMA peak measured at 48-wide keys), 12 per 7 on AVX2.
#pragma once
#include "rows.h"
#include "rowsAhead.h"
#include "vmath.h"

namespace moebius {
namespace {

#if MOEBIUS_LANES == 16 || defined(__aarch64__)  // 32 vector registers
constexpr int kScoreRows = 8;
constexpr int kScoreVectors = 3;
#elif MOEBIUS_LANES == 8  // 16
constexpr int kScoreRows = 4;
constexpr int kScoreVectors = 3;
#else  // 16, and a product needs one more where it is not fused
constexpr int kScoreRows = 4;
constexpr int kScoreVectors = 2;
#endif
constexpr int kKeys = 64;   // per key block; a multiple of twice kScoreRows
constexpr int kPanel = 64;  // columns per panel; likewise

// One vector of queries leaves too few accumulators to cover an FMA's latency: take more rows.
template <int kVectors>
constexpr int scoreRows() {
  return kVectors == 1 ? 2 * kScoreRows : kScoreRows;
}

constexpr int roundUp(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }
constexpr int panelsFor(int columns) { return (columns + kPanel - 1) / kPanel; }
constexpr int paddedColumns(int columns) { return panelsFor(columns) * kPanel; }
constexpr i64 panelFloats(int columns) { return i64(panelsFor(columns)) * kKeys * kPanel; }

// Deals out scratch by whole cache lines; over a null memory it only counts.
struct Floats {
  float* memory;
  i64 taken = 0;
  float* operator()(i64 count) {
    float* part = memory + taken;
    taken += (count + 15) / 16 * 16;
    return part;
  }
};

// body(task, prepare(thread), next) for every task, handed out one at a time: causal blocks differ
// too much in work for a static split. Tasks are independent: who runs one changes nothing in its
// result. `next()` is the task that this thread does next, `tasks` or more if none: a thread that
// asks, to fetch ahead, takes it.
template <class Prepare, class Body>
void forTasks(const Context& context, i64 tasks, const Prepare& prepare, const Body& body) {
  if (tasks <= 0) return;
  i64 next = 0;
  parallelFor(context, minOf<i64>(context.threads, tasks), 1, [&](i64 thread, i64, int) {
    auto scratch = prepare(int(thread));
    const auto take = [&] { return __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED); };
    for (i64 task = take(); task < tasks;) {
      i64 taken = -1;
      body(task, scratch, [&] { return taken = taken < 0 ? take() : taken; });
      task = taken < 0 ? take() : taken;
    }
  });
}

// acc[i][j] += Σ_k a[i·kRowStride + k·kStep] · b[k·bStride + j·kLanes …]
template <int kRows, int kVectors, int kRowStride, int kStep>
MOEBIUS_INLINE void multiplyAdd(vf (&acc)[kRows][kVectors], const float* a, const float* b,
                                i64 bStride, int depth) {
  for (int k = 0; k < depth; k++, a += kStep, b += bStride) {
    vf right[kVectors];
    MOEBIUS_UNROLL
    for (int j = 0; j < kVectors; j++) right[j] = load(b + j * kLanes);
    MOEBIUS_UNROLL
    for (int i = 0; i < kRows; i++) {
      const vf left = splat(a[i * kRowStride]);
      MOEBIUS_UNROLL
      for (int j = 0; j < kVectors; j++) acc[i][j] = fma(left, right[j], acc[i][j]);
    }
  }
}

template <int kRows, int kVectors>
MOEBIUS_INLINE void clearTile(vf (&acc)[kRows][kVectors]) {
  MOEBIUS_UNROLL
  for (int i = 0; i < kRows; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < kVectors; j++) acc[i][j] = zero();
  }
}

template <int kRows, int kVectors>
MOEBIUS_INLINE void loadTile(vf (&acc)[kRows][kVectors], const float* from, i64 stride) {
  MOEBIUS_UNROLL
  for (int i = 0; i < kRows; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < kVectors; j++) acc[i][j] = load(from + i * stride + j * kLanes);
  }
}

template <int kRows, int kVectors>
MOEBIUS_INLINE void storeTile(float* to, i64 stride, const vf (&acc)[kRows][kVectors]) {
  MOEBIUS_UNROLL
  for (int i = 0; i < kRows; i++) {
    MOEBIUS_UNROLL
    for (int j = 0; j < kVectors; j++) store(to + i * stride + j * kLanes, acc[i][j]);
  }
}

// Which keys of a block the queries of a tile see, by vector of queries. Rows (keys) at `end` and
// beyond are hidden from the whole vector, and are neither computed nor read; rows below `whole`
// are seen by all of it; between the two a mask decides. `end` never falls from vector to vector.
template <int kVectors>
struct Visible {
  int whole[kVectors];
  int end[kVectors];  // multiples of scoreRows<kVectors>()
};

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

// body(Constant<j>, from, to) for the runs of rows that vectors j … kVectors - 1 see.
template <int kVectors, int kFirst = 0, class Body>
MOEBIUS_INLINE void forVisible(const Visible<kVectors>& visible, const Body& body) {
  if constexpr (kFirst < kVectors) {
    const int from = kFirst == 0 ? 0 : visible.end[maxOf(kFirst - 1, 0)];
    if (from < visible.end[kFirst]) body(Constant<kFirst>(), from, visible.end[kFirst]);
    forVisible<kVectors, kFirst + 1>(visible, body);
  }
}

// out[row][queries] = panels · lanes for the visible rows. `between` is called with every tile.
template <int kVectors, class Between = NothingAhead>
void productByRows(float* out, const float* panels, const float* lanes, int depth,
                   const Visible<kVectors>& visible, Between&& between = {}) {
  constexpr int kRows = scoreRows<kVectors>();
  constexpr int kStride = kVectors * kLanes;
  forVisible(visible, [&](auto first, int from, int to) {
    constexpr int kFirst = decltype(first)::value;
    for (int row = from; row < to; row += kRows) {
      between();
      vf acc[kRows][kVectors - kFirst];
      clearTile(acc);
      for (int d = 0; d < depth; d += kPanel) {
        multiplyAdd<kRows, kVectors - kFirst, kPanel, 1>(
            acc, panels + i64(d) * kKeys + row * kPanel,
            lanes + i64(d) * kStride + kFirst * kLanes, kStride, minOf(kPanel, depth - d));
      }
      storeTile(out + row * kStride + kFirst * kLanes, kStride, acc);
    }
  });
}

// out[column][queries] = factor · out + panelsᵀ · lanes over the visible rows; columns are rounded
// up to whole tiles (panels are zero there). `factor` is one number per query.
template <int kVectors, class Between = NothingAhead>
void productByColumns(float* out, const vf (&factor)[kVectors], const float* panels,
                      const float* lanes, int columns, const Visible<kVectors>& visible,
                      Between&& between = {}) {
  constexpr int kRows = scoreRows<kVectors>();
  constexpr int kStride = kVectors * kLanes;
  for (int column = 0; column < columns; column += kRows) {
    between();
    float* tile = out + i64(column) * kStride;
    const float* panel = panels + i64(column / kPanel) * kKeys * kPanel + column % kPanel;
    bool isFirst = true;
    forVisible(visible, [&](auto first, int from, int to) {
      constexpr int kFirst = decltype(first)::value;
      vf acc[kRows][kVectors - kFirst];
      loadTile(acc, tile + kFirst * kLanes, kStride);
      if (isFirst) {
        MOEBIUS_UNROLL
        for (int i = 0; i < kRows; i++) {
          MOEBIUS_UNROLL
          for (int j = kFirst; j < kVectors; j++) acc[i][j - kFirst] *= factor[j];
        }
        isFirst = false;
      }
      multiplyAdd<kRows, kVectors - kFirst, 1, kPanel>(
          acc, panel + from * kPanel, lanes + from * kStride + kFirst * kLanes, kStride, to - from);
      storeTile(tile + kFirst * kLanes, kStride, acc);
    });
  }
}

// out[row][column] += Σ_query lanes[row][query] · rows[query][column] for the visible rows; all of
// `columns` is whole vectors, and rows of `out` and `rows` are that many floats apart.
template <int kVectors, int kColumnVectors>
MOEBIUS_INLINE void productByQueriesStrip(float* out, const float* lanes, const float* rows,
                                          i64 columns, const Visible<kVectors>& visible) {
  constexpr int kRows = scoreRows<kVectors>();
  constexpr int kStride = kVectors * kLanes;
  forVisible(visible, [&](auto first, int from, int to) {
    constexpr int kSkipped = decltype(first)::value * kLanes;  // queries before these rows
    for (int row = from; row < to; row += kRows) {
      vf acc[kRows][kColumnVectors];
      loadTile(acc, out + row * columns, columns);
      multiplyAdd<kRows, kColumnVectors, kStride, 1>(acc, lanes + row * kStride + kSkipped,
                                                     rows + kSkipped * columns, columns,
                                                     kStride - kSkipped);
      storeTile(out + row * columns, columns, acc);
    }
  });
}

template <int kVectors>
void productByQueries(float* out, const float* lanes, const float* rows, i64 columns,
                      const Visible<kVectors>& visible) {
  for (i64 column = 0; column < columns;) {
    const i64 left = (columns - column) / kLanes;
    // Three wide or, since a tile one wide is the slowest, two and two of the last four.
    const int wide = left >= 5 || left == 3 ? minOf(3, kScoreVectors) : left >= 2 ? 2 : 1;
    if (wide == 3) {
      productByQueriesStrip<kVectors, kScoreVectors>(out + column, lanes, rows + column, columns,
                                                    visible);
    } else if (wide == 2) {
      productByQueriesStrip<kVectors, 2>(out + column, lanes, rows + column, columns, visible);
    } else {
      productByQueriesStrip<kVectors, 1>(out + column, lanes, rows + column, columns, visible);
    }
    column += wide * kLanes;
  }
}

// Rows of `columns` numbers into panel columns from `firstColumn`.
inline void packPanels(float* panels, int firstColumn, const float* rows, i64 stride, int count,
                       int columns) {
  for (int from = 0; from < columns;) {
    const int column = firstColumn + from;
    const int width = minOf(columns - from, kPanel - column % kPanel);
    float* to = panels + i64(column / kPanel) * kKeys * kPanel + column % kPanel;
    for (int row = 0; row < count; row++) {
      const float* source = rows + row * stride + from;
      float* target = to + row * kPanel;
      int i = 0;
      for (; i + kLanes <= width; i += kLanes) store(target + i, load(source + i));
      for (; i < width; i++) target[i] = source[i];
    }
    from += width;
  }
}

// Turning rows into lanes goes by blocks of 4 × 4, on every width alike.
typedef float v4 __attribute__((vector_size(16)));

MOEBIUS_INLINE v4 load4(const float* p) {
  v4 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
MOEBIUS_INLINE void store4(float* p, v4 v) { __builtin_memcpy(p, &v, sizeof v); }

MOEBIUS_INLINE void turn4(v4 (&r)[4]) {
  const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const v4 b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const v4 c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const v4 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

// lanes[column][query] = factor · rows[query][column] for `count` of `width` queries; others zero.
// Columns of lanes are `laneStride` apart, `width` if not given.
inline void toLanes(float* lanes, int width, const float* rows, i64 stride, int count, int columns,
                    float factor, int laneStride = 0) {
  if (laneStride == 0) laneStride = width;
  int q = 0;
  for (; q + 4 <= count; q += 4) {
    const float* row = rows + q * stride;
    int d = 0;
    for (; d + 4 <= columns; d += 4) {
      v4 r[4] = {load4(row + d), load4(row + stride + d), load4(row + 2 * stride + d),
                 load4(row + 3 * stride + d)};
      turn4(r);
      for (int i = 0; i < 4; i++) store4(lanes + i64(d + i) * laneStride + q, r[i] * factor);
    }
    for (; d < columns; d++) {
      for (int i = 0; i < 4; i++) lanes[i64(d) * laneStride + q + i] = row[i * stride + d] * factor;
    }
  }
  for (; q < width; q++) {
    for (int d = 0; d < columns; d++) {
      lanes[i64(d) * laneStride + q] = q < count ? rows[q * stride + d] * factor : 0.0f;
    }
  }
}

// rows[query][column] (+)= factor[query] · lanes[column][query]
template <bool kAdds>
inline void fromLanes(float* rows, i64 stride, const float* lanes, int width, const float* factor,
                      int count, int columns) {
  const auto put = [&](int q, int d) {
    const float value = lanes[i64(d) * width + q] * factor[q];
    float& target = rows[q * stride + d];
    target = kAdds ? target + value : value;
  };
  int q = 0;
  for (; q + 4 <= count; q += 4) {
    float* row = rows + q * stride;
    int d = 0;
    for (; d + 4 <= columns; d += 4) {
      v4 r[4];
      for (int i = 0; i < 4; i++) r[i] = load4(lanes + i64(d + i) * width + q);
      turn4(r);
      for (int i = 0; i < 4; i++) {
        const v4 value = r[i] * factor[q + i];
        float* target = row + i * stride + d;
        store4(target, kAdds ? load4(target) + value : value);
      }
    }
    for (; d < columns; d++) {
      for (int i = 0; i < 4; i++) put(q + i, d);
    }
  }
  for (; q < count; q++) {
    for (int d = 0; d < columns; d++) put(q, d);
  }
}

// S[key][query] = -∞ where the key, counted from `firstKey`, lies at or beyond the query's limit.
template <int kVectors>
void hideKeys(float* scores, int firstKey, const i32* limits, const Visible<kVectors>& visible) {
  constexpr int kStride = kVectors * kLanes;
  for (int j = 0; j < kVectors; j++) {
    const vi limit = load(limits + j * kLanes);
    for (int row = visible.whole[j]; row < visible.end[j]; row++) {
      float* s = scores + row * kStride + j * kLanes;
      store(s, select(limit > firstKey + row, load(s), splat(kMinusInfinity)));
    }
  }
}

// The running softmax of one block: scores become probabilities against the new maximum, and
// `rescale` is what sums gathered so far must be multiplied with. Scores are in units of log 2.
template <int kVectors>
void softmaxBlock(float* scores, float* maxima, float* sums, vf (&rescale)[kVectors],
                  const Visible<kVectors>& visible) {
  constexpr int kStride = kVectors * kLanes;
  vf m[kVectors];
  vf total[kVectors];
  MOEBIUS_UNROLL
  for (int j = 0; j < kVectors; j++) m[j] = load(maxima + j * kLanes);
  forVisible(visible, [&](auto first, int from, int to) {
    for (int row = from; row < to; row++) {
      MOEBIUS_UNROLL
      for (int j = decltype(first)::value; j < kVectors; j++) {
        m[j] = vmax(load(scores + row * kStride + j * kLanes), m[j]);
      }
    }
  });
  MOEBIUS_UNROLL
  for (int j = 0; j < kVectors; j++) {
    const vf before = load(maxima + j * kLanes);
    store(maxima + j * kLanes, m[j]);
    // A query that sees no key yet has no maximum; against 0 its probabilities are zero, not NaN.
    m[j] = select(m[j] == splat(kMinusInfinity), zero(), m[j]);
    rescale[j] = exp2Negative(before - m[j]);
    total[j] = load(sums + j * kLanes) * rescale[j];
  }
  forVisible(visible, [&](auto first, int from, int to) {
    for (int row = from; row < to; row++) {
      MOEBIUS_UNROLL
      for (int j = decltype(first)::value; j < kVectors; j++) {
        float* s = scores + row * kStride + j * kLanes;
        const vf p = exp2Negative(load(s) - m[j]);
        total[j] += p;
        store(s, p);
      }
    }
  });
  MOEBIUS_UNROLL
  for (int j = 0; j < kVectors; j++) store(sums + j * kLanes, total[j]);
}

}  // namespace
}  // namespace moebius
