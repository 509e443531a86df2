// Threads, made once and shared by every JavaScript thread of the process.
#pragma once
#include <mutex>

namespace moebius {

class Pool {
 public:
  // The one pool; made on first use and never destroyed (its threads sleep until the process ends).
  static Pool& instance();

  // Runs task(data, 0 … threads-1), threads ≤ kMaxThreads; the caller is thread 0, and does the
  // shares of threads that the system would not give. Not reentrant: hold `mutex()`.
  void run(int threads, void (*task)(void* data, int thread), void* data);

  // Whoever computes on more than one thread holds this for the whole operation.
  std::mutex& mutex() { return mutex_; }

  // Cores this process may use.
  static int availableThreads();

 private:
  struct State;
  Pool();
  static void* work(void* state);
  bool startWorker();
  void keepOffCaller();
  std::mutex mutex_;
  State* state_;
};

constexpr int kMaxThreads = 256;

}  // namespace moebius
