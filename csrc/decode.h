// What the two halves of a block share when few rows are decoded: norms that every thread makes for
// itself, and products of rows of weights that threads divide among themselves.
//
// A step of decoding reads every weight once and does little else, so it is as fast as memory, if
// threads are not kept waiting: a half is three or four parallel sections, and what lies between
// (norms, rotations, routing) is done by every thread for itself rather than by one for all.
#pragma once
#include "gemm.h"
#include "rmsNorm.inl"
#include "vmath.h"

namespace moebius {
namespace {

// Rows of activations against rows begin … end of weights; `memory` holds inputFloats of them.
struct DotTask {
  const float* x;
  i64 stride, count, depth;
  Source weights;
  float* memory;
};

MOEBIUS_NOINLINE void dotProducts(const DotTask& task, i64 begin, i64 end, const DotOutput& out) {
  if (begin >= end || task.count == 0) return;
  forRowType(task.weights, [&]<class T>(const T*) {
    const DotArithmetic<T> arithmetic;
    prefetchStreams(task.weights, begin, end);
    const DotInput in =
        prepareInput<T>(task.memory, task.x, task.stride, task.count, task.depth);
    withRows(task.count, [&]<int R>(LaneList<R>) {
      dotStreams<R, T>(in, task.weights, begin, end,
                       [&](const DotResults& results) { writeResults(out, results); });
    });
  });
}

// Asks for rows of weights that a product is about to begin with.
inline void prefetchRows(const Weights& w, i64 begin, i64 end) {
  if (!kHasPrefetch) return;
  const i64 row = w.values.stride * bytesOf(w.values.dtype);
  const char* bytes = static_cast<const char*>(w.values.data);
  for (i64 at = begin * row; at < end * row; at += 64) prefetchFar(bytes + at);
}

// What dotGated will begin with.
inline void prefetchGated(const Source& w, i64 offset, i64 begin, i64 end) {
  prefetchStreams(w, begin, end);
  prefetchStreams(w, begin + offset, end + offset);
}

// silu(gate) · up for rows begin … end of the gate; the up rows lie `offset` behind.
MOEBIUS_NOINLINE void dotGated(const DotTask& task, i64 offset, i64 begin, i64 end,
                               const DotOutput& out) {
  if (begin >= end || task.count == 0) return;
  forRowType(task.weights, [&]<class T>(const T*) {
    const DotArithmetic<T> arithmetic;
    prefetchGated(task.weights, offset, begin, end);
    const DotInput in =
        prepareInput<T>(task.memory, task.x, task.stride, task.count, task.depth);
    withRows(task.count, [&]<int R>(LaneList<R>) {
      dotPairStreams<R, T>(
          in, task.weights, offset, begin, end,
          [](float* gates, const float* ups, i64 results) {
            for (i64 i = 0; i < results; i += kLanes) {
              const vf g = load(gates + i);
              store(gates + i, g * vsigmoid(g) * load(ups + i));
            }
          },
          [&](const DotResults& results) { writeResults(out, results); });
    });
  });
}

// Equal shares of [0, units) for threads.
struct Share {
  i64 begin, end;
  Share(i64 units, int thread, int threads)
      : begin(units * thread / threads), end(units * (thread + 1) / threads) {}
};

// Parts of unequal weight laid on one line and cut into equal lengths: each thread takes whole
// units that begin within its own. A unit is seen alike from both sides of a cut.
class Line {
 public:
  Line(double total, int thread, int threads)
      : from_(total * thread / threads), to_(total * (thread + 1) / threads),
        isLast_(thread == threads - 1) {}
  // The share of the next part: `units` of `cost` each.
  Share next(i64 units, double cost) {
    Share share(0, 0, 1);
    share.begin = unitAt(from_, units, cost);
    share.end = isLast_ ? units : unitAt(to_, units, cost);
    position_ += double(units) * cost;
    return share;
  }

 private:
  i64 unitAt(double at, i64 units, double cost) const {
    if (at <= position_) return 0;
    const double unit = (at - position_) / cost;
    return unit >= double(units) ? units : i64(unit) + (double(i64(unit)) < unit);
  }
  double from_, to_;
  bool isLast_;
  double position_ = 0;
};

inline double rowBytes(const Weights& w) {
  return double(w.values.columns) * double(bytesOf(w.values.dtype));
}

}  // namespace
}  // namespace moebius
