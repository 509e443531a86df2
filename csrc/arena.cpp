// Huge pages are worth 10–15 % of read bandwidth, and a fault per 2 MiB instead of per 4 KiB.
#include "arena.h"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace moebius {
namespace {

constexpr size_t kHuge = size_t(2) << 20;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Pages allocatePages(size_t bytes) {
  const size_t rounded = roundUp(bytes == 0 ? 1 : bytes, kHuge);
  if (rounded < bytes) return {};
  // The kernel aligns to 4 KiB only: map 2 MiB more and give the ends back.
  const size_t mapped = rounded + kHuge;
  void* raw = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return {};
  char* begin = static_cast<char*>(raw);
  char* aligned = reinterpret_cast<char*>(roundUp(reinterpret_cast<uintptr_t>(begin), kHuge));
  if (aligned > begin) munmap(begin, size_t(aligned - begin));
  char* end = begin + mapped;
  if (end > aligned + rounded) munmap(aligned + rounded, size_t(end - (aligned + rounded)));
#if defined(MADV_HUGEPAGE)
  madvise(aligned, rounded, MADV_HUGEPAGE);
#endif
  return {aligned, rounded};
}

Pages mapFile(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  struct stat status;
  if (fstat(file, &status) != 0) {
    const int error = errno;
    close(file);
    errno = error;
    return {};
  }
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    close(file);
    errno = S_ISREG(status.st_mode) ? 0 : EINVAL;
    return {};
  }
  const size_t bytes = size_t(status.st_size);
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  const int error = errno;
  close(file);  // the mapping keeps the file
  errno = error;
  if (data == MAP_FAILED) return {};
  return {data, bytes};
}

void freePages(Pages pages) {
  if (pages.data != nullptr) munmap(pages.data, pages.bytes);
}

Scratch::~Scratch() {
  for (int i = 0; i < numBlocks_; i++) freePages(blocks_[i]);
}

void* Scratch::allocate(size_t bytes) {
  const size_t rounded = roundUp(bytes == 0 ? 1 : bytes, 64);
  wanted_ += rounded;
  if (numBlocks_ > 0 && offset_ + rounded <= blocks_[numBlocks_ - 1].bytes) {
    void* data = static_cast<char*>(blocks_[numBlocks_ - 1].data) + offset_;
    offset_ += rounded;
    return data;
  }
  if (numBlocks_ == kMaxBlocks) return nullptr;
  const Pages block = allocatePages(rounded);
  if (block.data == nullptr) return nullptr;
  blocks_[numBlocks_++] = block;
  offset_ = rounded;
  return block.data;
}

void Scratch::reset() {
  if (numBlocks_ > 1) {
    for (int i = 0; i < numBlocks_; i++) freePages(blocks_[i]);
    numBlocks_ = 0;
    blocks_[0] = allocatePages(wanted_);
    if (blocks_[0].data != nullptr) numBlocks_ = 1;
  }
  offset_ = 0;
  wanted_ = 0;
}

size_t Scratch::reservedBytes() const {
  size_t bytes = 0;
  for (int i = 0; i < numBlocks_; i++) bytes += blocks_[i].bytes;
  return bytes;
}

}  // namespace moebius
