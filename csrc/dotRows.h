// Dot products of a few rows with many rows of weights, read once where they lie: decoding.
//
//   result(i, r) = Σ_k x(i, k) · w(r, k)        i < 16 rows of activations, r in a range
//
// Bytes: w once; FLOPs: 2 per element of w and row of x; bound by the memory w is in up to about
// four rows. What limits a core is how many lines it has on the way, and only the prefetcher of the
// second cache keeps enough: it follows some thirty streams, one a page. So rows are read as C
// *streams* far apart, stream j running through rows begin + j·S, begin + j·S + 1, …: each is
// linear in memory, also where a row is shorter than a page. (Adjacent rows side by side reach
// 32 % of the read speed with 1 KiB rows of f8, prefetched ones 34 %, streams 60 %:
// node bench/coldRows.ts.) S is odd, so
// that streams a power of two apart do not meet in the sets of the caches.
//
// Every result is one chain over k, whatever rows it is computed with: its bits depend neither on
// the batch nor on threads, so speculative decoding verifies with the bits it drafted against.
#pragma once
#include "pack.h"

namespace moebius {
namespace {

// Rows of activations that go this way; more are worth packing the weights.
constexpr i64 kFewRows = 16;

// Partial sums held at once: R rows of x times C streams.
#if MOEBIUS_LANES == 16 || defined(__aarch64__)
constexpr int kDotSums = 16;
#else
constexpr int kDotSums = 8;
#endif
// f8 keeps twice as many: of the 128 columns that share a scale, and of all.
template <class T>
constexpr int kSums = isScaled<T> ? kDotSums / 2 : kDotSums;

// Vectors of weights per step.
template <class T>
constexpr int kStepVectors = isScaled<T> ? 4 : 2;
template <class T>
constexpr i64 kStep = kStepVectors<T> * kLanes;

template <class T>
constexpr bool isListed = false;
template <>
constexpr bool isListed<F8Listed> = true;

// Whether activations must be put in another order before they meet weights of this type.
template <class T>
constexpr bool isRegrouped = isScaled<T> && kF8Regroups;

// What scales still lack: regrouped activations carry the unit of the codes.
constexpr float kScaleUnit = kF8Regroups ? 1.0f : kF8Unit;

// The unit of normal codes, 2^120, goes to activations and results in parts: f32 holds all products
// of activations between 1e-26 and 1e14.
constexpr float kListedLift = 0x1p80f;
constexpr float kListedRest = 0x1p40f;
// Where the activation stands that meets a column.
constexpr i64 listedPlace(i64 column) {
  constexpr i64 kGroup = 4 * kLanes;
  return column / kGroup * kGroup + column % 4 * kLanes + column % kGroup / 4;
}

// Alive while products with weights of this type are computed.
template <class T>
struct DotArithmetic {
  DotArithmetic() {}
};
template <>
struct DotArithmetic<F8Listed> : F8Arithmetic {};

// body(null pointer of the type rows of w are read as).
template <class Body>
MOEBIUS_INLINE void forRowType(const Source& w, const Body& body) {
  if constexpr (kF8HasNormals) {
    if (w.dtype == DType::f8e4m3 && w.specials.begins != nullptr) {
      return body(static_cast<const F8Listed*>(nullptr));
    }
  }
  forWeightType(w.dtype, body);
}

// Rows of x as dotStreams reads them.
struct DotInput {
  const float* data;
  i64 stride;
  i64 count, depth;
};

template <class T>
i64 inputStride(i64 depth) {
  return ceilDiv(depth, kStep<T>) * kStep<T>;
}
// Floats that prepareInput may want, whatever the weights.
inline i64 inputFloats(i64 count, i64 depth) { return count * ceilDiv(depth, 64) * 64; }

// The even elements of two vectors, then the odd ones.
template <int... I>
MOEBIUS_INLINE void partEvenOdd(vf& a, vf& b, LaneList<I...>) {
  const vf even = __builtin_shufflevector(a, b, (2 * I)...);
  const vf odd = __builtin_shufflevector(a, b, (2 * I + 1)...);
  a = even;
  b = odd;
}

// Elements 4 · i + j of four vectors, for j from 0 to 3.
MOEBIUS_INLINE void partByFour(vf* group) {
  partEvenOdd(group[0], group[1], AllLanes{});
  partEvenOdd(group[2], group[3], AllLanes{});
  partEvenOdd(group[0], group[2], AllLanes{});
  partEvenOdd(group[1], group[3], AllLanes{});
}

// x as it is, or its elements in the order of the codes they will meet (f8GroupPlace).
template <class T>
DotInput prepareInput(float* memory, const float* x, i64 stride, i64 count, i64 depth) {
  if constexpr (!isRegrouped<T>) return {x, stride, count, depth};
  const i64 padded = inputStride<T>(depth);
  for (i64 i = 0; i < count; i++) {
    const float* from = x + i * stride;
    float* to = memory + i * padded;
    constexpr i64 V = isListed<T> ? 4 : 2;
    for (i64 k = 0; k < padded; k += V * kLanes) {
      vf group[V];
      for (i64 v = 0; v < V; v++) {
        const i64 left = depth - k - v * kLanes;
        group[v] = left >= kLanes ? load(from + k + v * kLanes)
                                  : loadPart(from + k + v * kLanes, maxOf<i64>(left, 0));
      }
      if constexpr (isListed<T>) {
        partByFour(group);
      } else {
        partEvenOdd(group[0], group[1], AllLanes{});
      }
      // The unit of the codes, exact as it is a power of two.
      const vf unit = splat(isListed<T> ? kListedLift : kF8Unit);
      for (i64 v = 0; v < V; v++) store(to + k + v * kLanes, group[v] * unit);
    }
  }
  return {memory, padded, count, depth};
}

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

// Sums each of kLanes / 2 vectors as sumEach does, to the same bits, with half the work.
MOEBIUS_INLINE vf sumHalf(vf* vectors) {
  const auto stage = [&]<int S, int N>(LaneList<S, N>) {
    MOEBIUS_UNROLL
    for (int i = 0; i < N; i++) {
      exchangeBlocks<S>(vectors[i], vectors[i + N], AllLanes{});
      vectors[i] = vectors[i] + vectors[i + N];
    }
  };
#if MOEBIUS_LANES >= 16
  stage(LaneList<8, 4>{});
#endif
#if MOEBIUS_LANES >= 8
  stage(LaneList<4, 2>{});
#endif
  stage(LaneList<2, 1>{});
  // Now lanes 2i and 2i + 1 have two halves of vector i.
  vf other = vectors[0];
  partEvenOdd(vectors[0], other, AllLanes{});
  return vectors[0] + other;
}

template <bool isCareful, class T>
MOEBIUS_INLINE void widenStep(const T* p, vf* w, F8Codes& largest) {
  if constexpr (isListed<T>) {
    f8NormalsOverUnit(&p->code, w);
  } else if constexpr (isScaled<T>) {
    f8GroupOverUnit<isCareful>(&p->code, w, largest);
  } else {
    w[0] = widen(p);
    w[1] = widen(p + kLanes);
  }
}

// R rows of x from `row` on times C rows of weights; where there are fewer rows of x the last is
// repeated. results[i · C + j]. With `isPaired` C rows of x, each times its own row of weights.
// Returns whether an f8 NaN was met, which only careful code minds.
template <int R, int C, class T, bool isCareful, bool isPaired = false>
MOEBIUS_NOINLINE bool dotBlock(const DotInput& in, i64 row, const T* const* w,
                               const float* const* scales, float* results) {
  constexpr bool isHalf = R * C <= kLanes / 2;
  constexpr int kPadded = isHalf ? kLanes / 2 : (R * C + kLanes - 1) / kLanes * kLanes;
  constexpr int V = kStepVectors<T>;
  vf sums[kPadded];
  MOEBIUS_UNROLL
  for (int i = 0; i < kPadded; i++) sums[i] = zero();
  constexpr int X = isPaired ? C : R;
  const float* x[X];
  for (int i = 0; i < X; i++) x[i] = in.data + minOf(row + i, in.count - 1) * in.stride;
  F8Codes largest = noF8Codes();
  vf parts[isScaled<T> ? R * C : 1];
  const auto step = [&](const float* const* xs, const T* const* ws, i64 k, vf* to) {
    MOEBIUS_UNROLL
    for (int j = 0; j < C; j++) {
      vf wide[V];
      widenStep<isCareful>(ws[j] + k, wide, largest);
      MOEBIUS_UNROLL
      for (int v = 0; v < V; v++) {
        MOEBIUS_UNROLL
        for (int i = 0; i < R; i++) {
          const vf factor = load(xs[isPaired ? j : i] + k + v * kLanes);
          to[i * C + j] = fma(factor, wide[v], to[i * C + j]);
        }
      }
    }
  };
  // The last few columns, padded with zeros.
  const auto rest = [&](i64 k, i64 count, vf* to) {
    float lastX[X][kStep<T>] = {};
    T lastW[C][kStep<T>] = {};
    const float* xs[X];
    const T* ws[C];
    for (int i = 0; i < X; i++) {
      // Regrouped rows are whole groups already.
      const i64 floats = isRegrouped<T> ? kStep<T> : count;
      for (i64 c = 0; c < floats; c++) lastX[i][c] = x[i][k + c];
      xs[i] = lastX[i];
    }
    for (int j = 0; j < C; j++) {
      for (i64 c = 0; c < count; c++) lastW[j][c] = w[j][k + c];
      ws[j] = lastW[j];
    }
    step(xs, ws, 0, to);
  };
  if constexpr (isScaled<T>) {
    for (i64 begin = 0; begin < in.depth; begin += kFp8Block) {
      const i64 end = minOf(begin + kFp8Block, in.depth);
      MOEBIUS_UNROLL
      for (int i = 0; i < R * C; i++) parts[i] = zero();
      if (end - begin == kFp8Block) {
        MOEBIUS_UNROLL
        for (i64 k = 0; k < kFp8Block; k += kStep<T>) step(x, w, begin + k, parts);
      } else {
        i64 k = begin;
        for (; k + kStep<T> <= end; k += kStep<T>) step(x, w, k, parts);
        if (k < end) rest(k, end - k, parts);
      }
      MOEBIUS_UNROLL
      for (int j = 0; j < C; j++) {
        const vf scale = splat(scales[j][begin / kFp8Block] * kScaleUnit);
        MOEBIUS_UNROLL
        for (int i = 0; i < R; i++) sums[i * C + j] = fma(parts[i * C + j], scale, sums[i * C + j]);
      }
    }
  } else {
    i64 k = 0;
    for (; k + kStep<T> <= in.depth; k += kStep<T>) step(x, w, k, sums);
    if (k < in.depth) rest(k, in.depth - k, sums);
  }
  MOEBIUS_UNROLL
  for (int i = 0; i < kPadded; i += kLanes) {
    const vf total = isHalf ? sumHalf(sums + i) : sumEach(sums + i);
    store(results + i, isListed<T> ? total * splat(kListedRest) : total);
  }
  return !isListed<T> && hasF8NaN(largest);
}

// Adds the products with listed codes of a row of w to results[i · width] for `count` rows of x
// from `row` on. One in some thousand codes is.
MOEBIUS_NOINLINE void addListed(const DotInput& in, i64 row, i64 count, const Source& w,
                                const i32* begins, const float* scales, float* results,
                                i64 width) {
  for (i64 e = begins[0]; e < begins[1]; e++) {
    const u32 entry = w.specials.entries[e];
    const i64 column = i64(entry >> 8) - w.firstColumn;
    if (column < 0 || column >= in.depth) continue;
    // Subnormals are multiples of 2^-9; NaN is the only other.
    const i32 mantissa = i32(entry & 7);
    const bool isNaN = (entry & 0x7f) == 0x7f;
    const float magnitude = isNaN ? __builtin_nanf("") : float(mantissa) * 0x1p-9f;
    const float weight = ((entry & 0x80) != 0 ? -magnitude : magnitude) * scales[column / kFp8Block];
    for (i64 i = 0; i < count; i++) {
      const float* x = in.data + minOf(row + i, in.count - 1) * in.stride;
      results[i * width] = __builtin_fmaf(x[listedPlace(column)] * (1 / kListedLift), weight,
                                          results[i * width]);
    }
  }
}

// Results of R rows and C streams.
constexpr i64 kMostResults = 16 * 2;

template <int R, int C, class T>
MOEBIUS_INLINE void dotBlockOf(const DotInput& in, i64 row, const Source& w, i64 first, i64 apart,
                               i64 last, float* results) {
  const T* rows[C];
  const float* scales[C];
  for (i64 j = 0; j < C; j++) {
    const i64 r = minOf(first + j * apart, last);
    rows[j] = static_cast<const T*>(w.data) + r * w.stride;
    if constexpr (isScaled<T>) scales[j] = w.scales + (w.firstRow + r) / kFp8Block * w.scaleStride;
  }
  if (dotBlock<R, C, T, !isScaled<T>>(in, row, rows, scales, results)) {
    dotBlock<R, C, T, true>(in, row, rows, scales, results);
  }
  if constexpr (isListed<T>) {
    for (i64 j = 0; j < C; j++) {
      const i32* begins = w.specials.begins + minOf(first + j * apart, last);
      if (begins[0] != begins[1]) [[unlikely]] {
        addListed(in, row, R, w, begins, scales[j], results + j, C);
      }
    }
  }
}

// Many products of one row each, `parts` of them: x's row p with the `rows` rows of w from
// first + p · apart on. They are the streams, so that a product of a few rows need not begin and
// end on its own; each runs through its rows from another place, or all would meet in the caches'
// sets. done(p, r, result).
template <class T, class Done>
void dotEach(const DotInput& in, const Source& w, i64 first, i64 apart, i64 parts, i64 rows,
             const Done& done) {
  constexpr int C = 8;
  constexpr i64 kTurn = 3;
  for (i64 part = 0; part < parts; part += C) {
    const i64 count = minOf<i64>(C, parts - part);
    for (i64 r = 0; r < rows; r++) {
      const T* data[C];
      const float* scales[C];
      i64 at[C];
      for (i64 j = 0; j < C; j++) {
        const i64 own = minOf(j, count - 1);
        at[j] = (r + kTurn * own) % rows;
        const i64 row = first + (part + own) * apart + at[j];
        data[j] = static_cast<const T*>(w.data) + row * w.stride;
        if constexpr (isScaled<T>) {
          scales[j] = w.scales + (w.firstRow + row) / kFp8Block * w.scaleStride;
        }
      }
      float results[kMostResults];
      if (dotBlock<1, C, T, !isScaled<T>, true>(in, part, data, scales, results)) {
        dotBlock<1, C, T, true, true>(in, part, data, scales, results);
      }
      if constexpr (isListed<T>) {
        for (i64 j = 0; j < count; j++) {
          const i32* begins = w.specials.begins + first + (part + j) * apart + at[j];
          if (begins[0] != begins[1]) [[unlikely]] {
            addListed(in, part + j, 1, w, begins, scales[j], results + j, C);
          }
        }
      }
      for (i64 j = 0; j < count; j++) done(part + j, at[j], results[j]);
    }
  }
}

// Odd where it can be.
constexpr i64 streamLength(i64 rows) { return rows > 1 && rows % 2 == 0 ? rows - 1 : rows; }

// Rows begin … end of w as C streams: visit(first, apart, count) for C rows at a time.
template <int C, class Visit>
MOEBIUS_INLINE void forStreams(i64 begin, i64 end, const Visit& visit) {
  const i64 length = streamLength((end - begin) / C);
  for (i64 s = 0; s < length; s++) visit(begin + s, length, i64(C));
  for (i64 r = begin + C * length; r < end; r += C) visit(r, i64(1), minOf<i64>(C, end - r));
}

// The first lines of all streams, asked for before x is made ready: the wait for memory at the
// beginning of a product is as long as hundreds of its steps.
template <class T>
MOEBIUS_INLINE void prefetchStreams(const Source& w, i64 begin, i64 end) {
  constexpr i64 kStreams = 8;
  constexpr i64 kLines = 4;
  const i64 apart = streamLength((end - begin) / kStreams);
  for (i64 j = 0; j < kStreams && begin + j * apart < end; j++) {
    const T* row = static_cast<const T*>(w.data) + (begin + j * apart) * w.stride;
    for (i64 line = 0; line < kLines; line++) {
      prefetch(reinterpret_cast<const char*>(row) + line * 64);
    }
  }
}

// done(row, rows, first, apart, count, results, width) for every block: results[i · width + j] is
// that of x's row + i and of w's row first + j · apart.
template <int R, class T, class Done>
void dotStreams(const DotInput& in, const Source& w, i64 begin, i64 end, const Done& done) {
  constexpr int C = maxOf(1, kSums<T> / R);
  forStreams<C>(begin, end, [&](i64 first, i64 apart, i64 count) {
    for (i64 row = 0; row < in.count; row += R) {
      float results[kMostResults];
      dotBlockOf<R, C, T>(in, row, w, first, apart, end - 1, results);
      done(row, minOf<i64>(R, in.count - row), first, apart, count, results, i64(C));
    }
  });
}

// The same for rows r and r + offset of w at once: done(…, results, others, width).
template <int R, class T, class Done>
void dotPairStreams(const DotInput& in, const Source& w, i64 offset, i64 begin, i64 end,
                    const Done& done) {
  constexpr int C = maxOf(1, minOf(8, kSums<T> / R));
  forStreams<C>(begin, end, [&](i64 first, i64 apart, i64 count) {
    for (i64 row = 0; row < in.count; row += R) {
      float results[kMostResults];
      float others[kMostResults];
      dotBlockOf<R, C, T>(in, row, w, first, apart, end - 1, results);
      dotBlockOf<R, C, T>(in, row, w, first + offset, apart, end - 1 + offset, others);
      done(row, minOf<i64>(R, in.count - row), first, apart, count, results, others, i64(C));
    }
  });
}

// Calls body(LaneList<R>) with the number of rows that are computed at once.
template <class Body>
MOEBIUS_INLINE void withRows(i64 count, const Body& body) {
  if (count == 1) return body(LaneList<1>{});
  if (count == 2) return body(LaneList<2>{});
  if (count <= 4) return body(LaneList<4>{});
  body(LaneList<8>{});
}

}  // namespace
}  // namespace moebius
