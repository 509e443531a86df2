// Auxiliary-loss-free balancing (DeepSeek-V3 report, 2.1.2): bias += speed · sign(mean − count).
//
// E experts, one pass; in whole numbers (mean times E), so that the sign is exact and sign(0) = 0.
#pragma once
#include "operation.h"

namespace moebius {
namespace {

// args: bias_E, counts_E, speed
void updateRouterBias(const Context&, const double* raw) {
  Args args(raw);
  const auto bias = args.matrix();
  const i32* counts = args.vector<const i32>();
  const float speed = args.real();
  const i64 experts = bias.columns;
  i64 total = 0;
  for (i64 e = 0; e < experts; e++) total += counts[e];
  for (i64 e = 0; e < experts; e++) {
    const i64 lack = total - experts * counts[e];
    if (lack > 0) bias.data[e] += speed;
    if (lack < 0) bias.data[e] -= speed;
  }
}

}  // namespace
}  // namespace moebius
