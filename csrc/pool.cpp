// A static split: every section wakes all its threads, each takes the share of its number. A share
// belongs to whoever claims it first: the caller, done with its own, claims those whose workers
// have not begun. On cores shared with others a worker that is called may come a time slice later,
// a thousand sections of decoding; only one that is interrupted within its share is waited for.
//
// Workers keep off the core that calls. Left to itself Linux may wake a worker on the caller's own
// core, where it runs only once the caller has given up spinning, section by section for seconds on
// end. So whenever the caller is found on another core than before, workers are told to use any but
// that one.
//
// Hand-over costs about 1 µs while both sides spin. Spinning alone would be wrong: on cores shared
// with others a spinning waiter takes the time of the one it waits for, so it lets others run now
// and then, and after kSpins pauses (2 ms) sleeps in the kernel. Between two steps of decoding it
// must not: a core of a virtual machine that has gone to sleep takes 30 to 90 µs to come back.
// Figures: node bench/sections.ts, the last for pauses of 2 to 20 ms.
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace moebius {
namespace {

constexpr int kSpins = 80000;
constexpr int kSpinsPerYield = 256;

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
    if (i % kSpinsPerYield == kSpinsPerYield - 1) sched_yield();
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
  struct alignas(64) Seat {
    // Counts the sections a worker has been called to; only called workers are woken.
    std::atomic<uint32_t> calls{0};
    // Counts those whose share was begun, by the worker or by the caller. A section ends when all
    // its shares have: it is as many as `calls`, or one less.
    std::atomic<uint32_t> claims{0};

    // Of the section with this number; a worker that comes late finds a later one, or none.
    bool claim(uint32_t call) {
      uint32_t before = call - 1;
      return claims.compare_exchange_strong(before, call, std::memory_order_acq_rel);
    }
  };
  Seat seats[kMaxThreads];
  alignas(64) std::atomic<uint32_t> pending{0};
  alignas(64) void (*task)(void* data, int thread) = nullptr;
  void* data = nullptr;
  int numWorkers = 0;
  int callerCore = -1;  // that workers keep off
  pthread_t workers[kMaxThreads];
  std::atomic<uint32_t> starting{0};  // the number of the worker that is being started
};

Pool& Pool::instance() {
  static Pool* pool = new Pool;
  return *pool;
}

Pool::Pool() : state_(new State) {}

void* Pool::work(void* start) {
  State& state = *static_cast<State*>(start);
  const int thread = state.starting.load(std::memory_order_acquire);
  state.starting.store(0, std::memory_order_release);
  state.starting.notify_one();
  uint32_t seen = 0;
  for (;;) {
    seen = awaitChange(state.seats[thread].calls, seen);
    if (!state.seats[thread].claim(seen)) continue;
    state.task(state.data, thread);
    if (state.pending.fetch_sub(1, std::memory_order_acq_rel) == 1) state.pending.notify_one();
  }
}

// The next worker, or none if the system gives no more threads.
bool Pool::startWorker() {
  State& state = *state_;
  state.starting.store(uint32_t(state.numWorkers + 1), std::memory_order_release);
  pthread_t handle;
  if (pthread_create(&handle, nullptr, work, state_) != 0) return false;
  pthread_detach(handle);
  state.workers[state.numWorkers++] = handle;
  state.callerCore = -1;
  // Until it has read its number.
  for (uint32_t number; (number = state.starting.load(std::memory_order_acquire)) != 0;) {
    state.starting.wait(number, std::memory_order_acquire);
  }
  return true;
}

void Pool::keepOffCaller() {
#if defined(__linux__)
  State& state = *state_;
  const int core = sched_getcpu();
  if (core < 0 || core == state.callerCore) return;
  state.callerCore = core;
  cpu_set_t others;
  if (sched_getaffinity(0, sizeof others, &others) != 0) return;
  // With more threads than cores somebody has to share.
  if (CPU_COUNT(&others) <= state.numWorkers || !CPU_ISSET(core, &others)) return;
  CPU_CLR(core, &others);
  for (int i = 0; i < state.numWorkers; i++) {
    pthread_setaffinity_np(state.workers[i], sizeof others, &others);
  }
#endif
}

void Pool::run(int threads, void (*task)(void* data, int thread), void* data) {
  State& state = *state_;
  while (state.numWorkers < threads - 1 && startWorker()) {
  }
  keepOffCaller();
  const int workers = threads - 1 < state.numWorkers ? threads - 1 : state.numWorkers;
  state.task = task;
  state.data = data;
  state.pending.store(uint32_t(workers), std::memory_order_relaxed);
  for (int thread = 1; thread <= workers; thread++) {
    state.seats[thread].calls.fetch_add(1, std::memory_order_release);
    state.seats[thread].calls.notify_one();
  }
  task(data, 0);
  // Shares that no worker could be had for.
  for (int thread = workers + 1; thread < threads; thread++) task(data, thread);
  // Nobody else calls, so `calls` is the section's own number.
  for (int thread = workers; thread > 0; thread--) {
    State::Seat& seat = state.seats[thread];
    if (!seat.claim(seat.calls.load(std::memory_order_relaxed))) continue;
    task(data, thread);
    state.pending.fetch_sub(1, std::memory_order_acq_rel);
  }
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
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : count > kMaxThreads ? kMaxThreads : int(count);
}

}  // namespace moebius
