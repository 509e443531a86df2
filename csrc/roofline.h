// What this machine can do at most, measured: the denominator of every share that is printed.
#pragma once
#include "kernels.h"

namespace moebius {

struct Roofline {
  double flopsPerSecond;      // f32 multiply-adds in registers, two FLOPs each
  double readBytesPerSecond;  // a sum over memory larger than the caches, huge pages
  double copyBytesPerSecond;  // bytes read plus bytes written
};

// The best of several passes on `threads` threads within about `seconds`; holds the pool.
Roofline measureRoofline(const Isa& isa, int threads, double seconds);

}  // namespace moebius
