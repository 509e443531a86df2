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

// args: x (one row)
void rooflineRead(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<const float> x = args.matrix<const float>();
  float* sums = scratch<float>(context, context.threads * 16);
  constexpr i64 kStep = 8 * kLanes;
  parallelFor(context, x.columns, kStep, [&](i64 begin, i64 end, int thread) {
    vf partial[8] = {};
    for (i64 i = begin; i + kStep <= end; i += kStep) {
      for (int j = 0; j < 8; j++) partial[j] += load(x.data + i + j * kLanes);
    }
    vf total = partial[0];
    for (int j = 1; j < 8; j++) total += partial[j];
    sums[thread * 16] = sum(total);
  });
}

}  // namespace
}  // namespace moebius
