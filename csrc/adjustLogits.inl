// What a policy does to logits before a token is drawn: a mask of the tokens that may come, then a
// few logits changed one by one.
//
//     out = allowed ? z : −∞         out[v] = (z > 0 ? z / factor : z · factor) + addend
//
// T rows, V vocabulary, N changes in all. The changes are made in doubles, where a product of two
// floats is exact, so that a compiler may contract or not. Bytes: 8 · T · V and the mask's
// T · V / 8; bound by caches.
#pragma once
#include "rows.h"

namespace moebius {
namespace {

constexpr i64 kAdjustBlock = 4096;  // a multiple of 32

// Bit v mod 32 of word ⌊v / 32⌋ is set where token v may come.
void maskLogits(const float* logits, const u32* words, float* out, i64 count) {
  vu lanes;
  for (int lane = 0; lane < kLanes; lane++) lanes[lane] = u32(lane);
  const vf none = splat(kMinusInfinity);
  i64 i = 0;
  for (; i + 32 <= count; i += 32) {
    const u32 word = words[i / 32];
    for (i64 j = 0; j < 32; j += kLanes) {
      const vu bits = ((vu{} + word) >> (lanes + u32(j))) & 1u;
      const vi may = (vi)bits != splatInt(0);
      store(out + i + j, select(may, load(logits + i + j), none));
    }
  }
  for (; i < count; i++) {
    out[i] = (words[i / 32] >> (i % 32) & 1u) != 0 ? logits[i] : kMinusInfinity;
  }
}

// args: out_TV, logits_TV, allowed_TW?, ids_N, factors_N, addends_N, offsets: row t has the changes
// from offsets[t] to offsets[t + 1], made in their order. out may be logits.
void adjustLogits(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto logits = args.matrix<const float>();
  const auto allowed = args.matrix<const u32>();
  const i32* ids = args.vector<i32>();
  const float* factors = args.vector();
  const float* addends = args.vector();
  const List offsets = args.list();

  const i64 perRow = ceilDiv(out.columns, kAdjustBlock);
  parallelFor(context, out.rows * perRow, grainFor(kAdjustBlock), [&](i64 begin, i64 end, int) {
    for (i64 task = begin; task < end; task++) {
      const i64 row = task / perRow;
      const i64 first = task % perRow * kAdjustBlock;
      const i64 count = minOf(kAdjustBlock, out.columns - first);
      const float* from = logits.row(row) + first;
      float* to = out.row(row) + first;
      if (allowed) {
        maskLogits(from, allowed.row(row) + first / 32, to, count);
      } else if (from != to) {
        copyBytes(to, from, count * i64(sizeof(float)));
      }
    }
  });
  for (i64 row = 0; row < out.rows; row++) {
    for (i64 n = offsets[row]; n < offsets[row + 1]; n++) {
      float& z = out.row(row)[ids[n]];
      const double logit = z;
      const double factor = factors[n];
      z = float((logit > 0 ? logit / factor : logit * factor) + double(addends[n]));
    }
  }
}

}  // namespace
}  // namespace moebius
