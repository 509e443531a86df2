// The head and its cross-entropy in one, a chunk of rows at a time: logits never exist whole, and
// their gradient replaces them in place.
//
//     z = h · headᵀ       loss[t] = ln Σ_v exp z[t,v] − z[t, target]       (0 where target is −1)
//     dZ = gradientScale · (softmax(z) − onehot(target))                   (0 where target is −1)
//     dH = dZ · head      dHead += dZᵀ · h
//
// T rows, D hidden, V vocabulary. FLOPs: 2 · T · D · V, three times that with gradients, and T · V
// exponentials. Bytes per chunk of R rows: the head once or twice, dHead twice; with R chosen for
// logits of 16 MB (they stay in the third-level cache) 64 FLOPs a byte and more: bound by
// multiply-adds. Every sum is one chain over a fixed order of chunks, whatever the thread count.
#pragma once
#include "products.h"
#include "rows.h"
#include "vmath.h"

namespace moebius {
namespace {

constexpr i64 kLogitsFloats = 4 << 20;

inline i64 headChunkRows(i64 vocabulary) {
  return minOf<i64>(512, maxOf<i64>(64, kLogitsFloats / vocabulary / 16 * 16));
}

// Products made one after the other share one piece of scratch.
struct ReusedScratch {
  const Context* outer;
  void* memory;
  explicit ReusedScratch(const Context& context)
      : outer(&context), memory(scratch<float>(context, context.threads * kProductScratch)) {}
  Context context() {
    return {outer->threads, this,
            [](void* host, int threads, void (*task)(void*, int), void* data) {
              const Context& outer = *static_cast<ReusedScratch*>(host)->outer;
              outer.parallel(outer.host, threads, task, data);
            },
            [](void* host, size_t) { return static_cast<ReusedScratch*>(host)->memory; }};
  }
};

// Sums of long rows by blocks, so that 128,000 terms lose no more than 2,000.
constexpr i64 kSumBlock = 2048;

// The loss of one row of logits; the row becomes exp(z − max), and `total` their sum.
float crossEntropyRow(float* logits, i64 vocabulary, i32 target, float* sumOfExps) {
  vf most = splat(kMinusInfinity);
  i64 v = 0;
  for (; v + kLanes <= vocabulary; v += kLanes) most = vmax(load(logits + v), most);
  float highest = maximum(most);
  for (; v < vocabulary; v++) highest = maxOf(logits[v], highest);
  const float targetLogit = logits[target];
  const vf base = splat(highest);
  const auto expOf = [&](vf z) { return exp2Negative((z - base) * splat(kLog2E)); };
  float total = 0.0f;
  for (i64 first = 0; first < vocabulary; first += kSumBlock) {
    float* block = logits + first;
    total += sumOverRow(minOf(kSumBlock, vocabulary - first), [&](i64 i, i64 count) {
      const vf value = expOf(loadSome(block + i, count));
      storeSome(block + i, value, count);
      return count == kLanes ? value : loadPart(block + i, count);  // zero beyond the end
    });
  }
  *sumOfExps = total;
  return logOne(total) + (highest - targetLogit);
}

// args: losses_T, h_TD, head_VD (weights), targets_T, dH_TD (may be left out), dHead_VD (as dH),
// gradientScale
void headCrossEntropy(const Context& context, const double* raw) {
  Args args(raw);
  float* losses = args.vector();
  const auto h = args.matrix<const float>();
  const Weights head = args.weights();
  const i32* targets = args.vector<const i32>();
  const auto dH = args.matrix();
  const auto dHead = args.matrix();
  const float gradientScale = args.real();

  const i64 width = h.columns;
  const i64 vocabulary = head.values.rows;
  const i64 chunk = minOf(headChunkRows(vocabulary), h.rows);
  // Whole cache lines, and not a power of two apart.
  const i64 stride = (vocabulary + 15) / 16 * 16 + 16;
  float* logits = scratch<float>(context, chunk * stride);
  // The head is read by every chunk: its panels are made once.
  Source right = sourceOf(head, true);
  if (h.rows > chunk) {
    float* panels = scratch<float>(context, packedFloats(right));
    parallelFor(context, ceilDiv(vocabulary, kTileColumns), 8, [&](i64 begin, i64 end, int) {
      packAhead(panels, right, begin, end);
    });
    right = packedSource(panels, right);
  }
  ReusedScratch reused(context);
  const Context products = reused.context();
  for (i64 first = 0; first < h.rows; first += chunk) {
    const i64 rows = minOf(chunk, h.rows - first);
    multiplyOverThreads(
        products, {logits, stride, sourceOf(h.row(first), h.stride, rows, width, true), right,
                   rows, vocabulary, width, false});
    parallelFor(context, rows, grainFor(8 * vocabulary), [&](i64 begin, i64 end, int) {
      for (i64 row = begin; row < end; row++) {
        float* z = logits + row * stride;
        const i32 target = targets[first + row];
        if (target < 0) {
          losses[first + row] = 0.0f;
          clearFloats(z, vocabulary);
          continue;
        }
        float total;
        losses[first + row] = crossEntropyRow(z, vocabulary, target, &total);
        if (!dH) continue;
        const vf factor = splat(gradientScale / total);
        writeRow(z, vocabulary, [&](i64 i, i64 count) { return loadSome(z + i, count) * factor; });
        z[target] -= gradientScale;
      }
    });
    if (!dH) continue;
    multiplyOverThreads(
        products, {dH.row(first), dH.stride, sourceOf(logits, stride, rows, vocabulary, true),
                   sourceOf(head, false), rows, width, vocabulary, false});
    multiplyOverThreads(
        products, {dHead.data, dHead.stride, sourceOf(logits, stride, vocabulary, rows, false),
                   sourceOf(h.row(first), h.stride, width, rows, false), vocabulary, width, rows,
                   true});
  }
}

}  // namespace
}  // namespace moebius
