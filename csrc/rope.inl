// Rotary positions: adjacent pairs (2i, 2i+1) of each row turn by the angle of the row's position,
// in place; the inverse turns back, which is the gradient.
//
//     [x', y'] = [x cos − y sin, x sin + y cos]
//
// T tokens, H rows per token, P columns. FLOPs: 3 per element; bytes: 8 per element and the table's
// row per token; bound by memory.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

typedef float RopePairs __attribute__((vector_size(16)));  // two pairs: x0 y0 x1 y1

// Turns rows of `pairs` pairs by the angles of one position: rows [cos, sin] of the table.
inline void turnRows(float* x, i64 stride, i64 rows, i64 pairs, const float* angles,
                     i64 angleStride, float sign) {
  for (i64 i = 0; i < pairs; i += 2) {
    // Two pairs at a time, the angles in registers for all rows; an odd last pair alone.
    const float* first = angles + i * angleStride;
    const float* second = i + 1 < pairs ? first + angleStride : first;
    const RopePairs cos = {first[0], first[0], second[0], second[0]};
    const RopePairs sin = RopePairs{-first[1], first[1], -second[1], second[1]} * sign;
    float* values = x + 2 * i;
    for (i64 row = 0; row < rows; row++, values += stride) {
      RopePairs v = {};
      if (i + 1 < pairs) {
        __builtin_memcpy(&v, values, 16);
      } else {
        __builtin_memcpy(&v, values, 8);
      }
      v = v * cos + __builtin_shufflevector(v, v, 1, 0, 3, 2) * sin;
      if (i + 1 < pairs) {
        __builtin_memcpy(values, &v, 16);
      } else {
        __builtin_memcpy(values, &v, 8);
      }
    }
  }
}

// args: x_THP, positions_T, table (rows are [cos, sin] of position · P/2 + pair), isInverse
void rope(const Context& context, const double* raw) {
  Args args(raw);
  const auto x = args.matrix();
  const auto positions = args.matrix<const i32>();
  const auto table = args.matrix<const float>();
  const float sign = args.flag() ? -1.0f : 1.0f;
  const i64 tokens = positions.columns;
  const i64 rowsPerToken = tokens == 0 ? 0 : x.rows / tokens;
  const i64 pairs = x.columns / 2;
  parallelFor(context, tokens, grainFor(rowsPerToken * x.columns), [&](i64 begin, i64 end, int) {
    for (i64 token = begin; token < end; token++) {
      turnRows(x.row(token * rowsPerToken), x.stride, rowsPerToken, pairs,
               table.row(positions.data[token] * pairs), table.stride, sign);
    }
  });
}

}  // namespace
}  // namespace moebius
