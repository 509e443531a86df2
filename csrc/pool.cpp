// A static split: every section wakes all its threads, each takes the range of its number.
//
// Hand-over costs about 1 µs while both sides spin. Spinning alone would be wrong: on cores shared
// with others a spinning waiter takes the time of the one it waits for (2–4 ms per hand-over
// measured), so after kSpins pauses a thread sleeps in the kernel.
#include "pool.h"

#include <atomic>
#include <cstdint>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

namespace moebius {
namespace {

constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` differs from `seen`.
uint32_t awaitChange(const std::atomic<uint32_t>& value, uint32_t seen) {
  for (int i = 0; i < kSpins; i++) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != seen) return now;
    pause();
  }
  for (;;) {
    value.wait(seen, std::memory_order_acquire);
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != seen) return now;
  }
}

}  // namespace

// One line per word that threads wait on.
struct Pool::State {
  // Counts the sections a worker has been called to; only called workers are woken.
  struct alignas(64) Seat {
    std::atomic<uint32_t> calls{0};
  };
  Seat seats[kMaxThreads];
  alignas(64) std::atomic<uint32_t> pending{0};
  alignas(64) void (*task)(void* data, int thread) = nullptr;
  void* data = nullptr;
  int numWorkers = 0;
};

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

Pool::Pool() : state_(new State) {}

void Pool::work(State* state, int thread) {
  uint32_t seen = 0;
  for (;;) {
    seen = awaitChange(state->seats[thread].calls, seen);
    state->task(state->data, thread);
    if (state->pending.fetch_sub(1, std::memory_order_acq_rel) == 1) state->pending.notify_one();
  }
}

void Pool::run(int threads, void (*task)(void* data, int thread), void* data) {
  State& state = *state_;
  if (threads > kMaxThreads) threads = kMaxThreads;
  while (state.numWorkers < threads - 1) {
    const int thread = ++state.numWorkers;
    std::thread(work, state_, thread).detach();
  }
  state.task = task;
  state.data = data;
  state.pending.store(uint32_t(threads - 1), std::memory_order_relaxed);
  for (int thread = 1; thread < threads; thread++) {
    state.seats[thread].calls.fetch_add(1, std::memory_order_release);
    state.seats[thread].calls.notify_one();
  }
  task(data, 0);
  for (uint32_t left = state.pending.load(std::memory_order_acquire); left != 0;) {
    left = awaitChange(state.pending, left);
  }
}

int Pool::availableThreads() {
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) {
    const int count = CPU_COUNT(&cores);
    return count < 1 ? 1 : count > kMaxThreads ? kMaxThreads : count;
  }
#endif
  const int count = int(std::thread::hardware_concurrency());
  return count < 1 ? 1 : count > kMaxThreads ? kMaxThreads : count;
}

}  // namespace moebius
