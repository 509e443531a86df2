// What the binding and the kernels know of each other: plain types, no code.
//
// Every instruction set is one translation unit (isa_*.cpp) that compiles *all* operations for it
// and exports one table of function pointers. Nothing here may have a function body: an inline
// function compiled in two of those units would be merged by the linker, and the survivor could
// hold instructions the machine lacks. Code shared by operations is in operation.h and simd.h,
// which every unit includes inside an unnamed namespace.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace moebius {

// Raised, with src/kernels/compiled/abi.ts, when the binding or an operation's arguments change.
constexpr int kAbiVersion = 4;

// What an operation may ask of its host. A host is the addon (threads, huge pages) or, for WASM,
// a page of JavaScript; an operation itself touches no system.
struct Context {
  int threads;
  void* host;
  // Runs task(data, 0 … threads-1), the caller taking part, and returns when all are done.
  void (*parallel)(void* host, int threads, void (*task)(void* data, int thread), void* data);
  // Scratch of that many bytes, 64-byte aligned, dirty, valid until the operation returns.
  // Only outside parallel sections.
  void* (*allocate)(void* host, size_t bytes);
};

// Independent chains of multiply-adds in rooflineFma.
constexpr int kRooflineChains = 12;

// An operation reads its arguments from an array of doubles, in the order of its header comment.
using Operation = void (*)(const Context& context, const double* args);

enum OperationId {
#define OPERATION(name) k_##name,
#include "operations.def"
#undef OPERATION
  kNumOperations
};

struct Isa {
  const char* name;
  int lanes;  // floats per vector
  Operation operations[kNumOperations];
};

extern const Isa kIsaBaseline;
#if defined(__x86_64__)
extern const Isa kIsaAvx2;
extern const Isa kIsaAvx512;
#endif

}  // namespace moebius
