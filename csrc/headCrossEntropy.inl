// The head and its cross-entropy in one, a chunk of rows at a time: logits never exist whole, and
// their gradient replaces them in place.
//
//     z = h · headᵀ       loss[t] = ln Σ_v exp z[t,v] − z[t, target]       (0 where target is −1)
//     e = exp(z − max)    with Σ_v e taken off at the target               (0 where target is −1)
//     f = gradientScale / Σ_v e,   so that f[t] e[t,v] is the loss's gradient by z
//     dH = f · (e · head)      dHead += eᵀ · (f · h)
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
// A head up to this size is also kept as panels for dH: 8 MB.
constexpr i64 kMostPackedTwice = 2 << 20;

inline i64 headChunkRows(i64 vocabulary) {
  return minOf<i64>(512, maxOf<i64>(64, kLogitsFloats / vocabulary / 16 * 16));
}

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
  const int threads = context.threads;
  float* memory = scratch<float>(context, threads * kProductScratch);
  // The head is read by every chunk: its panels are made once.
  const auto packed = [&](const Source& source, bool isWorthIt) {
    if (!isWorthIt) return source;
    float* panels = scratch<float>(context, packedFloats(source));
    packOverThreads(context, panels, source);
    return packedSource(panels, source);
  };
  const bool hasChunks = h.rows > chunk;
  const Source right = packed(sourceOf(head, true), hasChunks);
  const Source rightBack =
      packed(sourceOf(head, false), dH && hasChunks && width * vocabulary <= kMostPackedTwice);
  float* factors = scratch<float>(context, chunk);
  const i64 scaledStride = (width + 15) / 16 * 16;
  float* scaled = scratch<float>(context, dH ? chunk * scaledStride : 0);  // f · h
  const i64 panelColumns = ceilDiv(width, kTileColumns) * kTileColumns;
  float* scaledPanels = scratch<float>(context, dH ? chunk * panelColumns : 0);

  for (i64 first = 0; first < h.rows; first += chunk) {
    const i64 rows = minOf(chunk, h.rows - first);
    const Product forward = {logits, stride, sourceOf(h.row(first), h.stride, rows, width, true),
                             right, rows, vocabulary, width, false};
    // A block of the head's panels serves all rows of the chunk; blocks are handed out.
    Pieces blocks = {ceilDiv(vocabulary, kBlockColumns), 1, threads};
    parallelFor(context, threads, 1, [&](i64 thread, i64, int) {
      blocks.take([&](i64 begin, i64 end) {
        multiplyRange(forward,
                      {0, rows, begin * kBlockColumns, minOf(end * kBlockColumns, vocabulary)},
                      memory + thread * kProductScratch);
      });
    });
    const auto lossOf = [&](i64 row) {
      float* z = logits + row * stride;
      const i32 target = targets[first + row];
      factors[row] = 0.0f;
      losses[first + row] = 0.0f;
      if (target < 0) return clearFloats(z, vocabulary);
      float total;
      losses[first + row] = crossEntropyRow(z, vocabulary, target, &total);
      factors[row] = gradientScale / total;
      z[target] -= total;
    };
    Pieces lossRows = {rows, 4, threads};
    parallelFor(context, threads, 1, [&](i64, i64, int) {
      lossRows.take([&](i64 begin, i64 end) {
        for (i64 row = begin; row < end; row++) {
          lossOf(row);
          if (!dH) continue;
          const float* from = h.row(first + row);
          const vf factor = splat(factors[row]);
          writeRow(scaled + row * scaledStride, width,
                   [&](i64 i, i64 count) { return factor * loadSome(from + i, count); });
        }
      });
    });
    if (!dH) continue;
    const Product back = {dH.row(first), dH.stride,
                          sourceOf(logits, stride, rows, vocabulary, true), rightBack,
                          rows, width, vocabulary, false};
    const Source scaledRows = sourceOf(scaled, scaledStride, width, rows, false);
    packOverThreads(context, scaledPanels, scaledRows);
    const Product weights = {dHead.data, dHead.stride,
                             sourceOf(logits, stride, vocabulary, rows, false),
                             packedSource(scaledPanels, scaledRows), vocabulary, width, rows, true};
    Pieces weightPieces = {ceilDiv(vocabulary, kPieceRows), 1, threads};
    parallelFor(context, threads, 1, [&](i64 thread, i64, int) {
      float* mine = memory + thread * kProductScratch;
      const i64 rowBegin = rows * thread / threads;
      const i64 rowEnd = rows * (thread + 1) / threads;
      multiplyRange(back, {rowBegin, rowEnd, 0, width}, mine);
      for (i64 row = rowBegin; row < rowEnd; row++) {
        float* to = dH.row(first + row);
        const vf factor = splat(factors[row]);
        writeRow(to, width, [&](i64 i, i64 count) { return factor * loadSome(to + i, count); });
      }
      multiplyPieces(weights, weightPieces, mine);
    });
  }
}

}  // namespace
}  // namespace moebius
