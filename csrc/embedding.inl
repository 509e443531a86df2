// Rows of the table by id, and their gradient.
//
//     out[t] = table[ids[t]]           dTable[ids[t]] += dOut[t], in token order
//
// T tokens, D columns. Bytes: 4–8 · T · D forward, 12 · T · D backward; bound by memory. For the
// gradient threads split the columns, so every element adds its tokens in their order.
#pragma once
#include "narrow.h"
#include "rows.h"

namespace moebius {
namespace {

constexpr i64 kScaleBlock = 128;  // columns and rows that share an f8 scale

// args: out_TD, table_VD (weights), ids_T
void embedding(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const Weights table = args.weights();
  const i32* ids = args.vector<const i32>();
  forWeightType(table.values.dtype, [&]<class T>(const T*) {
    const auto values = table.values.as<const T>();
    parallelFor(context, out.rows, grainFor(2 * out.columns), [&](i64 begin, i64 end, int) {
      for (i64 t = begin; t < end; t++) {
        const T* row = values.row(ids[t]);
        const float* scales =
            table.scales ? table.scales.row(ids[t] / kScaleBlock) : nullptr;
        // kLanes divides kScaleBlock: a vector has one scale.
        writeRow(out.row(t), out.columns, [&](i64 i, i64 count) {
          const vf v = count == kLanes ? widen(row + i) : widenPart(row + i, count);
          return scales == nullptr ? v : v * splat(scales[i / kScaleBlock]);
        });
      }
    });
  });
}

// args: dTable_VD, dOut_TD, ids_T
void embeddingBackward(const Context& context, const double* raw) {
  Args args(raw);
  const auto dTable = args.matrix();
  const auto dOut = args.matrix<const float>();
  const i32* ids = args.vector<const i32>();
  const i64 grain = maxOf<i64>(64, grainFor(dOut.rows) / 64 * 64);
  parallelFor(context, dOut.columns, grain, [&](i64 begin, i64 end, int) {
    for (i64 t = 0; t < dOut.rows; t++) {
      float* to = dTable.row(ids[t]) + begin;
      const float* from = dOut.row(t) + begin;
      writeRow(to, end - begin, [&](i64 i, i64 count) {
        return loadSome(to + i, count) + loadSome(from + i, count);
      });
    }
  });
}

}  // namespace
}  // namespace moebius
