// Weights from files to where they are computed on, by threads of their own, while other threads
// may already compute.
//
// Copies belong to groups (an expert's matrices and scales, say). Groups are read in order; those
// that somebody needs now come before all others. Files are read and not mapped: what is read lies
// in memory once, a file that is cut short is an error and not the end of the process, and reads
// of 4 MiB by several threads keep a disk as busy as its own queue allows.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace moebius {

struct FileCopy {
  uint32_t group;
  uint32_t file;
  uint64_t offset;  // in the file
  char* out;
  uint64_t bytes;
};

// What the system keeps of a file once it was read.
enum class CachePolicy { kKeep, kDrop };

struct LoaderProgress {
  uint64_t bytes;
  uint64_t groups;  // that are there, counted from the first to the first that is not
};

class Loader {
 public:
  // Copies are sorted by group; groups count from 0 without a gap. Threads start at once.
  Loader(std::vector<std::string> paths, const std::vector<FileCopy>& copies, uint32_t numGroups,
         int threads, CachePolicy policy);
  ~Loader();

  // Returns when all these groups are there, or when loading failed or was stopped. The caller
  // helps with the reading.
  void need(const uint32_t* groups, size_t count);
  uint32_t numGroups() const { return uint32_t(groups_.size()); }
  LoaderProgress progress();
  // Empty while nothing is wrong.
  std::string error();
  // No byte is written once this returns.
  void stop();

 private:
  struct Part {
    uint32_t group;
    uint32_t file;
    uint64_t offset;
    char* out;
    uint64_t bytes;
  };
  struct Group {
    size_t next;  // the first part that nobody has taken
    size_t end;
    size_t left;  // parts that are not there yet
  };
  enum class Which { kNeeded, kAny };

  const Part* take(Which which);  // under the lock; null when there is nothing to take
  void read(const Part& part, std::unique_lock<std::mutex>& lock);
  std::string readPart(const Part& part);
  void work();

  std::vector<std::string> paths_;
  std::vector<int> files_;
  std::vector<Part> parts_;
  std::vector<Group> groups_;
  std::vector<std::thread> threads_;
  const CachePolicy policy_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<uint32_t> needed_;
  uint32_t cursor_ = 0;  // groups below it are taken
  uint64_t bytesDone_ = 0;
  size_t inOrder_ = 0;  // groups below it are there
  std::string error_;
  bool isStopped_ = false;
};

}  // namespace moebius
