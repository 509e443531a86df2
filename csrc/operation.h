// What every operation is written with: argument reading and the static split over threads.
// Included by each isa_*.cpp inside its own target, hence the unnamed namespace.
#pragma once
#include "kernels.h"

namespace moebius {
namespace {

using i64 = int64_t;
using i32 = int32_t;
using u32 = uint32_t;
using u64 = uint64_t;
using u16 = uint16_t;
using u8 = uint8_t;

enum class DType : int { f32 = 0, bf16 = 1, f16 = 2, f8e4m3 = 3, i32 = 4 };

// Rows of contiguous columns, `stride` elements apart.
template <class T>
struct Matrix {
  T* data;
  i64 rows, columns, stride;
  T* row(i64 index) const { return data + index * stride; }
  explicit operator bool() const { return data != nullptr; }
};

// A matrix whose element type is known at run time only.
struct AnyMatrix {
  void* data;
  i64 rows, columns, stride;
  DType dtype;
  template <class T>
  Matrix<T> as() const {
    return {static_cast<T*>(data), rows, columns, stride};
  }
};

// Where the subnormal and NaN codes of f8 weights are (findSpecialCodes): of row r the entries from
// begins[r] to begins[r + 1], each column · 256 + code. Null where nobody looked or found too
// many.
struct SpecialCodes {
  const i32* begins;
  const u32* entries;
};

// Weights with the scales of their 128 × 128 blocks; `scales.data` is null unless f8e4m3.
struct Weights {
  AnyMatrix values;
  Matrix<const float> scales;
  SpecialCodes specials;
};

struct List {
  const double* data;
  i64 length;
  i64 operator[](i64 index) const { return static_cast<i64>(data[index]); }
};

// Reads arguments in the order compiled/call.ts wrote them.
class Args {
 public:
  explicit Args(const double* args) : next_(args) {}

  double number() { return *next_++; }
  float real() { return static_cast<float>(*next_++); }
  i64 integer() { return static_cast<i64>(*next_++); }
  bool flag() { return *next_++ != 0; }

  AnyMatrix any() {
    void* data = reinterpret_cast<void*>(static_cast<uintptr_t>(next_[0]));
    const AnyMatrix matrix = {data, static_cast<i64>(next_[1]), static_cast<i64>(next_[2]),
                              static_cast<i64>(next_[3]), static_cast<DType>(int(next_[4]))};
    next_ += 5;
    return matrix;
  }
  // A tensor as rows × columns; `data` is null where an optional tensor was left out.
  template <class T = float>
  Matrix<T> matrix() {
    return any().as<T>();
  }
  // A contiguous tensor's first element, when its size is known from elsewhere.
  template <class T = float>
  T* vector() {
    return static_cast<T*>(any().data);
  }
  Weights weights() {
    const AnyMatrix values = any();
    const Matrix<const float> scales = matrix<const float>();
    const i32* begins = address<const i32>();
    const u32* entries = address<const u32>();
    if (begins != nullptr && begins[0] < 0) begins = nullptr;
    return {values, scales, {begins, entries}};
  }
  // A list of whole numbers (`sequences`).
  List list() {
    const double* data = reinterpret_cast<const double*>(static_cast<uintptr_t>(next_[0]));
    const List list = {data, static_cast<i64>(next_[1])};
    next_ += 2;
    return list;
  }

 private:
  template <class T>
  T* address() {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(*next_++));
  }
  const double* next_;
};

template <class T>
constexpr T minOf(T a, T b) {
  return a < b ? a : b;
}
template <class T>
constexpr T maxOf(T a, T b) {
  return a > b ? a : b;
}
inline i64 bytesOf(DType dtype) {
  return dtype == DType::f8e4m3 ? 1 : dtype == DType::bf16 || dtype == DType::f16 ? 2 : 4;
}
// memcpy without a library; the compiler may not turn the loop into a call of it.
inline void copyBytes(void* to, const void* from, i64 count) {
  u8* p = static_cast<u8*>(to);
  const u8* q = static_cast<const u8*>(from);
  i64 i = 0;
  for (; i + 64 <= count; i += 64) __builtin_memcpy(p + i, q + i, 64);
  for (; i < count; i++) p[i] = q[i];
}
constexpr i64 ceilDiv(i64 a, i64 b) { return (a + b - 1) / b; }

// body(begin, end, thread) on at most `threads` ranges of [0, n), equal to within one unit of
// `grain`: a range smaller than the grain is not worth waking a thread for (about 1 µs).
// The split depends on n, grain and the thread count only. Ranges start at multiples of `grain`.
template <class Body>
void parallelFor(const Context& context, i64 n, i64 grain, const Body& body) {
  if (n <= 0) return;
  const i64 units = ceilDiv(n, grain);
  const int threads = static_cast<int>(minOf<i64>(context.threads, units));
  if (threads <= 1) {
    body(i64(0), n, 0);
    return;
  }
  struct Task {
    const Body* body;
    i64 n, grain, units, threads;
  } task = {&body, n, grain, units, threads};
  context.parallel(
      context.host, threads,
      [](void* data, int thread) {
        const Task& t = *static_cast<const Task*>(data);
        const i64 begin = t.units * thread / t.threads * t.grain;
        const i64 end = minOf(t.units * (thread + 1) / t.threads * t.grain, t.n);
        if (begin < end) (*t.body)(begin, end, thread);
      },
      &task);
}

// body(thread) once on every thread: for phases that divide their own work.
template <class Body>
void onEveryThread(const Context& context, const Body& body) {
  parallelFor(context, context.threads, 1, [&](i64 begin, i64, int) { body(int(begin)); });
}

// Scratch for `count` elements, until the operation returns. Only outside parallel sections.
template <class T>
T* scratch(const Context& context, i64 count) {
  const uint64_t bytes = uint64_t(count) * sizeof(T);
  // Where addresses have 32 bits: more than there can be, which the host refuses.
  const bool isTooMuch = sizeof(size_t) < 8 && bytes > SIZE_MAX;
  return static_cast<T*>(context.allocate(context.host, isTooMuch ? SIZE_MAX : size_t(bytes)));
}

// Grain so that one thread's share is worth its wake-up: `unitsOfWork` ≈ floats touched per unit.
inline i64 grainFor(i64 floatsPerUnit) {
  return maxOf<i64>(1, 16384 / maxOf<i64>(1, floatsPerUnit));
}

}  // namespace
}  // namespace moebius
