// RMSNorm and its two gradients, a row of D elements at a time.
//
//     out_i   = x_i · r · gain_i,      r = 1 / sqrt(mean(x²) + eps)
//     dX_i    = r · (gain_i dOut_i − x_i · r² · mean(x · gain · dOut))
//     dGain_i = Σ_t dOut_i · x_i · r
//
// FLOPs: 4–8 per element; bytes: 8–16 per element (x twice, the second time from the first cache).
// Bound by memory. dGain is split over threads by columns and adds blocks of rows in order, so no
// sum depends on the thread count.
#pragma once
#include "rows.h"

namespace moebius {
namespace {

// Returns r.
inline float normRow(float* to, const float* from, i64 columns, const float* gain, float eps) {
  const float squares = sumOverRow(columns, [&](i64 i, i64 count) {
    const vf v = loadSome(from + i, count);
    return v * v;
  });
  const float r = 1.0f / __builtin_sqrtf(squares / float(columns) + eps);
  const vf factor = splat(r);
  writeRow(to, columns, [&](i64 i, i64 count) {
    return loadSome(from + i, count) * factor * loadSome(gain + i, count);
  });
  return r;
}

// args: out, x, gain, reciprocalRms_T (may be left out), eps
void rmsNorm(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto x = args.matrix<const float>();
  const float* gain = args.vector<const float>();
  float* kept = args.vector();
  const float eps = args.real();
  parallelFor(context, x.rows, grainFor(2 * x.columns), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      const float r = normRow(out.row(row), x.row(row), x.columns, gain, eps);
      if (kept != nullptr) kept[row] = r;
    }
  });
}

// args: dX, dOut, x, gain, reciprocalRms_T, accumulate
void rmsNormBackwardInput(const Context& context, const double* raw) {
  Args args(raw);
  const auto dX = args.matrix();
  const auto dOut = args.matrix<const float>();
  const auto x = args.matrix<const float>();
  const float* gain = args.vector<const float>();
  const float* reciprocals = args.vector<const float>();
  const bool accumulate = args.flag();
  parallelFor(context, x.rows, grainFor(4 * x.columns), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      const float* in = x.row(row);
      const float* d = dOut.row(row);
      float* to = dX.row(row);
      const float product = sumOverRow(x.columns, [&](i64 i, i64 count) {
        return loadSome(in + i, count) * (loadSome(gain + i, count) * loadSome(d + i, count));
      });
      const float r = reciprocals[row];
      const vf factor = splat(r);
      const vf shared = splat(product / float(x.columns) * r * r);
      writeRow(to, x.columns, [&](i64 i, i64 count) {
        const vf scaled = loadSome(gain + i, count) * loadSome(d + i, count);
        const vf gradient = factor * (scaled - loadSome(in + i, count) * shared);
        return accumulate ? loadSome(to + i, count) + gradient : gradient;
      });
    }
  });
}

// args: dGain, dOut, x, reciprocalRms_T
void rmsNormBackwardWeight(const Context& context, const double* raw) {
  Args args(raw);
  float* dGain = args.vector();
  const auto dOut = args.matrix<const float>();
  const auto x = args.matrix<const float>();
  const float* reciprocals = args.vector<const float>();
  constexpr i64 kStrip = 4 * kLanes;  // sums of a strip of columns stay in registers
  constexpr i64 kRows = 128;          // rows per block, each block summed from zero
  parallelFor(context, x.columns, maxOf(kStrip, grainFor(x.rows) / kStrip * kStrip),
              [&](i64 begin, i64 end, int) {
    for (i64 column = begin; column < end; column += kStrip) {
      vf totals[4] = {zero(), zero(), zero(), zero()};
      const i64 width = minOf(kStrip, end - column);
      for (i64 first = 0; first < x.rows; first += kRows) {
        vf sums[4] = {zero(), zero(), zero(), zero()};
        const i64 last = minOf(first + kRows, x.rows);
        if (width == kStrip) {
          for (i64 row = first; row < last; row++) {
            const vf r = splat(reciprocals[row]);
            const float* d = dOut.row(row) + column;
            const float* in = x.row(row) + column;
            MOEBIUS_UNROLL
            for (int j = 0; j < 4; j++) {
              sums[j] = fma(load(d + j * kLanes) * load(in + j * kLanes), r, sums[j]);
            }
          }
        } else {
          for (i64 row = first; row < last; row++) {
            const vf r = splat(reciprocals[row]);
            const float* d = dOut.row(row) + column;
            const float* in = x.row(row) + column;
            for (i64 j = 0; j * kLanes < width; j++) {
              const i64 count = minOf<i64>(kLanes, width - j * kLanes);
              sums[j] = fma(loadSome(d + j * kLanes, count) * loadSome(in + j * kLanes, count), r,
                            sums[j]);
            }
          }
        }
        for (int j = 0; j < 4; j++) totals[j] = totals[j] + sums[j];
      }
      for (i64 j = 0; j * kLanes < width; j++) {
        const i64 count = minOf<i64>(kLanes, width - j * kLanes);
        float* to = dGain + column + j * kLanes;
        storeSome(to, loadSome(to, count) + totals[j], count);
      }
    }
  });
}

}  // namespace
}  // namespace moebius
