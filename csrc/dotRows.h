// Dot products of a few rows with many rows of weights, read once where they lie: decoding.
//
//   result(i, r) = Σ_k x(i, k) · w(r, k)        i < 64 rows of activations, r in a range
//
// Bytes: w once; FLOPs: 2 per element of w and row of x; bound by the memory w is in up to about
// four rows. How rows follow each other: dotStreams.h.
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
// Which code of a group stands in lane i of vector j.
template <class T>
constexpr i64 groupPlace(i64 j, i64 i) {
  return isListed<T> ? f8NormalPlace(j, i) : f8GroupPlace(j, i);
}
// Where the activation stands that meets a column: the other way round.
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

// Rows of x as dotBlock reads them.
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

// x as it is, or its elements in the order of the codes they will meet (groupPlace).
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

constexpr i64 kBytesAhead = 512;

template <bool isCareful, class T>
MOEBIUS_INLINE void widenStep(const T* p, vf* w, F8Codes& largest) {
  // A core waits with few lines on the way: half a dozen instructions and more hang on each, and
  // fill the list of those that wait. A prefetch waits for nobody.
  const char* bytes = reinterpret_cast<const char*>(p);
  MOEBIUS_UNROLL
  for (i64 line = 0; line < kStep<T> * i64(sizeof(T)); line += 64) {
    prefetch(bytes + kBytesAhead + line);
  }
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

// What a listed code stands for: subnormals are multiples of 2^-9, NaN is the only other.
MOEBIUS_INLINE float specialValue(u32 entry) {
  const bool isNaN = (entry & 0x7f) == 0x7f;
  const float magnitude = isNaN ? __builtin_nanf("") : float(i32(entry & 7)) * 0x1p-9f;
  return (entry & 0x80) != 0 ? -magnitude : magnitude;
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
    const float weight = specialValue(entry) * scales[column / kFp8Block];
    for (i64 i = 0; i < count; i++) {
      const float* x = in.data + minOf(row + i, in.count - 1) * in.stride;
      results[i * width] = __builtin_fmaf(x[listedPlace(column)] * (1 / kListedLift), weight,
                                          results[i * width]);
    }
  }
}

// What a step of the streams may give: R rows times C streams.
constexpr i64 kStepResults = 16;

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
