// Memory from the system: pages for tensors, mapped files, and an operation's scratch.
#pragma once
#include <cstddef>

namespace moebius {

struct Pages {
  void* data = nullptr;
  size_t bytes = 0;
};

// Fresh zeroed memory on huge pages where the system has them (2 MiB aligned); null data on
// failure.
Pages allocatePages(size_t bytes);
// A file's bytes, read-only; writing to them ends the process. On failure null data and errno set.
// A file of no bytes gives null data and errno 0.
Pages mapFile(const char* path);
void freePages(Pages pages);

// Memory that lives until `reset`: bumped out of pages that are kept, so that after the largest
// operation ran once nothing is allocated any more. What does not fit gets pages of its own, and
// the next reset replaces all by one block that would have held them.
class Scratch {
 public:
  ~Scratch();
  void* allocate(size_t bytes);  // 64-byte aligned; null when the system has no more
  void reset();
  size_t reservedBytes() const;

 private:
  static constexpr int kMaxBlocks = 64;
  Pages blocks_[kMaxBlocks];
  int numBlocks_ = 0;
  size_t offset_ = 0;  // in the last block
  size_t wanted_ = 0;  // since the last reset
};

}  // namespace moebius
