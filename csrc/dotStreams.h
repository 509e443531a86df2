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

// C rows of weights.
template <int C, class T>
struct RowsOfWeights {
  const T* data[C];
  const float* scales[C];
  const i32* specials[C];  // begins of their listed codes

  void put(i64 j, const Source& w, i64 row) {
    data[j] = static_cast<const T*>(w.data) + row * w.stride;
    if constexpr (isListed<T>) specials[j] = w.specials.begins + row;
    putScale(j, w, row);
  }
  void putScale(i64 j, const Source& w, i64 row) {
    if constexpr (isScaled<T>) {
      scales[j] = w.scales + (w.firstRow + row) / kFp8Block * w.scaleStride;
    }
  }
};

// R rows of x from `row` on times C rows of w; with `isPaired` C rows of x, each times its own.
template <int R, int C, class T, bool isPaired = false>
MOEBIUS_INLINE void dotRowsOf(const DotInput& in, i64 row, const Source& w,
                              const RowsOfWeights<C, T>& rows, float* results) {
  if (dotBlock<R, C, T, !isScaled<T>, isPaired>(in, row, rows.data, rows.scales, results)) {
    dotBlock<R, C, T, true, isPaired>(in, row, rows.data, rows.scales, results);
  }
  if constexpr (isListed<T>) {
    for (i64 j = 0; j < C; j++) {
      const i32* begins = rows.specials[j];
      if (begins[0] == begins[1]) [[likely]] continue;
      addListed(in, isPaired ? row + j : row, R, w, begins, rows.scales[j], results + j, C);
    }
  }
}

// C rows `apart` from each other, stepping through their streams together. Of fewer rows the last
// is repeated.
template <int C, class T>
class StreamRows {
 public:
  RowsOfWeights<C, T> rows;

  StreamRows(const Source& w, i64 first, i64 apart, i64 count)
      : w_(w), first_(first), apart_(apart), count_(count) {
    for (i64 j = 0; j < C; j++) rows.put(j, w, row(j));
    if constexpr (isScaled<T>) findScales();
  }
  void next() {
    first_++;
    for (i64 j = 0; j < C; j++) {
      rows.data[j] += w_.stride;
      if constexpr (isListed<T>) rows.specials[j]++;
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
      rows.putScale(j, w_, row(j));
      stepsOfScales_ = minOf(stepsOfScales_, kFp8Block - (w_.firstRow + row(j)) % kFp8Block);
    }
  }
  const Source& w_;
  i64 first_, apart_, count_;
  i64 stepsOfScales_ = 0;
};

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
      RowsOfWeights<C, T> own;
      i64 at[C];
      for (i64 j = 0; j < C; j++) {
        const i64 p = minOf(j, count - 1);
        at[j] = (r + kTurn * p) % rows;
        own.put(j, w, first + (part + p) * apart + at[j]);
      }
      float results[kStepResults];
      dotRowsOf<1, C, T, true>(in, part, w, own, results);
      for (i64 j = 0; j < count; j++) done(part + j, at[j], results[j]);
    }
  }
}

// Odd where it can be.
constexpr i64 streamLength(i64 rows) { return rows > 1 && rows % 2 == 0 ? rows - 1 : rows; }

// The first lines of all streams, asked for before x is made ready: the wait for memory at the
// beginning of a product is as long as hundreds of its steps.
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

// Where results go: out[tokens[i]][r] (+)= factors[i] · result(i, r). Without `tokens` row i
// itself, without `factors` as it is.
struct DotOutput {
  float* data;
  i64 stride;
  bool accumulate;
  const i32* tokens;
  const float* factors;
  float* row(i64 i) const { return data + (tokens == nullptr ? i : tokens[i]) * stride; }
};

// Results as they come. Not inlined: where the compiler sees more, it fuses multiply and add of
// some results and not of others, and bits depend on their place.
MOEBIUS_NOINLINE void writeResults(const DotOutput& out, const DotResults& results) {
  for (i64 i = 0; i < results.rows; i++) {
    const i64 row = results.row + i;
    const float factor = out.factors == nullptr ? 1.0f : out.factors[row];
    for (i64 j = 0; j < results.count; j++) {
      const float* from = results.data + i * results.width + j;
      float* to = out.row(row) + results.first + j * results.apart;
      for (i64 step = 0; step < results.steps; step++) {
        float product = factor * from[step * kStepResults];
        asm volatile("" : "+m"(product));
        to[step] = out.accumulate ? to[step] + product : product;
      }
    }
  }
}

// Results are handed over for so many steps at a time: what is done with them would keep the core
// from looking ahead to the next rows.
constexpr i64 kBatch = 16;
constexpr i64 kChunks = 8;  // of eight rows of x

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
    StreamRows<C, T> streams(w, first, apart, count);
    forSteps<R, C>(
        in.count, {nullptr, 0, 0, first, apart, count, 0, 0}, steps,
        [&](i64 row, float* results) { dotRowsOf<R, C, T>(in, row, w, streams.rows, results); },
        [&] { streams.next(); }, done);
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
          dotRowsOf<R, C, T>(in, row, w, gates.rows, results);
          dotRowsOf<R, C, T>(in, row, w, ups.rows, others);
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
