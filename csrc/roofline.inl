// The loops whose speed is the machine's limit; timed by roofline.cpp, not for JavaScript.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

// args: steps. Runs `steps` × kRooflineChains vector multiply-adds on each thread.
void rooflineFma(const Context& context, const double* raw) {
  Args args(raw);
  const i64 steps = args.integer();
  float* sums = scratch<float>(context, context.threads * 16);
  onEveryThread(context, [&](int thread) {
    // Twelve chains cover a latency of four to six cycles on two units, and fit in 16 registers.
    vf chains[kRooflineChains];
    MOEBIUS_UNROLL
    for (int j = 0; j < kRooflineChains; j++) chains[j] = splat(float(j));
    vf x = splat(1.0000001f);
    vf y = splat(1e-9f);
    for (i64 i = 0; i < steps; i++) {
      MOEBIUS_UNROLL
      for (int j = 0; j < kRooflineChains; j++) chains[j] = fma(chains[j], x, y);
      asm volatile("" : "+m"(*sums));  // one round at a time
    }
    vf total = chains[0];
    MOEBIUS_UNROLL
    for (int j = 1; j < kRooflineChains; j++) total += chains[j];
    sums[thread * 16] = sum(total);
  });
}

// args: x (one row). Eight streams at once, as the rows of a matrix would be: one alone leaves
// requests to memory unused (10 instead of 13 GB/s on one core of a shared Xeon).
void rooflineRead(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<const float> x = args.matrix<const float>();
  float* sums = scratch<float>(context, context.threads * 16);
  constexpr i64 kStreams = 8;
  parallelFor(context, x.columns / kStreams, kLanes, [&](i64 begin, i64 end, int thread) {
    vf partial[kStreams] = {};
    for (i64 i = begin; i + kLanes <= end; i += kLanes) {
      MOEBIUS_UNROLL
      for (int j = 0; j < kStreams; j++) {
        partial[j] += load(x.data + j * (x.columns / kStreams) + i);
      }
    }
    vf total = partial[0];
    for (int j = 1; j < kStreams; j++) total += partial[j];
    sums[thread * 16] = sum(total);
  });
}

}  // namespace
}  // namespace moebius
