// The attention half of a block over a few cached rows at once, in place:
//
//     n = norm(x)                       [qDown | kvDown] n        heads = absorbed attention
//     cache[slot] = [norm(c) | rope(k)]     q = Wq norm(qLatent)      x += Wo heads
//
// T rows (decoded tokens and drafts), D hidden, H heads, N nope, P rope, V value dim, C latents.
// Bytes: the weights once, the cache of each row's sequence; FLOPs: 2 T per weight. Memory-bound.
// Five sections: down projections; queries, by heads, and the cache's new rows; attention, by parts
// of sequences and heads; values, by heads; output. Every row is computed as it would be alone.
#pragma once
#include "decode.h"
#include "decodeAttention.h"
#include "rope.inl"

namespace moebius {
namespace {

// args: x_TD, positions_T, slots_T, cache, blockTable, sequence_T, length_T, table, gain,
// qDown (may be left out), qGain (as qDown), q, kvDown, kvGain, kv, o, blockSize, heads, nope,
// value, eps, latentEps, scale
void mlaDecode(const Context& context, const double* raw) {
  Args args(raw);
  const auto x = args.matrix();
  const i32* positions = args.vector<const i32>();
  const i32* slots = args.vector<const i32>();
  const AnyMatrix cacheRows = args.any();
  const auto blockTable = args.matrix<const i32>();
  const i32* sequences = args.vector<const i32>();
  const i32* lengths = args.vector<const i32>();
  const auto table = args.matrix<const float>();
  const float* gain = args.vector<const float>();
  const Weights qDown = args.weights();
  const float* qGain = args.vector<const float>();
  const Weights qUp = args.weights();
  const Weights kvDown = args.weights();
  const float* kvGain = args.vector<const float>();
  const Weights kv = args.weights();
  const Weights o = args.weights();
  const i64 blockSize = args.integer();
  const i64 H = args.integer();
  const i64 N = args.integer();
  const i64 V = args.integer();
  const float eps = args.real();
  const float latentEps = args.real();
  const float scale = args.real() * kLog2E;

  const i64 T = x.rows;
  const i64 D = x.columns;
  const i64 C = kv.values.columns;
  const i64 width = kvDown.values.rows;
  const i64 P = width - C;
  const PagedCache cache = {LatentCache(cacheRows, C, P), blockTable, blockSize};
  const i64 padded = HeadScratch::padded(C);
  const i64 Q = qDown.values.rows;  // 0 where the query is projected in one step
  const i64 queryDepth = qUp.values.columns;
  const auto turn = [&](float* row, i64 position) {
    turnRows(row, 0, 1, P / 2, table.row(position * (P / 2)), table.stride, 1.0f);
  };

  float* qLatents = scratch<float>(context, T * Q + 1);
  float* kvLatents = scratch<float>(context, T * width);
  float* queries = scratch<float>(context, T * H * (N + P));
  float* absorbed = scratch<float>(context, T * H * width);
  float* latents = scratch<float>(context, T * H * padded);
  DecodeRun* runs = scratch<DecodeRun>(context, T + 1);
  i64 numRuns = 0;
  i64 numPartials = 0;
  double cachedWork = 0;
  for (i64 t = 0; t < T; numRuns++) {
    DecodeRun& run = runs[numRuns] = {t, t, sequences[t], 0, numPartials};
    for (; t < T && sequences[t] == sequences[run.first]; t++) {
      run.longest = maxOf<i64>(run.longest, lengths[t]);
    }
    run.end = t;
    numPartials += run.parts() * run.rows();
    cachedWork += double(run.rows()) * double(run.longest);
  }
  const i64 groups = ceilDiv(H, i64(kHeadGroup));
  const PartialRows partials = {scratch<float>(context, numPartials * H * padded),
                                scratch<float>(context, numPartials * groups * kState), H, padded};
  float* values = scratch<float>(context, T * H * V);
  const i64 normFloats = inputFloats(T, maxOf(D, queryDepth));
  const i64 inputs =
      maxOf(inputFloats(T, maxOf(maxOf(D, queryDepth), H * V)), inputFloats(maxOf(T, H), C));
  const i64 attentionFloats = HeadScratch::floats(width);
  const i64 perThread = normFloats + inputs + maxOf(attentionFloats, kProductScratch);
  float* memory = scratch<float>(context, context.threads * perThread);
  const auto normedOf = [&](int thread) { return memory + thread * perThread; };
  const auto inputOf = [&](int thread) { return normedOf(thread) + normFloats; };

  onEveryThread(context, [&](int thread) {
    float* normed = normedOf(thread);
    for (i64 t = 0; t < T; t++) normRow(normed + t * D, x.row(t), D, gain, eps);
    Line line(double(Q) * rowBytes(qDown) + double(width) * rowBytes(kvDown), thread,
              context.threads);
    const Share ofQ = line.next(Q, rowBytes(qDown));
    const Share ofKv = line.next(width, rowBytes(kvDown));
    if (Q > 0) {
      prefetchStreams(sourceOf(kvDown, true), ofKv.begin, ofKv.end);
      dotProducts({normed, D, T, D, sourceOf(qDown, true), inputOf(thread)}, ofQ.begin, ofQ.end,
                  {qLatents, Q, false, nullptr, nullptr});
    }
    dotProducts({normed, D, T, D, sourceOf(kvDown, true), inputOf(thread)}, ofKv.begin, ofKv.end,
                {kvLatents, width, false, nullptr, nullptr});
    const Share heads(H, thread, context.threads);
    prefetchStreams(sourceOf(qUp, true), heads.begin * (N + P), heads.end * (N + P));
  });

  onEveryThread(context, [&](int thread) {
    if (thread == 0) {
      for (i64 t = 0; t < T; t++) {
        float* latent = kvLatents + t * width;
        normRow(latent, latent, C, kvGain, latentEps);
        turn(latent + C, positions[t]);
        writeLatent(cache.cache, cache.cache.slot(slots[t]), latent, latent + C);
      }
    }
    const Share heads(H, thread, context.threads);
    if (heads.begin == heads.end) return;
    prefetchRows(kv, heads.begin * (N + V), heads.begin * (N + V) + N);
    float* normed = normedOf(thread);  // without a query latent still the normed x
    if (Q > 0) {
      for (i64 t = 0; t < T; t++) normRow(normed + t * Q, qLatents + t * Q, Q, qGain, latentEps);
    }
    const i64 stride = H * (N + P);
    dotProducts({normed, queryDepth, T, queryDepth, sourceOf(qUp, true), inputOf(thread)},
                heads.begin * (N + P), heads.end * (N + P),
                {queries, stride, false, nullptr, nullptr});
    float* products = inputOf(thread) + inputs;
    for (i64 h = heads.begin; h < heads.end; h++) {
      if (h + 1 < heads.end) prefetchRows(kv, (h + 1) * (N + V), (h + 1) * (N + V) + N);
      const Source source = sourceOfRows(kv, h * (N + V), N, false);
      multiplyRange({absorbed + h * width, H * width,
                     sourceOf(queries + h * (N + P), stride, T, N, true), source, T, C, N, false},
                    {0, T, 0, C}, products);
      for (i64 t = 0; t < T; t++) {
        float* to = absorbed + (t * H + h) * width;
        copyBytes(to + C, queries + t * stride + h * (N + P) + N, P * i64(sizeof(float)));
        turn(to + C, positions[t]);
        writeRow(to, width,
                 [&](i64 i, i64 lanes) { return loadSome(to + i, lanes) * splat(scale); });
      }
    }
  });

  onEveryThread(context, [&](int thread) {
    const HeadScratch attention(inputOf(thread) + inputs);
    Line line(cachedWork * double(groups), thread, context.threads);
    for (i64 r = 0; r < numRuns; r++) {
      for (i64 part = 0; part < runs[r].parts(); part++) {
        const i64 positions = minOf(kPart, runs[r].longest - part * kPart);
        const Share share = line.next(groups, double(runs[r].rows()) * double(positions));
        if (share.begin == share.end) continue;
        attendPartOf(partials, absorbed, share.begin, share.end, runs[r], part, lengths, cache,
                     attention);
      }
    }
  });

  onEveryThread(context, [&](int thread) {
    const Share heads(H, thread, context.threads);
    const Share rows(D, thread, context.threads);
    prefetchStreams(sourceOf(o, true), rows.begin, rows.end);
    for (i64 r = 0; r < numRuns; r++) {
      for (i64 t = runs[r].first; t < runs[r].end; t++) {
        for (i64 h = heads.begin; h < heads.end; h++) {
          joinHead(latents + (t * H + h) * padded, partials, runs[r], t, h, lengths[t]);
        }
      }
    }
    if (T == 1) {
      forRowType(sourceOf(kv, true), [&]<class W>(const W*) {
        const DotArithmetic<W> arithmetic;
        const DotInput in = prepareInput<W>(inputOf(thread), latents + heads.begin * padded,
                                            padded, heads.end - heads.begin, C);
        dotEach<W>(in, sourceOf(kv, true), heads.begin * (N + V) + N, N + V,
                   heads.end - heads.begin, V, [&](i64 head, i64 row, float result) {
          values[(heads.begin + head) * V + row] = result;
        });
      });
      return;
    }
    for (i64 h = heads.begin; h < heads.end; h++) {
      dotProducts({latents + h * padded, H * padded, T, C, sourceOf(kv, true), inputOf(thread)},
                  h * (N + V) + N, (h + 1) * (N + V),
                  {values + h * V - (h * (N + V) + N), H * V, false, nullptr, nullptr});
    }
  });

  onEveryThread(context, [&](int thread) {
    const Share rows(D, thread, context.threads);
    dotProducts({values, H * V, T, H * V, sourceOf(o, true), inputOf(thread)}, rows.begin,
                rows.end, {x.data, x.stride, true, nullptr, nullptr});
  });
}

}  // namespace
}  // namespace moebius
