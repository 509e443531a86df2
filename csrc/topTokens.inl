// The likeliest tokens of every row of logits, and log probabilities of them and of one more.
//
//     x = (z − max z) / temperature        ln p = x − ln Σ exp(x)
//
// T rows, V vocabulary, N tokens of each (20 at most). Bytes: 4 · T · V, read twice; bound by the
// exponentials, in float32 where the temperature is 1, as `sampleTokens` has them, else in doubles.
// A block keeps its N best in order; a vector that has nothing above the last of them is passed by.
#pragma once
#include "rows.h"
#include "sampleTokens.inl"
#include "vmath.h"

namespace moebius {
namespace {

constexpr i64 kMostTop = 20;

struct LikelyTokens {
  i64 count;
  float logits[kMostTop];
  i32 ids[kMostTop];

  // Ids come rising, so that of equal logits the lower id stays in front.
  MOEBIUS_NOINLINE void insert(float logit, i64 id, i64 most) {
    if (count == most && !(logit > logits[most - 1])) return;
    i64 place = count < most ? count++ : most - 1;
    for (; place > 0 && logit > logits[place - 1]; place--) {
      logits[place] = logits[place - 1];
      ids[place] = ids[place - 1];
    }
    logits[place] = logit;
    ids[place] = i32(id);
  }
};

void findTop(const float* logits, i64 first, i64 count, i64 most, LikelyTokens* list) {
  list->count = 0;
  if (most == 0) return;
  i64 i = 0;
  for (; i < count && list->count < most; i++) list->insert(logits[i], first + i, most);
  for (; i + kLanes <= count; i += kLanes) {
    if (!anyLane(load(logits + i) > splat(list->logits[most - 1]))) continue;
    for (i64 j = i; j < i + kLanes; j++) list->insert(logits[j], first + j, most);
  }
  for (; i < count; i++) list->insert(logits[i], first + i, most);
}

MOEBIUS_NOINLINE vd weightsOf(vd logits, double largest, double inverse) {
  return vexpDouble((logits - largest) * inverse);
}

double sumOfWeights(const float* logits, i64 count, float largest, double temperature) {
  vd low = {};
  vd high = {};
  const bool isTempered = temperature != 1;
  const vf base = splat(largest);
  const double inverse = minOf(1.0 / temperature, 1e300);
  for (i64 i = 0; i < count; i += kLanes) {
    float padded[kLanes];
    const float* from = logits + i;
    if (i + kLanes > count) {
      for (i64 j = 0; j < kLanes; j++) padded[j] = i + j < count ? from[j] : kMinusInfinity;
      from = padded;
    }
    const vf z = load(from);
    vd lowPart;
    vd highPart;
    toDoubles(isTempered ? z : vexp(z - base), &lowPart, &highPart);
    low += isTempered ? weightsOf(lowPart, largest, inverse) : lowPart;
    high += isTempered ? weightsOf(highPart, largest, inverse) : highPart;
  }
  double parts[kLanes];
  store(parts, low);
  store(parts + kLanes / 2, high);
  double sum = 0;
  for (int i = 0; i < kLanes; i++) sum += parts[i];
  return sum;
}

// args: ids_TN, logProbabilities_TN, chosenLogProbabilities_T, chosen_T, logits_TV, temperatures.
void topTokens(const Context& context, const double* raw) {
  Args args(raw);
  const auto ids = args.matrix<i32>();
  const auto logProbabilities = args.matrix();
  float* chosenLogProbabilities = args.vector();
  const i32* chosen = args.vector<i32>();
  const auto logits = args.matrix<const float>();
  const double* temperatures = args.list().data;

  const i64 vocabulary = logits.columns;
  const i64 most = ids.columns;
  const i64 perRow = ceilDiv(vocabulary, kSampleBlock);
  SampledBlock* blocks = scratch<SampledBlock>(context, logits.rows * perRow);
  LikelyTokens* lists = scratch<LikelyTokens>(context, logits.rows * perRow);
  const i64 grain = grainFor(8 * minOf(vocabulary, kSampleBlock));
  const auto forBlocks = [&](const auto& body) {
    parallelFor(context, logits.rows * perRow, grain, [&](i64 begin, i64 end, int) {
      for (i64 task = begin; task < end; task++) {
        const i64 first = task % perRow * kSampleBlock;
        body(task, first, minOf(kSampleBlock, vocabulary - first));
      }
    });
  };
  forBlocks([&](i64 task, i64 first, i64 count) {
    const float* from = logits.row(task / perRow) + first;
    findLargest(from, first, count, &blocks[task]);
    findTop(from, first, count, most, &lists[task]);
  });
  const auto largestOf = [&](i64 row) {
    float largest = kMinusInfinity;
    for (i64 b = 0; b < perRow; b++) largest = maxOf(largest, blocks[row * perRow + b].largest);
    return largest;
  };
  forBlocks([&](i64 task, i64 first, i64 count) {
    const i64 row = task / perRow;
    const float* from = logits.row(row) + first;
    blocks[task].sum = sumOfWeights(from, count, largestOf(row), temperatures[row]);
  });
  for (i64 row = 0; row < logits.rows; row++) {
    const double largest = largestOf(row);
    double sum = 0;
    for (i64 b = 0; b < perRow; b++) sum += blocks[row * perRow + b].sum;
    const double log = logOneDouble(sum);
    const auto logProbability = [&](float logit) {
      return float((double(logit) - largest) / temperatures[row] - log);
    };
    chosenLogProbabilities[row] = logProbability(logits.row(row)[chosen[row]]);
    LikelyTokens best;
    best.count = 0;
    for (i64 b = 0; b < perRow; b++) {
      const LikelyTokens& list = lists[row * perRow + b];
      for (i64 n = 0; n < list.count; n++) best.insert(list.logits[n], list.ids[n], most);
    }
    for (i64 n = 0; n < most; n++) {
      ids.row(row)[n] = best.ids[n];
      logProbabilities.row(row)[n] = logProbability(best.logits[n]);
    }
  }
}

}  // namespace
}  // namespace moebius
