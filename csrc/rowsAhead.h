// Rows that will be needed soon, asked for between pieces of computing.
//
// Rows of one head lie a page and more apart, and no hardware fetches such ahead: waiting for them
// was a third of an attention's time. Asked for all at once they would take the few buffers for
// lines on their way from what is computed meanwhile, so it is some lines at a time.
#pragma once
#include "rows.h"

namespace moebius {
namespace {

class RowsAhead {
 public:
  // Rows [begin, end) of `m` behind those that wait already; what finds no place is left out.
  void add(const Matrix<const float>& m, i64 begin, i64 end) {
    if (!kHasPrefetch || begin >= end || numParts_ == kMostParts) return;
    const auto first = reinterpret_cast<uintptr_t>(m.row(begin));
    const i64 bytes = i64(first % kLine) + m.columns * i64(sizeof(float));
    parts_[numParts_++] = {m.row(begin) - first % kLine / sizeof(float), m.stride, end - begin,
                           ceilDiv(bytes, kLine)};
  }
  void add(const Matrix<float>& m, i64 begin, i64 end) {
    add(Matrix<const float>{m.data, m.rows, m.columns, m.stride}, begin, end);
  }

  // Asks for a few rows.
  void operator()() {
    if (!kHasPrefetch) return;
    for (i64 lines = kLinesAtOnce; lines > 0 && next_ < numParts_;) {
      Part& part = parts_[next_];
      for (; lines > 0 && part.rows > 0; part.rows--, part.row += part.stride) {
        for (i64 i = 0; i < part.lines; i++) {
          prefetchFar(reinterpret_cast<const char*>(part.row) + i * kLine);
        }
        lines -= part.lines;
      }
      if (part.rows == 0 && ++next_ == numParts_) next_ = numParts_ = 0;
    }
  }

 private:
  static constexpr i64 kLine = 64;
  static constexpr i64 kLinesAtOnce = 10;
  static constexpr int kMostParts = 16;
  struct Part {
    const float* row;
    i64 stride, rows, lines;
  };
  Part parts_[kMostParts];
  int next_ = 0, numParts_ = 0;
};

// Where nothing is asked for.
struct NothingAhead {
  void operator()() const {}
};

}  // namespace
}  // namespace moebius
