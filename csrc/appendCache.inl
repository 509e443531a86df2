// Each token's latent and rotated key go into their slot of the paged cache:
// cache[slot] = [latent | kPe].
//
// Bytes: 8 · T (C + P); bound by memory. Slots are distinct, or the last token of one thread wins.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

// args: cache (rows are slots), latent_TC, kPe_TP, slots_T
void appendCache(const Context& context, const double* raw) {
  Args args(raw);
  const auto cache = args.matrix();
  const auto latent = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const i32* slots = args.vector<const i32>();
  parallelFor(context, latent.rows, grainFor(2 * cache.columns), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      float* slot = cache.row(slots[row]);
      copyBytes(slot, latent.row(row), latent.columns * i64(sizeof(float)));
      copyBytes(slot + latent.columns, kPe.row(row), kPe.columns * i64(sizeof(float)));
    }
  });
}

}  // namespace
}  // namespace moebius
