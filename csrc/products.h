// Products over threads: one section, no barrier inside. Each thread packs what it needs for its
// part of the output; that two of them pack the same rows costs a few percent, a barrier between
// packing and multiplying costs more on cores that are shared with others.
//
// Those cores are not equally fast either, so what is long is not cut in advance: threads take
// pieces, large ones first and small ones last. Who computes an element changes nothing in it.
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

// [0, total) in pieces: half an equal share of what is left, at least `least`.
struct Pieces {
  i64 total, least;
  int threads;
  i64 next = 0;

  // body(begin, end) for the next piece until all are taken; its end is cut(begin, end).
  template <class Cut, class Body>
  void take(const Cut& cut, const Body& body) {
    i64 begin = __atomic_load_n(&next, __ATOMIC_RELAXED);
    while (begin < total) {
      const i64 wanted = threads == 1 ? total : maxOf(least, (total - begin) / (2 * threads));
      const i64 end = total - begin < wanted + least ? total : cut(begin, begin + wanted);
      if (__atomic_compare_exchange_n(&next, &begin, end, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
        body(begin, end);
        begin = __atomic_load_n(&next, __ATOMIC_RELAXED);
      }
    }
  }
  template <class Body>
  void take(const Body& body) {
    take([](i64, i64 end) { return end; }, body);
  }
};

// Rows of a piece: so many that what is not fetched ahead at its beginning does not count.
constexpr i64 kPieceRows = 3 * kPanelsAtOnce * kTileRows;

// A thread's pieces of the rows of one product, whose b is packed.
void multiplyPieces(const Product& p, Pieces& pieces, float* memory) {
  pieces.take([&](i64 begin, i64 end) {
    multiplyRange(p, {p.m * begin / pieces.total, p.m * end / pieces.total, 0, p.n}, memory);
  });
}

// One product with many rows along k and a b that a thread packs once, whole, for all its pieces.
void multiplyRows(const Context& context, const Product& p, int threads) {
  float* memory = scratch<float>(context, threads * kProductScratch);
  Pieces pieces = {ceilDiv(p.m, kPieceRows), 1, threads};
  parallelFor(context, threads, 1, [&](i64 thread, i64, int) {
    float* mine = memory + thread * kProductScratch;
    float* panels = mine + kPackedA;
    packBlock(panels, ColumnPanels(p.n), p.b, 0, 0, p.k);
    Product packed = p;
    packed.b = packedSource(panels, p.b);
    multiplyPieces(packed, pieces, mine);
  });
}

// One product, its output cut into a grid of row and column ranges, a part for every thread; or
// into pieces of rows.
void multiplyOverThreads(const Context& context, const Product& p) {
  const int threads = threadsFor(context, costOf(p.m, p.n, p.k));
  const bool isStreamed = p.order == Order::streamed;
  const bool isOneBlock = p.n <= kBlockColumns && p.k <= kDepth && p.k > 0 && !p.b.isPacked;
  if (threads > 1 && isOneBlock && !isStreamed && p.a.alongK && p.m >= 4 * threads * kPieceRows) {
    return multiplyRows(context, p, threads);
  }
  const i64 unit = columnUnit(p);
  const i64 columnUnits = ceilDiv(p.n, unit);
  // The grid whose largest part takes least: multiply-adds, and packing of both factors.
  i64 rowParts = 1;
  i64 columnParts = 1;
  i64 least = -1;
  for (i64 parts = 1; parts <= threads; parts++) {
    const i64 rows = ceilDiv(p.m, parts);
    const i64 columns = ceilDiv(columnUnits, threads / parts) * unit;
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
      const i64 columnEnd = columnUnits * (column + 1) / columnParts * unit;
      multiplyRange(p,
                    {p.m * row / rowParts, p.m * (row + 1) / rowParts,
                     columnUnits * column / columnParts * unit, minOf(columnEnd, p.n)},
                    memory + part * kProductScratch);
    }
  });
}

// Many products, `productOf(index)` for index < count: all their columns form one line, priced by
// what they cost, and a piece of it may cover several products, or a part of one.
template <class ProductOf>
void multiplyMany(const Context& context, i64 count, const ProductOf& productOf) {
  i64 total = 0;
  for (i64 i = 0; i < count; i++) {
    const Product p = productOf(i);
    total += costOf(p.m, p.n, p.k);
  }
  const int threads = threadsFor(context, total);
  float* memory = scratch<float>(context, threads * kProductScratch);
  // Cutting a product means packing its rows again: a piece rather ends where a product does.
  const auto cut = [&](i64 begin, i64 end) {
    i64 position = 0;
    for (i64 i = 0; i < count; i++) {
      const Product p = productOf(i);
      const i64 after = position + costOf(p.m, p.n, p.k);
      if (after >= end) {
        if (after - end < (end - begin) / 2) return after;
        return end - position < (end - begin) / 2 ? position : end;
      }
      position = after;
    }
    return total;
  };
  Pieces pieces = {total, maxOf(kLeastCost, total / (threads * 32)), threads};
  const auto multiplyPiece = [&](i64 from, i64 to, float* mine) {
    i64 position = 0;
    for (i64 i = 0; i < count && position < to; i++) {
      const Product p = productOf(i);
      const i64 tileCost = costOf(p.m, columnUnit(p), p.k);
      if (tileCost == 0) continue;
      // Where a piece ends inside a product: at the next whole tile, seen alike from both sides.
      const auto columnAt = [&](i64 share) {
        const i64 tiles = ceilDiv(maxOf<i64>(share - position, 0), tileCost);
        return minOf(tiles * columnUnit(p), p.n);
      };
      multiplyRange(p, {0, p.m, columnAt(from), columnAt(to)}, mine);
      position += costOf(p.m, p.n, p.k);
    }
  };
  parallelFor(context, threads, 1, [&](i64 thread, i64, int) {
    float* mine = memory + thread * kProductScratch;
    pieces.take(cut, [&](i64 from, i64 to) { multiplyPiece(from, to, mine); });
  });
}

}  // namespace
}  // namespace moebius
