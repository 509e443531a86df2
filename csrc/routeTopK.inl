// The gate: scores, groups, experts, weights (DeepSeek-V3 report, 2.1.2), and its gradient.
//
//     scores  = sigmoid(logits) or softmax(logits)
//     choice  = scores + bias;    a group is worth its best choice value, or its two best added
//     experts = the K best choice values within the best groups, falling; ties to the lower index
//     weights = scale · scores of the chosen [/ (their sum + 1e-20)]
//
//     dScores[chosen] += scale/(S + 1e-20) · (dW_k − Σ_j dW_j s_j / (S + 1e-20)), or scale · dW_k
//     dLogits = dScores · s (1 − s), or s · (dScores − Σ_e dScores_e s_e)
//
// T tokens, E experts, K chosen. One pass over E with a sorted list of K; bytes: 8 · T · E forward,
// 12 backward. 256 experts take about 1 µs a token: neither memory nor FMAs bound it, but it is a
// hundredth of the layer. NaN counts as less than everything, so that a broken row still names
// experts that exist.
#pragma once
#include "rows.h"
#include "vmath.h"

namespace moebius {
namespace {

// What remains of a rule on this side; the order is that of native/routing.ts.
struct RoutingRule {
  bool isSoftmax;
  i64 numGroups, groupsKept;
  bool isTopTwo;
  bool isNormalised;
  float scale;
  explicit RoutingRule(Args& args)
      : isSoftmax(args.flag()),
        numGroups(args.integer()),
        groupsKept(args.integer()),
        isTopTwo(args.flag()),
        isNormalised(args.flag()),
        scale(args.real()) {}
};

constexpr float kSmallestSum = 1e-20f;  // keeps scores that all underflowed from dividing by zero

// The largest `capacity` of the values offered, falling; of equal ones those offered first.
struct TopList {
  float* values;
  i32* indices;
  i64 capacity;
  i64 size = 0;
  void offer(float value, i32 index) {
    if (value != value) value = kMinusInfinity;
    if (size == capacity && !(value > values[size - 1])) return;
    i64 at = size < capacity ? size++ : size - 1;
    for (; at > 0 && value > values[at - 1]; at--) {
      values[at] = values[at - 1];
      indices[at] = indices[at - 1];
    }
    values[at] = value;
    indices[at] = index;
  }
};

void scoreRow(float* scores, const float* logits, i64 experts, bool isSoftmax) {
  if (!isSoftmax) {
    writeRow(scores, experts,
             [&](i64 i, i64 count) { return vsigmoid(loadSome(logits + i, count)); });
    return;
  }
  float most = kMinusInfinity;
  for (i64 e = 0; e < experts; e++) most = maxOf(most, logits[e]);
  writeRow(scores, experts,
           [&](i64 i, i64 count) { return vexp(loadSome(logits + i, count) - splat(most)); });
  const vf total = splat(
      sumOverRow(experts, [&](i64 i, i64 count) { return loadSome(scores + i, count); }));
  writeRow(scores, experts, [&](i64 i, i64 count) { return loadSome(scores + i, count) / total; });
}

struct RoutingScratch {
  float *choice, *groupValues, *values;
  i32 *groups, *kept, *counts;
};

// Chooses among choice[0 … experts): ids of the rule's K best, falling.
void chooseExperts(const RoutingRule& rule, i64 experts, i64 perToken, const RoutingScratch& s,
                   i32* ids) {
  const i64 groupSize = experts / rule.numGroups;
  for (i64 g = 0; g < rule.numGroups; g++) s.kept[g] = rule.groupsKept == rule.numGroups;
  if (rule.groupsKept < rule.numGroups) {
    TopList best = {s.groupValues, s.groups, rule.groupsKept};
    for (i64 g = 0; g < rule.numGroups; g++) {
      float values[2];
      i32 indices[2];
      TopList two = {values, indices, rule.isTopTwo ? 2 : 1};
      for (i64 e = 0; e < groupSize; e++) two.offer(s.choice[g * groupSize + e], i32(e));
      best.offer(two.size == 2 ? values[0] + values[1] : values[0], i32(g));
    }
    for (i64 g = 0; g < best.size; g++) s.kept[s.groups[g]] = 1;
  }
  TopList top = {s.values, ids, perToken};
  for (i64 g = 0; g < rule.numGroups; g++) {
    if (s.kept[g] == 0) continue;
    for (i64 e = g * groupSize; e < (g + 1) * groupSize; e++) top.offer(s.choice[e], i32(e));
  }
}

// One token: its scores, and the ids and weights of the experts it goes to.
void routeRow(const RoutingRule& rule, const float* logits, const float* bias, i64 experts,
              i64 perToken, const RoutingScratch& s, float* scores, i32* ids, float* weights) {
  scoreRow(scores, logits, experts, rule.isSoftmax);
  for (i64 e = 0; e < experts; e++) s.choice[e] = scores[e] + bias[e];
  chooseExperts(rule, experts, perToken, s, ids);
  float total = kSmallestSum;
  for (i64 k = 0; k < perToken; k++) total += scores[ids[k]];
  const float factor = rule.isNormalised ? rule.scale / total : rule.scale;
  for (i64 k = 0; k < perToken; k++) weights[k] = scores[ids[k]] * factor;
}

// Words of scratch that routing a token takes.
i64 routingWords(const RoutingRule& rule, i64 experts, i64 perToken) {
  return (2 * experts + 3 * rule.numGroups + perToken + 15) / 16 * 16;
}
RoutingScratch routingScratch(float* at, const RoutingRule& rule, i64 experts, i64 perToken) {
  const i64 groups = rule.numGroups;
  i32* ints = reinterpret_cast<i32*>(at + experts + groups + perToken);
  return {at, at + experts, at + experts + groups, ints, ints + groups, ints + 2 * groups};
}

// args: scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule
void routeTopK(const Context& context, const double* raw) {
  Args args(raw);
  const auto scores = args.matrix();
  const auto ids = args.matrix<i32>();
  const auto weights = args.matrix();
  i32* counts = args.vector<i32>();
  const auto logits = args.matrix<const float>();
  const float* bias = args.vector<const float>();
  const RoutingRule rule(args);

  const i64 experts = logits.columns;
  const i64 perToken = ids.columns;
  const i64 words = routingWords(rule, experts, perToken);
  float* memory = scratch<float>(context, words * context.threads);
  const auto scratchOf = [&](int thread) {
    return routingScratch(memory + thread * words, rule, experts, perToken);
  };
  for (int thread = 0; thread < context.threads; thread++) {
    i32* mine = scratchOf(thread).counts;
    for (i64 e = 0; e < experts; e++) mine[e] = 0;
  }
  parallelFor(context, logits.rows, grainFor(16 * experts), [&](i64 begin, i64 end, int thread) {
    const RoutingScratch s = scratchOf(thread);
    for (i64 row = begin; row < end; row++) {
      i32* chosen = ids.row(row);
      routeRow(rule, logits.row(row), bias, experts, perToken, s, scores.row(row), chosen,
               weights.row(row));
      for (i64 k = 0; k < perToken; k++) {
        s.counts[chosen[k]]++;
      }
    }
  });
  for (int thread = 0; thread < context.threads; thread++) {
    const i32* mine = scratchOf(thread).counts;
    for (i64 e = 0; e < experts; e++) counts[e] += mine[e];
  }
}

// args: dLogits_TE, dWeights_TK, dScores_TE (may be left out), scores_TE, ids_TK, rule
void routeTopKBackward(const Context& context, const double* raw) {
  Args args(raw);
  const auto dLogits = args.matrix();
  const auto dWeights = args.matrix<const float>();
  const auto dScores = args.matrix<const float>();
  const auto scores = args.matrix<const float>();
  const auto ids = args.matrix<const i32>();
  const RoutingRule rule(args);
  const i64 experts = scores.columns;
  parallelFor(context, scores.rows, grainFor(8 * experts), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      float* d = dLogits.row(row);
      const float* score = scores.row(row);
      const float* dWeight = dWeights.row(row);
      const i32* chosen = ids.row(row);
      for (i64 e = 0; e < experts; e++) d[e] = dScores ? dScores.row(row)[e] : 0.0f;
      float total = kSmallestSum;
      float product = 0.0f;
      for (i64 k = 0; k < ids.columns; k++) {
        total += score[chosen[k]];
        product += dWeight[k] * score[chosen[k]];
      }
      for (i64 k = 0; k < ids.columns; k++) {
        d[chosen[k]] += rule.isNormalised ? (dWeight[k] - product / total) * (rule.scale / total)
                                          : dWeight[k] * rule.scale;
      }
      float mean = 0.0f;
      if (rule.isSoftmax) {
        for (i64 e = 0; e < experts; e++) mean += d[e] * score[e];
      }
      writeRow(d, experts, [&](i64 i, i64 count) {
        const vf s = loadSome(score + i, count);
        const vf gradient = loadSome(d + i, count);
        return rule.isSoftmax ? s * (gradient - splat(mean)) : gradient * s * (splat(1.0f) - s);
      });
    }
  });
}

}  // namespace
}  // namespace moebius
