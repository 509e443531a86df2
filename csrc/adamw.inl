// One AdamW step in place (Loshchilov and Hutter, 2019), one pass over everything.
//
//     g = gradientScale · gradient
//     m = β₁ m + (1 − β₁) g            v = β₂ v + (1 − β₂) g²
//     θ = decay · θ − rate · m / (√(v · correction) + ε)
//
// with decay = 1 − lr λ, rate = lr / (1 − β₁ᵗ) and correction = 1 / (1 − β₂ᵗ) from the caller, who
// has doubles. Moments are f32 or bf16; the step uses them before they are rounded.
//
// FLOPs: 13 per element, with a root and a division; bytes: 28 per element, 20 with bf16 moments.
// Bound by memory.
#pragma once
#include "narrow.h"
#include "rows.h"

namespace moebius {
namespace {

MOEBIUS_INLINE vf rootOf(vf v) {
  vf root;
  MOEBIUS_UNROLL
  for (int i = 0; i < kLanes; i++) root[i] = __builtin_sqrtf(v[i]);
  return root;
}

struct AdamStep {
  float beta1, rest1, beta2, rest2, decay, rate, correction, epsilon, gradientScale;
};

template <class M, class V>
void adamwRun(const AdamStep& step, float* parameter, const float* gradient, M* first, V* second,
              i64 columns) {
  for (i64 i = 0; i < columns; i += kLanes) {
    const i64 count = minOf<i64>(kLanes, columns - i);
    const bool isWhole = count == kLanes;
    const vf g = loadSome(gradient + i, count) * splat(step.gradientScale);
    vf m = isWhole ? widen(first + i) : widenPart(first + i, count);
    vf v = isWhole ? widen(second + i) : widenPart(second + i, count);
    m = fma(splat(step.beta1), m, splat(step.rest1) * g);
    v = fma(splat(step.beta2), v, splat(step.rest2) * g * g);
    const vf direction = m / (rootOf(v * splat(step.correction)) + splat(step.epsilon));
    const vf before = loadSome(parameter + i, count);
    const vf after = fma(splat(-step.rate), direction, before * splat(step.decay));
    storeSome(parameter + i, after, count);
    if (isWhole) {
      narrow(first + i, m);
      narrow(second + i, v);
    } else {
      narrowPart(first + i, m, count);
      narrowPart(second + i, v, count);
    }
  }
}

// args: parameter, gradient, firstMoment, secondMoment, beta1, 1 − beta1, beta2, 1 − beta2, decay,
// rate, correction, epsilon, gradientScale
void adamw(const Context& context, const double* raw) {
  Args args(raw);
  Matrix<float> parameter = args.matrix();
  const auto gradient = args.matrix<const float>();
  const AnyMatrix first = args.any();
  const AnyMatrix second = args.any();
  const AdamStep step = {args.real(), args.real(), args.real(), args.real(), args.real(),
                         args.real(), args.real(), args.real(), args.real()};
  // Rows that follow each other are one row, so that vectors are whole.
  const auto isWhole = [&](i64 stride) { return stride == parameter.columns; };
  const bool isDense = parameter.rows <= 1 ||
                       (isWhole(parameter.stride) && isWhole(gradient.stride) &&
                        isWhole(first.stride) && isWhole(second.stride));
  const auto update = [&]<class M, class V>(M*, V*) {
    M* m = static_cast<M*>(first.data);
    V* v = static_cast<V*>(second.data);
    if (isDense) {
      const i64 count = parameter.rows * parameter.columns;
      parallelFor(context, count, 4096, [&](i64 begin, i64 end, int) {
        adamwRun(step, parameter.data + begin, gradient.data + begin, m + begin, v + begin,
                 end - begin);
      });
      return;
    }
    parallelFor(context, parameter.rows, grainFor(7 * parameter.columns),
                [&](i64 begin, i64 end, int) {
      for (i64 row = begin; row < end; row++) {
        adamwRun(step, parameter.row(row), gradient.row(row), m + row * first.stride,
                 v + row * second.stride, parameter.columns);
      }
    });
  };
  float* wide = nullptr;
  Bf16* half = nullptr;
  if (first.dtype == DType::f32) {
    if (second.dtype == DType::f32) return update(wide, wide);
    return update(wide, half);
  }
  if (second.dtype == DType::f32) return update(half, wide);
  update(half, half);
}

}  // namespace
}  // namespace moebius
