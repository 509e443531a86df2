// Times the loops of roofline.inl. The best pass counts: whatever else runs on the machine only
// slows.
#include "roofline.h"

#include <chrono>

#include "arena.h"
#include "pool.h"

namespace moebius {
namespace {

constexpr size_t kBytes = size_t(256) << 20;  // more than any last-level cache keeps

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void tensorAt(double* args, const void* data, size_t count) {
  args[0] = double(reinterpret_cast<uintptr_t>(data));
  args[1] = 1;
  args[2] = args[3] = double(count);
  args[4] = 0;
}

// The least time of one call within `seconds`, at least three calls after a warm-up.
double best(const Context& context, Operation operation, const double* args, double seconds) {
  operation(context, args);
  double least = 1e30;
  const double end = now() + seconds;
  for (int i = 0; i < 3 || now() < end; i++) {
    const double start = now();
    operation(context, args);
    const double taken = now() - start;
    if (taken < least) least = taken;
  }
  return least;
}

}  // namespace

Roofline measureRoofline(const Isa& isa, int threads, double seconds) {
  Scratch scratch;
  const Context context = {threads, &scratch,
                           [](void*, int count, void (*task)(void*, int), void* data) {
                             Pool::instance().run(count, task, data);
                           },
                           [](void* host, size_t bytes) {
                             Scratch& s = *static_cast<Scratch*>(host);
                             s.reset();
                             return s.allocate(bytes);
                           }};
  Roofline limits = {};
  double args[16] = {};

  constexpr double kSteps = 2e6;  // 10–20 ms
  args[0] = kSteps;
  const double flops = kSteps * kRooflineChains * 2 * isa.lanes * threads;
  limits.flopsPerSecond =
      flops / best(context, isa.operations[k_rooflineFma], args, seconds / 3);

  const Pages pages = allocatePages(kBytes);
  if (pages.data == nullptr) return limits;
  const size_t count = kBytes / sizeof(float);
  // Written first: untouched pages all read from one page of zeros.
  tensorAt(args, pages.data, count);
  args[5] = 1;
  isa.operations[k_fill](context, args);
  limits.readBytesPerSecond =
      double(kBytes) / best(context, isa.operations[k_rooflineRead], args, seconds / 3);
  tensorAt(args, static_cast<char*>(pages.data) + kBytes / 2, count / 2);
  tensorAt(args + 5, pages.data, count / 2);
  limits.copyBytesPerSecond =
      double(kBytes) / best(context, isa.operations[k_copy], args, seconds / 3);
  freePages(pages);
  return limits;
}

}  // namespace moebius
