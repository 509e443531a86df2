// Reading weights by threads: parts of 4 MiB, taken under one lock, read with it open.
#include "loader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace moebius {
namespace {

// Enough for a disk's full speed, and little to wait for when something else is needed.
constexpr uint64_t kPartBytes = uint64_t(4) << 20;

}  // namespace

Loader::Loader(std::vector<std::string> paths, const std::vector<FileCopy>& copies,
               uint32_t numGroups, int threads, CachePolicy policy)
    : paths_(std::move(paths)), groups_(numGroups, Group{0, 0, 0}), policy_(policy) {
  for (const std::string& path : paths_) {
    files_.push_back(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (files_.back() < 0 && error_.empty()) error_ = path + ": " + std::strerror(errno);
  }
  for (const FileCopy& copy : copies) {
    Group& group = groups_[copy.group];
    if (group.left == 0) group.next = parts_.size();
    for (uint64_t from = 0; from < copy.bytes; from += kPartBytes) {
      const uint64_t bytes = std::min(kPartBytes, copy.bytes - from);
      parts_.push_back({copy.group, copy.file, copy.offset + from, copy.out + from, bytes});
      group.left++;
    }
    group.end = parts_.size();
  }
  for (int i = 0; i < threads; i++) threads_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  stop();
  for (const int file : files_) {
    if (file >= 0) close(file);
  }
}

void Loader::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    isStopped_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Loader::need(const uint32_t* groups, size_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  bool isWaiting = false;
  for (size_t i = 0; i < count; i++) {
    if (groups_[groups[i]].left == 0) continue;
    needed_.push_back(groups[i]);
    isWaiting = true;
  }
  if (!isWaiting) return;
  // Whoever goes through the model needs what lies behind this next.
  const uint32_t last = *std::max_element(groups, groups + count);
  cursor_ = (last + 1) % uint32_t(groups_.size());
  const auto isThere = [&] {
    for (size_t i = 0; i < count; i++) {
      if (groups_[groups[i]].left > 0) return false;
    }
    return true;
  };
  while (!isThere() && !isStopped_ && error_.empty()) {
    const Part* part = take(Which::kNeeded);
    if (part != nullptr) read(*part, lock);
    else arrived_.wait(lock);
  }
}

LoaderProgress Loader::progress() {
  std::lock_guard<std::mutex> lock(mutex_);
  while (inOrder_ < groups_.size() && groups_[inOrder_].left == 0) inOrder_++;
  return {bytesDone_, inOrder_};
}

std::string Loader::error() {
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

const Loader::Part* Loader::take(Which which) {
  while (!needed_.empty()) {
    Group& group = groups_[needed_.front()];
    if (group.next < group.end) return &parts_[group.next++];
    needed_.pop_front();
  }
  if (which == Which::kNeeded) return nullptr;
  for (size_t looked = 0; looked < groups_.size(); looked++) {
    Group& group = groups_[cursor_];
    if (group.next < group.end) return &parts_[group.next++];
    cursor_ = (cursor_ + 1) % uint32_t(groups_.size());
  }
  return nullptr;
}

// Reads with the lock open, and notes what has come of it.
void Loader::read(const Part& part, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  std::string error = readPart(part);
  lock.lock();
  if (!error.empty()) {
    if (error_.empty()) error_ = std::move(error);
    arrived_.notify_all();
    return;
  }
  bytesDone_ += part.bytes;
  if (--groups_[part.group].left > 0) return;
  arrived_.notify_all();
}

std::string Loader::readPart(const Part& part) {
  const int file = files_[part.file];
  uint64_t done = 0;
  while (done < part.bytes) {
    const ssize_t count =
        pread(file, part.out + done, part.bytes - done, off_t(part.offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return paths_[part.file] + ": " + std::strerror(errno);
    if (count == 0) return paths_[part.file] + " ended while it was being read";
    done += uint64_t(count);
  }
#if defined(POSIX_FADV_DONTNEED)
  if (policy_ == CachePolicy::kDrop) {
    posix_fadvise(file, off_t(part.offset), off_t(part.bytes), POSIX_FADV_DONTNEED);
  }
#endif
  return {};
}

void Loader::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!isStopped_ && error_.empty()) {
    const Part* part = take(Which::kAny);
    if (part == nullptr) return;
    read(*part, lock);
  }
}

}  // namespace moebius
