// fill, copy, add, scale, lerp, sumOfSquares: one pass over rows of R × N elements.
//
// Bytes: 4–12 per element, FLOPs: 0–3 per element; bound by memory bandwidth throughout. Rows may
// be strided; a contiguous tensor counts as one row.
#pragma once
#include "narrow.h"

namespace moebius {
namespace {

constexpr i64 kElementGrain = 8192;

template <class T>
bool isDense(const Matrix<T>& m) {
  return m.stride == m.columns || m.rows <= 1;
}

// Splits the elements of equally shaped matrices over threads; body(count, a, b, c) sees runs that
// are contiguous in all three.
template <class A, class B, class C, class Body>
void forRuns(const Context& context, Matrix<A> a, Matrix<B> b, Matrix<C> c, const Body& body) {
  if (isDense(a) && isDense(b) && isDense(c)) {
    a.columns *= a.rows;
    a.rows = 1;
  }
  parallelFor(context, a.rows * a.columns, kElementGrain, [&](i64 begin, i64 end, int) {
    i64 row = begin / a.columns;
    i64 column = begin % a.columns;
    while (begin < end) {
      const i64 count = minOf(a.columns - column, end - begin);
      body(count, a.row(row) + column, b.row(row) + column, c.row(row) + column);
      begin += count;
      row++;
      column = 0;
    }
  });
}

// What is longer is not in the caches any more when it is read.
constexpr i64 kFillPast = 1 << 18;  // floats

void fillPast(float* p, i64 count, float value) {
  const vf wide = splat(value);
  const i64 skew = i64(reinterpret_cast<uintptr_t>(p) / sizeof(float) % kLanes);
  const i64 head = minOf(count, (kLanes - skew) % kLanes);
  for (i64 i = 0; i < head; i++) p[i] = value;
  i64 i = head;
  for (; i + kLanes <= count; i += kLanes) storePast(p + i, wide);
  for (; i < count; i++) p[i] = value;
  endStoresPast();
}

// args: out, value
void fill(const Context& context, const double* raw) {
  Args args(raw);
  const AnyMatrix any = args.any();
  const double value = args.number();
  if (any.dtype == DType::i32) {
    const Matrix<i32> out = any.as<i32>();
    forRuns(context, out, out, out, [&](i64 count, i32* p, i32*, i32*) {
      for (i64 i = 0; i < count; i++) p[i] = i32(value);
    });
    return;
  }
  forWeightType(any.dtype, [&]<class T>(const T*) {
    const Matrix<T> out = any.as<T>();
    if constexpr (sizeof(T) == sizeof(float)) {
      if (isDense(out) && out.rows * out.columns >= kFillPast) {
        return forRuns(context, out, out, out, [&](i64 count, float* p, float*, float*) {
          fillPast(p, count, float(value));
        });
      }
    }
    const vf wide = splat(float(value));
    forRuns(context, out, out, out, [&](i64 count, T* p, T*, T*) {
      i64 i = 0;
      for (; i + kLanes <= count; i += kLanes) narrow(p + i, wide);
      if (i < count) narrowPart(p + i, wide, count - i);
    });
  });
}

// args: out, x (dtypes f32, bf16, f16, in any combination; i32 to i32)
void copy(const Context& context, const double* raw) {
  Args args(raw);
  const AnyMatrix to = args.any();
  const AnyMatrix from = args.any();
  // Bits that stay as they are (also NaN payloads) are moved as bytes.
  if (to.dtype == from.dtype) {
    const i64 size = bytesOf(to.dtype);
    const auto bytes = [&](const AnyMatrix& m) {
      return Matrix<u8>{static_cast<u8*>(m.data), m.rows, m.columns * size, m.stride * size};
    };
    forRuns(context, bytes(to), bytes(from), bytes(from),
            [&](i64 count, u8* p, u8* q, u8*) { copyBytes(p, q, count); });
    return;
  }
  forWeightType(to.dtype, [&]<class Out>(const Out*) {
    forWeightType(from.dtype, [&]<class X>(const X*) {
      const Matrix<X> x = from.as<X>();
      forRuns(context, to.as<Out>(), x, x, [&](i64 count, Out* p, const X* q, const X*) {
        i64 i = 0;
        for (; i + kLanes <= count; i += kLanes) narrow(p + i, widen(q + i));
        if (i < count) narrowPart(p + i, widenPart(q + i, count - i), count - i);
      });
    });
  });
}

// p[i] = step(a[i], b[i]) over a run.
template <class Step>
MOEBIUS_INLINE void mapRun(i64 count, float* p, const float* a, const float* b, const Step& step) {
  i64 i = 0;
  for (; i + kLanes <= count; i += kLanes) store(p + i, step(load(a + i), load(b + i)));
  if (i < count) {
    storePart(p + i, step(loadPart(a + i, count - i), loadPart(b + i, count - i)), count - i);
  }
}

// args: out, a, b
void add(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const Matrix<float> a = args.matrix();
  const Matrix<float> b = args.matrix();
  forRuns(context, out, a, b, [](i64 count, float* p, float* q, float* r) {
    mapRun(count, p, q, r, [](vf x, vf y) { return x + y; });
  });
}

// args: x, factor
void scale(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> x = args.matrix();
  const vf factor = splat(args.real());
  forRuns(context, x, x, x, [&](i64 count, float* p, float*, float*) {
    mapRun(count, p, p, p, [&](vf value, vf) { return value * factor; });
  });
}

// args: out, x, weight
void lerp(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  const Matrix<float> x = args.matrix();
  const vf weight = splat(args.real());
  forRuns(context, out, x, x, [&](i64 count, float* p, float* q, float*) {
    mapRun(count, p, p, q, [&](vf old, vf now) { return fma(weight, now - old, old); });
  });
}

// args: out, x
// Blocks of a fixed length are summed on their own, then in order: the result does not depend on
// the thread count. Each block has kLanes × 4 partial sums, so the error grows with n / 2^16.
void sumOfSquares(const Context& context, const double* raw) {
  Args args(raw);
  float* out = args.vector();
  Matrix<const float> x = args.matrix<const float>();
  if (isDense(x)) {
    x.columns *= x.rows;
    x.rows = 1;
  }
  constexpr i64 kBlock = 16384;
  const i64 blocksPerRow = ceilDiv(x.columns, kBlock);
  const i64 numBlocks = x.rows * blocksPerRow;
  float* sums = scratch<float>(context, numBlocks);
  parallelFor(context, numBlocks, 1, [&](i64 begin, i64 end, int) {
    for (i64 block = begin; block < end; block++) {
      const i64 column = block % blocksPerRow * kBlock;
      const float* p = x.row(block / blocksPerRow) + column;
      const i64 count = minOf(kBlock, x.columns - column);
      vf partial[4] = {};
      i64 i = 0;
      for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
        for (int j = 0; j < 4; j++) {
          const vf v = load(p + i + j * kLanes);
          partial[j] = fma(v, v, partial[j]);
        }
      }
      for (; i < count; i += kLanes) {
        const vf v = i + kLanes <= count ? load(p + i) : loadPart(p + i, count - i);
        partial[0] = fma(v, v, partial[0]);
      }
      sums[block] = sum((partial[0] + partial[1]) + (partial[2] + partial[3]));
    }
  });
  double total = 0;
  for (i64 block = 0; block < numBlocks; block++) total += double(sums[block]);
  *out = float(total);
}

}  // namespace
}  // namespace moebius
