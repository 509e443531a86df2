// The host side for WebAssembly, without a library: one entry `run` for every operation, as in
// addon.cpp, and threads that are instances of this module on one shared memory.
//
// JavaScript (src/kernels/wasm.ts) brings what a system would: memory, above __heap_base, and
// workers. A worker instantiates the module on the same memory, points __stack_pointer at a stack
// of its own and calls work(), which does not return until stop(). Without workers, as in a module
// whose memory is not shared, the caller does every share itself.
#if defined(__wasm__)
#include "kernels.h"

#define MOEBIUS_EXPORT(name) extern "C" __attribute__((export_name(name), used))

// A scratch block of that many bytes, 64-byte aligned, until the operation returns; throws where
// there is none, which ends the operation.
extern "C" __attribute__((import_module("host"), import_name("allocate"))) void* hostAllocate(
    size_t bytes);

namespace moebius {
namespace {

constexpr int kMaxArguments = 512;
constexpr int kMaxThreads = 64;
// About 20 µs. A thread that only spun would hold up the one it waits for on cores that others use.
constexpr int kSpins = 20000;

alignas(64) double arguments[kMaxArguments];

// One line per word that threads wait on; the protocol is that of pool.cpp.
struct alignas(64) Seat {
  uint32_t calls;  // counts the sections its worker has been called to
};
Seat seats[kMaxThreads];
alignas(64) uint32_t pending;
alignas(64) void (*sectionTask)(void* data, int thread);
void* sectionData;
alignas(64) uint32_t numWorkers;
uint32_t failures;

uint32_t read(const uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_SEQ_CST); }

// Waits until `word` differs from `seen`.
uint32_t awaitChange(uint32_t& word, uint32_t seen) {
  for (int i = 0; i < kSpins; i++) {
    const uint32_t now = read(word);
    if (now != seen) return now;
  }
  for (;;) {
    __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&word), int(seen), -1);
    const uint32_t now = read(word);
    if (now != seen) return now;
  }
}

void wake(uint32_t& word) {
  __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&word), 1);
}

void parallel(void*, int threads, void (*task)(void* data, int thread), void* data) {
  const int here = int(read(numWorkers));
  const int workers = threads - 1 < here ? threads - 1 : here;
  sectionTask = task;
  sectionData = data;
  __atomic_store_n(&pending, uint32_t(workers), __ATOMIC_SEQ_CST);
  for (int thread = 1; thread <= workers; thread++) {
    __atomic_fetch_add(&seats[thread].calls, 1, __ATOMIC_SEQ_CST);
    wake(seats[thread].calls);
  }
  task(data, 0);
  for (int thread = workers + 1; thread < threads; thread++) task(data, thread);
  for (uint32_t left = read(pending); left != 0;) left = awaitChange(pending, left);
}

}  // namespace

// The operation that runs next: its number, the count of its arguments, and these.
MOEBIUS_EXPORT("arguments") double* argumentsOf() { return arguments; }
MOEBIUS_EXPORT("abiVersion") int abiVersion() { return kAbiVersion; }
MOEBIUS_EXPORT("maxArguments") int maxArguments() { return kMaxArguments; }
MOEBIUS_EXPORT("maxThreads") int maxThreads() { return kMaxThreads; }

// Names of operations in the order of their numbers, each ended by a comma.
MOEBIUS_EXPORT("operationNames") const char* operationNames() {
  return
#define OPERATION(name) #name ","
#include "operations.def"
#undef OPERATION
      ;
}

// Gives how many workers have failed so far: results are of no use unless it is none.
MOEBIUS_EXPORT("run") int run(int operation, int threads) {
  const Context context = {threads, nullptr, parallel,
                           [](void*, size_t bytes) { return hostAllocate(bytes); }};
  kIsaBaseline.operations[operation](context, arguments + 2);
  return int(read(failures));
}

// A worker's life: it takes the next seat and does its share of every section until stop().
MOEBIUS_EXPORT("work") void work() {
  const uint32_t thread = __atomic_add_fetch(&numWorkers, 1, __ATOMIC_SEQ_CST);
  wake(numWorkers);
  if (thread >= uint32_t(kMaxThreads)) return;
  uint32_t seen = 0;
  for (;;) {
    seen = awaitChange(seats[thread].calls, seen);
    if (sectionTask == nullptr) return;
    sectionTask(sectionData, int(thread));
    if (__atomic_sub_fetch(&pending, 1, __ATOMIC_SEQ_CST) == 0) wake(pending);
  }
}

// Called by a worker whose work() was ended by a trap, so that nobody waits for its share.
MOEBIUS_EXPORT("abandon") void abandon() {
  __atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
  if (__atomic_sub_fetch(&pending, 1, __ATOMIC_SEQ_CST) == 0) wake(pending);
}

// Waits until so many workers have taken their seats, or for that long; gives how many there are.
MOEBIUS_EXPORT("awaitWorkers") int awaitWorkers(int wanted, double milliseconds) {
  constexpr double kPeriod = 5;
  for (double waited = 0;; waited += kPeriod) {
    const uint32_t now = read(numWorkers);
    if (int(now) >= wanted || waited >= milliseconds) return int(now);
    __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int*>(&numWorkers), int(now),
                                        int64_t(kPeriod * 1e6));
  }
}

// Sends all workers home; for good.
MOEBIUS_EXPORT("stop") void stop() {
  sectionTask = nullptr;
  const uint32_t workers = __atomic_exchange_n(&numWorkers, 0, __ATOMIC_SEQ_CST);
  for (uint32_t thread = 1; thread <= workers && thread < uint32_t(kMaxThreads); thread++) {
    __atomic_fetch_add(&seats[thread].calls, 1, __ATOMIC_SEQ_CST);
    wake(seats[thread].calls);
  }
}

}  // namespace moebius

#endif
