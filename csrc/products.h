// Products over threads: one section, no barrier inside. Each thread packs what it needs for its
// part of the output; that two of them pack the same rows costs a few percent, a barrier between
// packing and multiplying costs more on cores that are shared with others.
#pragma once
#include "gemm.h"

namespace moebius {
namespace {

// What packing an element costs, in multiply-adds of one row: 0.3 cycles at kLanes · 2 a cycle.
constexpr i64 kPackCost = MOEBIUS_LANES * 2 / 3;

// What a product costs, in multiply-adds; one without rows is skipped.
i64 costOf(i64 m, i64 n, i64 k) { return m == 0 ? 0 : (m + kPackCost) * n * maxOf<i64>(k, 1); }

// A share below this (about 2 µs) is not worth waking a thread for.
constexpr i64 kLeastCost = 128 * 1024;

int threadsFor(const Context& context, i64 cost) {
  return int(maxOf<i64>(1, minOf<i64>(context.threads, cost / kLeastCost)));
}

// One product, its output cut into a grid of row and column ranges.
void multiplyOverThreads(const Context& context, const Product& p) {
  const int threads = threadsFor(context, costOf(p.m, p.n, p.k));
  const i64 columnUnits = ceilDiv(p.n, kTileColumns);
  // The grid whose largest part takes least: multiply-adds, and packing of both factors.
  i64 rowParts = 1;
  i64 columnParts = 1;
  i64 least = -1;
  for (i64 parts = 1; parts <= threads; parts++) {
    const i64 rows = ceilDiv(p.m, parts);
    const i64 columns = ceilDiv(columnUnits, threads / parts) * kTileColumns;
    const i64 cost = rows * columns + kPackCost * (rows + columns);
    if (least < 0 || cost < least) {
      least = cost;
      rowParts = parts;
      columnParts = threads / parts;
    }
  }
  const i64 parts = rowParts * columnParts;
  float* memory = scratch<float>(context, parts * kProductScratch);
  parallelFor(context, parts, 1, [&](i64 begin, i64 end, int) {
    for (i64 part = begin; part < end; part++) {
      const i64 row = part / columnParts;
      const i64 column = part % columnParts;
      const i64 columnEnd = columnUnits * (column + 1) / columnParts * kTileColumns;
      multiplyRange(p,
                    {p.m * row / rowParts, p.m * (row + 1) / rowParts,
                     columnUnits * column / columnParts * kTileColumns, minOf(columnEnd, p.n)},
                    memory + part * kProductScratch);
    }
  });
}

// Many products, `productOf(index)` for index < count: all their columns form one line, priced by
// what they cost, and every thread takes an equal length of it, whichever products it covers.
template <class ProductOf>
void multiplyMany(const Context& context, i64 count, const ProductOf& productOf) {
  i64 total = 0;
  for (i64 i = 0; i < count; i++) {
    const Product p = productOf(i);
    total += costOf(p.m, p.n, p.k);
  }
  const i64 threads = threadsFor(context, total);
  float* memory = scratch<float>(context, threads * kProductScratch);
  parallelFor(context, threads, 1, [&](i64 thread, i64, int) {
    const i64 from = total / threads * thread;
    const i64 to = thread == threads - 1 ? total : total / threads * (thread + 1);
    i64 position = 0;
    for (i64 i = 0; i < count && position < to; i++) {
      const Product p = productOf(i);
      const i64 tileCost = costOf(p.m, kTileColumns, p.k);
      if (tileCost == 0) continue;
      // Where a share ends inside a product: at the next whole tile, seen alike from both sides.
      const auto columnAt = [&](i64 share) {
        const i64 tiles = ceilDiv(maxOf<i64>(share - position, 0), tileCost);
        return minOf(tiles * kTileColumns, p.n);
      };
      multiplyRange(p, {0, p.m, columnAt(from), columnAt(to)}, memory + thread * kProductScratch);
      position += costOf(p.m, p.n, p.k);
    }
  });
}

}  // namespace
}  // namespace moebius
