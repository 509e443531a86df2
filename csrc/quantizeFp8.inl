// FP8 by tiles and back (DeepSeek-V3 report, 3.3.2).
//
//     scale = max(amax of the tile, 1e-4) / 448      ue8m0: rounded up to a power of two
//     code  = e4m3(x / scale), to nearest even, saturating, NaN 0x7f;      x' = code · scale
//
// Tiles are 1 × 128 (activations) or 128 × 128 (weights); those at an edge are partial, and never
// span two matrices of a stack. x is divided, not multiplied by a reciprocal: the official kernel's
// last bit. Bytes: 9 per element (x twice, the second time from cache), 5 back; bound by memory.
#pragma once
#include "narrow.h"
#include "rows.h"

namespace moebius {
namespace {

constexpr i64 kTileSide = 128;

// A stack of matrices cut into bands: `height` rows that share a row of scales.
struct Bands {
  i64 matrixRows, height, perMatrix, count;
  Bands(i64 rows, i64 matrixRows, i64 height)
      : matrixRows(matrixRows),
        height(height),
        perMatrix(ceilDiv(matrixRows, height)),
        count(matrixRows == 0 ? 0 : rows / matrixRows * perMatrix) {}
  i64 begin(i64 band) const {
    return band / perMatrix * matrixRows + band % perMatrix * height;
  }
  i64 end(i64 band) const {
    return minOf(begin(band) + height, (band / perMatrix + 1) * matrixRows);
  }
};

inline float tileScale(float amax, bool isPowerOfTwo) {
  const float scale = amax / 448.0f;
  u32 bits;
  __builtin_memcpy(&bits, &scale, sizeof bits);
  // Exact, unlike 2^ceil(log2 scale): the next exponent unless no mantissa bit is set.
  if (isPowerOfTwo && (bits & 0x7fffff) != 0) bits = (bits & 0x7f800000) + 0x800000;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}

// args: codes, scales, x, rows per matrix, rows per tile, isPowerOfTwo
void quantizeFp8(const Context& context, const double* raw) {
  Args args(raw);
  const auto codes = args.matrix<F8>();
  const auto scales = args.matrix();
  const auto x = args.matrix<const float>();
  const i64 matrixRows = args.integer();
  const Bands bands(x.rows, matrixRows, args.integer());
  const bool isPowerOfTwo = args.flag();
  parallelFor(context, bands.count, grainFor(4 * bands.height * x.columns),
              [&](i64 begin, i64 end, int) {
    for (i64 band = begin; band < end; band++) {
      const i64 top = bands.begin(band);
      const i64 bottom = bands.end(band);
      for (i64 column = 0; column < x.columns; column += kTileSide) {
        const i64 width = minOf(kTileSide, x.columns - column);
        vf most = splat(1e-4f);
        for (i64 row = top; row < bottom; row++) {
          const float* from = x.row(row) + column;
          for (i64 i = 0; i < width; i += kLanes) {
            most = vmax(vabs(loadSome(from + i, minOf<i64>(kLanes, width - i))), most);
          }
        }
        const float scale = tileScale(maximum(most), isPowerOfTwo);
        scales.row(band)[column / kTileSide] = scale;
        for (i64 row = top; row < bottom; row++) {
          const float* from = x.row(row) + column;
          F8* to = codes.row(row) + column;
          for (i64 i = 0; i < width; i += kLanes) {
            const i64 count = minOf<i64>(kLanes, width - i);
            vf v = loadSome(from + i, count) / splat(scale);
            v = bitsToFloat(v == v ? floatToBits(v) : splatInt(0x7fc00000));
            if (count == kLanes) {
              narrow(to + i, v);
            } else {
              narrowPart(to + i, v, count);
            }
          }
        }
      }
    }
  });
}

// args: out, codes, scales, rows per matrix, rows per tile
void dequantizeFp8(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto codes = args.matrix<const F8>();
  const auto scales = args.matrix<const float>();
  const i64 matrixRows = args.integer();
  const Bands bands(out.rows, matrixRows, args.integer());
  parallelFor(context, bands.count, grainFor(bands.height * out.columns),
              [&](i64 begin, i64 end, int) {
    for (i64 band = begin; band < end; band++) {
      for (i64 row = bands.begin(band); row < bands.end(band); row++) {
        const F8* from = codes.row(row);
        const float* scale = scales.row(band);
        writeRow(out.row(row), out.columns, [&](i64 i, i64 count) {
          const vf v = count == kLanes ? widen(from + i) : widenPart(from + i, count);
          return v * splat(scale[i / kTileSide]);
        });
      }
    }
  });
}

}  // namespace
}  // namespace moebius
