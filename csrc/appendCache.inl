// Each token's latent and rotated key go into their slot of the paged cache, rounded to its type:
// cache[slot] = [latent | kPe]; and back: [latent | kPe] = cache[slot], as attention sees them.
//
// Bytes: 4 · T (C + P) and a token's bytes (latentCache.h) T times; bound by memory. Slots written
// are distinct, or the last token of one thread wins.
#pragma once
#include "latentCache.h"

namespace moebius {
namespace {

// args: cache (rows are slots), latent_TC, kPe_TP, slots_T
void appendCache(const Context& context, const double* raw) {
  Args args(raw);
  const AnyMatrix slots = args.any();
  const auto latent = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const LatentCache cache(slots, latent.columns, kPe.columns);
  const i32* slotOf = args.vector<const i32>();
  parallelFor(context, latent.rows, grainFor(2 * cache.width()), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      writeLatent(cache, cache.slot(slotOf[row]), latent.row(row), kPe.row(row));
    }
  });
}

// args: latent_TC, kPe_TP, cache (rows are slots), slots_T
void readCache(const Context& context, const double* raw) {
  Args args(raw);
  const auto latent = args.matrix();
  const auto kPe = args.matrix();
  const LatentCache cache(args.any(), latent.columns, kPe.columns);
  const i32* slotOf = args.vector<const i32>();
  const i64 width = (cache.width() + 15) / 16 * 16;
  float* memory = scratch<float>(context, context.threads * width);
  parallelFor(context, latent.rows, grainFor(2 * width), [&](i64 begin, i64 end, int thread) {
    for (i64 row = begin; row < end; row++) {
      const float* from = latentFloats(cache, cache.slot(slotOf[row]), memory + thread * width);
      copyBytes(latent.row(row), from, cache.latent * i64(sizeof(float)));
      copyBytes(kPe.row(row), from + cache.latent, cache.rope * i64(sizeof(float)));
    }
  });
}

}  // namespace
}  // namespace moebius
