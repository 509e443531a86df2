// Where a matrix of f8 codes has subnormals and NaNs: what dotRows.h takes normal codes faster for.
//
//   begins[r + 1] − begins[r]  how many row r has        entries  column · 256 + code, row by row
//   begins[0] = −1             more than entries hold
//
// Of normally distributed weights one code in ten thousand is special, so the codes are read twice,
// eight at a time, and hardly any is looked at alone. Bytes: 2 per code; bound by memory.
#pragma once
#include "simd.h"

namespace moebius {
namespace {

// Whether one of eight codes has no exponent (zeros too) or is NaN.
MOEBIUS_INLINE bool maySpecial(u64 codes) {
  constexpr u64 kEach = 0x0101010101010101;
  const u64 hasExponent = (codes & kEach * 0x78) + kEach * 0x78;
  const u64 isNaN = (codes & kEach * 0x7f) + kEach;
  return ((~hasExponent | isNaN) & kEach * 0x80) != 0;
}
MOEBIUS_INLINE bool isSpecial(u8 code) {
  const int magnitude = code & 0x7f;
  return (magnitude > 0 && magnitude < 8) || magnitude == 0x7f;
}

template <class Visit>
MOEBIUS_INLINE void forSpecials(const u8* row, i64 columns, const Visit& visit) {
  for (i64 first = 0; first < columns; first += 8) {
    const i64 count = minOf<i64>(8, columns - first);
    u64 codes = 0;
    if (count == 8) {
      __builtin_memcpy(&codes, row + first, 8);
      if (!maySpecial(codes)) continue;
    }
    for (i64 c = first; c < first + count; c++) {
      if (isSpecial(row[c])) visit(c, row[c]);
    }
  }
}

// args: codes, begins, entries
void findSpecialCodes(const Context& context, const double* raw) {
  Args args(raw);
  const auto codes = args.matrix<const u8>();
  i32* begins = args.vector<i32>();
  const auto entries = args.matrix<u32>();
  parallelFor(context, codes.rows, grainFor(codes.columns / 4), [&](i64 begin, i64 end, int) {
    for (i64 r = begin; r < end; r++) {
      i32 count = 0;
      forSpecials(codes.row(r), codes.columns, [&](i64, u8) { count++; });
      begins[r + 1] = count;
    }
  });
  i64 total = 0;
  begins[0] = 0;
  for (i64 r = 0; r < codes.rows; r++) {
    total += begins[r + 1];
    begins[r + 1] = i32(minOf<i64>(total, 0x7fffffff));
  }
  if (total > entries.columns) {
    begins[0] = -1;
    return;
  }
  parallelFor(context, codes.rows, grainFor(codes.columns / 4), [&](i64 begin, i64 end, int) {
    for (i64 r = begin; r < end; r++) {
      u32* to = entries.data + begins[r];
      forSpecials(codes.row(r), codes.columns,
                  [&](i64 column, u8 code) { *to++ = u32(column) << 8 | code; });
    }
  });
}

}  // namespace
}  // namespace moebius
