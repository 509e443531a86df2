// Sequence-wise balance loss (DeepSeek-V3 report, eq. 17–20), averaged over the sequences that have
// tokens, and its gradient with respect to the scores (none passes through f).
//
//     f_i  = E / (K T) · #{t : expert i counts at t}        "counts": among the K best raw scores
//     p_ti = s_ti / Σ_j s_tj (sigmoid) or s_ti (softmax)      (paper), or chosen (selected)
//     loss = mean over sequences of Σ_i f_i · mean_t p_ti
//     dScores_ti = coefficient / (T · sequences) · (f_i − Σ_j f_j p_tj) / Σ_j s_tj, or · f_i
//
// T tokens of a sequence, E experts, K chosen. Bytes: 12 · T · E; FLOPs: 6 · T · E. Bound by memory
// or, in the paper's form, by finding the K best. Tokens are counted, then summed, by blocks of a
// fixed length added in order: no sum depends on the thread count.
#pragma once
#include "routeTopK.inl"

namespace moebius {
namespace {

constexpr i64 kBalanceBlock = 64;  // tokens

struct BalanceBlock {
  i64 begin, end;
  i64 sequence;
};

// args: loss, dScores_TE, scores_TE, ids_TK, sequences, isPaper, isSoftmax, coefficient
void balanceLoss(const Context& context, const double* raw) {
  Args args(raw);
  float* loss = args.vector();
  const auto dScores = args.matrix();
  const auto scores = args.matrix<const float>();
  const auto ids = args.matrix<const i32>();
  const List sequences = args.list();
  const bool isPaper = args.flag();
  const bool isSoftmax = args.flag();
  const double coefficient = args.number();

  const i64 experts = scores.columns;
  const i64 perToken = ids.columns;
  const i64 numSequences = sequences.length - 1;
  i64 numFilled = 0;
  i64 numBlocks = 0;
  BalanceBlock* blocks =
      scratch<BalanceBlock>(context, ceilDiv(scores.rows, kBalanceBlock) + numSequences);
  for (i64 i = 0; i < numSequences; i++) {
    numFilled += sequences[i + 1] > sequences[i];
    for (i64 t = sequences[i]; t < sequences[i + 1]; t += kBalanceBlock) {
      blocks[numBlocks++] = {t, minOf(t + kBalanceBlock, sequences[i + 1]), i};
    }
  }
  float* fractions = scratch<float>(context, numSequences * experts);
  i32* counts = scratch<i32>(context, numBlocks * experts);
  float* sums = scratch<float>(context, numBlocks);
  const i64 listWords = ceilDiv(2 * perToken, 16) * 16;  // no two threads in one cache line
  float* lists = scratch<float>(context, context.threads * listWords);

  const i64 grain = grainFor(kBalanceBlock * experts * 2);
  parallelFor(context, numBlocks, grain, [&](i64 begin, i64 end, int thread) {
    for (i64 b = begin; b < end; b++) {
      i32* count = counts + b * experts;
      float* list = lists + thread * listWords;
      for (i64 e = 0; e < experts; e++) count[e] = 0;
      for (i64 t = blocks[b].begin; t < blocks[b].end; t++) {
        const i32* counted = ids.row(t);
        if (isPaper) {
          TopList top = {list, reinterpret_cast<i32*>(list + perToken), perToken};
          for (i64 e = 0; e < experts; e++) top.offer(scores.row(t)[e], i32(e));
          counted = top.indices;
        }
        for (i64 k = 0; k < perToken; k++) count[counted[k]]++;
      }
    }
  });
  for (i64 i = 0; i < numSequences * experts; i++) fractions[i] = 0.0f;
  for (i64 b = 0; b < numBlocks; b++) {  // whole numbers below 2^24: exact
    float* fraction = fractions + blocks[b].sequence * experts;
    for (i64 e = 0; e < experts; e++) fraction[e] += float(counts[b * experts + e]);
  }
  for (i64 i = 0; i < numSequences; i++) {
    const double tokens = double(sequences[i + 1] - sequences[i]);
    const double unit = double(experts) / (double(perToken) * tokens);
    for (i64 e = 0; e < experts && tokens > 0; e++) {
      fractions[i * experts + e] = float(fractions[i * experts + e] * unit);
    }
  }
  parallelFor(context, numBlocks, grain, [&](i64 begin, i64 end, int) {
    for (i64 b = begin; b < end; b++) {
      const i64 i = blocks[b].sequence;
      const float* fraction = fractions + i * experts;
      const double perRow = 1.0 / (double(sequences[i + 1] - sequences[i]) * double(numFilled));
      const vf factor = splat(float(coefficient * perRow));
      float total = 0.0f;
      for (i64 t = blocks[b].begin; t < blocks[b].end; t++) {
        const float* score = scores.row(t);
        const float product = sumOverRow(experts, [&](i64 e, i64 count) {
          return loadSome(fraction + e, count) * loadSome(score + e, count);
        });
        if (isSoftmax) {
          total += product;
          writeRow(dScores.row(t), experts,
                   [&](i64 e, i64 count) { return factor * loadSome(fraction + e, count); });
          continue;
        }
        const float sum =
            sumOverRow(experts, [&](i64 e, i64 count) { return loadSome(score + e, count); }) +
            kSmallestSum;
        total += product / sum;
        const vf mean = splat(product / sum);
        const vf share = splat(1.0f / sum);
        writeRow(dScores.row(t), experts, [&](i64 e, i64 count) {
          return factor * ((loadSome(fraction + e, count) - mean) * share);
        });
      }
      sums[b] = float(double(total) * perRow);
    }
  });
  double total = 0.0;
  for (i64 b = 0; b < numBlocks; b++) total += sums[b];
  *loss = float(total);
}

}  // namespace
}  // namespace moebius
