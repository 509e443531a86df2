// How dotRows.h walks through the rows of a matrix of weights.
//
// What limits a core is how many lines it has on the way, and only the prefetcher of the second
// cache keeps enough: it follows some thirty streams, one a page. So rows are read as C *streams*
// far apart, stream j running through rows begin + j·S, begin + j·S + 1, …: each is linear in
// memory, also where a row is shorter than a page (figures: docs/log.md, node bench/coldRows.ts).
// S is odd, so that streams a power of two apart do not meet in the sets of the caches.
#pragma once
#include "dotRows.h"

namespace moebius {
namespace {

// C rows of weights `apart` from each other, stepping through their streams together. Of fewer rows
// the last is repeated.
template <int C, class T>
class StreamRows {
 public:
  const T* data[C];
  const float* scales[C];
  const i32* specials[C];

  StreamRows(const Source& w, i64 first, i64 apart, i64 count)
      : w_(w), first_(first), apart_(apart), count_(count) {
    for (i64 j = 0; j < C; j++) {
      data[j] = static_cast<const T*>(w.data) + row(j) * w.stride;
      if constexpr (isListed<T>) specials[j] = w.specials.begins + row(j);
    }
    if constexpr (isScaled<T>) findScales();
  }
  void next() {
    first_++;
    for (i64 j = 0; j < C; j++) {
      data[j] += w_.stride;
      if constexpr (isListed<T>) specials[j]++;
    }
    if constexpr (isScaled<T>) {
      if (--stepsOfScales_ == 0) findScales();
    }
  }

 private:
  i64 row(i64 j) const { return first_ + minOf(j, count_ - 1) * apart_; }
  void findScales() {
    stepsOfScales_ = kFp8Block;
    for (i64 j = 0; j < C; j++) {
      const i64 stored = w_.firstRow + row(j);
      scales[j] = w_.scales + stored / kFp8Block * w_.scaleStride;
      stepsOfScales_ = minOf(stepsOfScales_, kFp8Block - stored % kFp8Block);
    }
  }
  const Source& w_;
  i64 first_, apart_, count_;
  i64 stepsOfScales_ = 0;
};

// R rows of x from `row` on times the rows that the streams stand at.
template <int R, int C, class T>
MOEBIUS_INLINE void dotStep(const DotInput& in, i64 row, const Source& w,
                            const StreamRows<C, T>& rows, float* results) {
  if (dotBlock<R, C, T, !isScaled<T>>(in, row, rows.data, rows.scales, results)) {
    dotBlock<R, C, T, true>(in, row, rows.data, rows.scales, results);
  }
  if constexpr (isListed<T>) {
    for (i64 j = 0; j < C; j++) {
      const i32* begins = rows.specials[j];
      if (begins[0] != begins[1]) [[unlikely]] {
        addListed(in, row, R, w, begins, rows.scales[j], results + j, C);
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
      float results[kStepResults];
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

// The first lines of all streams of rows begin … end, asked for during the product before: the wait
// for memory at the beginning of a product is as long as hundreds of its steps.
inline void prefetchStreams(const Source& w, i64 begin, i64 end) {
  if (!kHasPrefetch) return;
  constexpr i64 kStreams = 8;
  constexpr i64 kLines = 4;
  const i64 apart = streamLength((end - begin) / kStreams);
  const i64 row = w.stride * bytesOf(w.dtype);
  const char* bytes = static_cast<const char*>(w.data);
  for (i64 j = 0; j < kStreams && begin + j * apart < end; j++) {
    for (i64 line = 0; line < kLines; line++) {
      prefetch(bytes + (begin + j * apart) * row + line * 64);
    }
  }
}

// Results of some steps: of x's row `row` + i and of w's row first + j · apart + step at
// data[step · kStepResults + i · width + j], for i < rows, j < count, step < steps.
struct DotResults {
  const float* data;
  i64 row, rows;
  i64 first, apart, count, steps;
  i64 width;
};

// Results are handed over for so many steps at a time: what is done with them would keep the core
// from looking ahead to the next rows.
constexpr i64 kBatch = 16;
constexpr i64 kChunks = 2;  // of eight rows of x

// compute(first row of x, results) for every chunk of rows of x at each step, next() behind it, and
// done(DotResults) for every chunk of every batch.
template <int R, int C, class Compute, class Next, class Done>
MOEBIUS_INLINE void forSteps(i64 count, DotResults place, i64 steps, const Compute& compute,
                             const Next& next, const Done& done) {
  float results[kChunks * kBatch * kStepResults];
  place.width = C;
  for (i64 from = 0; from < steps; from += kBatch) {
    place.steps = minOf(kBatch, steps - from);
    for (i64 step = 0; step < place.steps; step++) {
      for (i64 row = 0; row < count; row += R) {
        compute(row, results + (row / R * kBatch + step) * kStepResults);
      }
      next();
    }
    for (i64 row = 0; row < count; row += R) {
      place.data = results + row / R * kBatch * kStepResults;
      place.row = row;
      place.rows = minOf<i64>(R, count - row);
      done(place);
    }
    place.first += place.steps;
  }
}

// Rows begin … end of w as C streams, then the rows that are left:
// visit(first, apart, count, steps).
template <int C, class Visit>
MOEBIUS_INLINE void forStreams(i64 begin, i64 end, const Visit& visit) {
  const i64 length = streamLength((end - begin) / C);
  if (length > 0) visit(begin, length, i64(C), length);
  for (i64 r = begin + C * length; r < end; r += C) {
    visit(r, i64(1), minOf<i64>(C, end - r), i64(1));
  }
}

// done(DotResults) for all rows of x and rows begin … end of w.
template <int R, class T, class Done>
void dotStreams(const DotInput& in, const Source& w, i64 begin, i64 end, const Done& done) {
  constexpr int C = maxOf(1, kSums<T> / R);
  forStreams<C>(begin, end, [&](i64 first, i64 apart, i64 count, i64 steps) {
    StreamRows<C, T> rows(w, first, apart, count);
    forSteps<R, C>(
        in.count, {nullptr, 0, 0, first, apart, count, 0, 0}, steps,
        [&](i64 row, float* results) { dotStep<R, C, T>(in, row, w, rows, results); },
        [&] { rows.next(); }, done);
  });
}

// done(DotResults) of gates, rows begin … end of w, once join(gates, ups) has been called on the
// results of each step: those of the gates, to be changed, and those of the rows `offset` behind.
template <int R, class T, class Join, class Done>
void dotPairStreams(const DotInput& in, const Source& w, i64 offset, i64 begin, i64 end,
                    const Join& join, const Done& done) {
  constexpr int C = maxOf(1, minOf(8, kSums<T> / R));
  forStreams<C>(begin, end, [&](i64 first, i64 apart, i64 count, i64 steps) {
    StreamRows<C, T> gates(w, first, apart, count);
    StreamRows<C, T> ups(w, first + offset, apart, count);
    forSteps<R, C>(
        in.count, {nullptr, 0, 0, first, apart, count, 0, 0}, steps,
        [&](i64 row, float* results) {
          float others[kStepResults];
          dotStep<R, C, T>(in, row, w, gates, results);
          dotStep<R, C, T>(in, row, w, ups, others);
          join(results, others, i64(R) * C);
        },
        [&] {
          gates.next();
          ups.next();
        },
        done);
  });
}

}  // namespace
}  // namespace moebius
