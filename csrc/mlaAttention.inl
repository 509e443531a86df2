// Causal multi-head latent attention over whole sequences, with a running softmax: the T × T scores
// never exist (FlashAttention's order of work, on the tiles of attentionTile.h).
//
//     out[t,h]       = Σ_{s ≤ t} p(t,s) · v[s,h],   p(t,s) = exp(score − logSumExp[t,h])
//     score(t,s)     = scale · (q[t,h] · [kNope[s,h] | kPe[s]])
//     logSumExp[t,h] = ln Σ_{s ≤ t} exp score(t,s)
//
// T tokens, H heads, N nope dim, P rope dim, V value dim; sequences are runs of rows.
// FLOPs: T(T+1)/2 · H · 2(N+P+V), and T(T+1)/2 · H exponentials; bytes: 4 · T · (H(2N+P+2V) + P + H).
// At T = 512 that is 100 FLOPs a byte and more: bound by FMAs, the exponentials 15 % on top at
// (N+P, V) = (48, 32).
//
// A task is (sequence, head, block of queries): it walks its keys once, a block at a time, copied
// into panels that all its query tiles share. Tasks are independent, so the result does not depend
// on the number of threads.
#include "attentionTile.h"

namespace moebius {
namespace {

// One head of one sequence: rows are positions, from the sequence's first.
struct AttentionHead {
  Matrix<const float> q, kNope, kPe, v;  // strided views into q_THD, kv_THD, kPe_TP
  float scale;
  int keyWidth() const { return int(q.columns); }
  int valueWidth() const { return int(v.columns); }
};

// The heads of [T, H, columns] tensors are column blocks of rows H · stride apart.
inline Matrix<const float> headRows(const Matrix<const float>& m, i64 heads, i64 head, i64 firstRow,
                                    i64 rows, i64 firstColumn, i64 columns) {
  return {m.data + (firstRow * heads + head) * m.stride + firstColumn, rows, columns,
          heads * m.stride};
}

inline AttentionHead attentionHead(const Matrix<const float>& q, const Matrix<const float>& kv,
                                   const Matrix<const float>& kPe, i64 heads, i64 head,
                                   i64 firstRow, i64 rows, float scale) {
  const i64 nope = q.columns - kPe.columns;
  return {headRows(q, heads, head, firstRow, rows, 0, q.columns),
          headRows(kv, heads, head, firstRow, rows, 0, nope),
          {kPe.row(firstRow), rows, kPe.columns, kPe.stride},
          headRows(kv, heads, head, firstRow, rows, nope, kv.columns - nope),
          scale};
}

// Keys and values of positions first … first + count into panels; rows up to the next multiple of
// kKeys keep older, finite contents, which are hidden or multiplied by zero.
inline void packKeysAndValues(float* keys, float* values, const AttentionHead& head, i64 first,
                              int count) {
  packPanels(keys, 0, head.kNope.row(first), head.kNope.stride, count, int(head.kNope.columns));
  packPanels(keys, int(head.kNope.columns), head.kPe.row(first), head.kPe.stride, count,
             int(head.kPe.columns));
  packPanels(values, 0, head.v.row(first), head.v.stride, count, head.valueWidth());
}

constexpr int kQueries = kTileVectors * kLanes;  // queries per tile

// Hands out tasks one at a time: causal blocks differ too much in work for a static split. Which
// thread runs a task changes nothing in its result.
template <class Body>
void forTasks(const Context& context, i64 tasks, const Body& body) {
  i64 next = 0;
  const Context limited = {int(minOf<i64>(context.threads, tasks)), context.host, context.parallel,
                           context.allocate};
  if (tasks <= 0) return;
  onEveryThread(limited, [&](int thread) {
    for (;;) {
      const i64 task = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (task >= tasks) return;
      body(task, thread);
    }
  });
}

// A block of queries shares each packed key block: packing costs a hundredth at 144 queries.
constexpr int kBlockTiles = (96 + kQueries - 1) / kQueries;
constexpr int kBlockQueries = kBlockTiles * kQueries;

struct ForwardScratch {
  float *keys, *values;  // panels of one key block
  float *lanes, *sums;   // per tile: queries [N+P][kQueries], outputs [columns][kQueries]
  float *maxima, *totals, *scores;

  static int sumColumns(int valueWidth) { return numPanels(valueWidth) * kPanel; }
  static i64 floats(int keyWidth, int valueWidth) {
    return panelFloats(keyWidth) + panelFloats(valueWidth) +
           i64(kBlockQueries) * (keyWidth + sumColumns(valueWidth) + 2) + kKeys * kQueries;
  }
  ForwardScratch(float* memory, int keyWidth, int valueWidth) {
    const auto take = [&](i64 count) {
      float* taken = memory;
      memory += count;
      return taken;
    };
    keys = take(panelFloats(keyWidth));
    values = take(panelFloats(valueWidth));
    lanes = take(i64(kBlockQueries) * keyWidth);
    sums = take(i64(kBlockQueries) * sumColumns(valueWidth));
    maxima = take(kBlockQueries);
    totals = take(kBlockQueries);
    scores = take(kKeys * kQueries);
  }
};

inline void clear(float* to, i64 count) {
  for (i64 i = 0; i < count; i++) to[i] = 0.0f;
}

// Queries first … end of one head; outputs from row `first`.
void attendBlock(const AttentionHead& head, int first, int end, Matrix<float> out,
                 Matrix<float> logSumExp, const ForwardScratch& s) {
  const int keyWidth = head.keyWidth();
  const int valueWidth = head.valueWidth();
  const int tiles = int(ceilDiv(end - first, kQueries));
  const i64 laneFloats = i64(keyWidth) * kQueries;
  const i64 sumFloats = i64(ForwardScratch::sumColumns(valueWidth)) * kQueries;
  clear(s.keys, panelFloats(keyWidth));
  clear(s.values, panelFloats(valueWidth));
  clear(s.sums, tiles * sumFloats);
  clear(s.totals, tiles * kQueries);
  for (int i = 0; i < tiles * kQueries; i++) s.maxima[i] = kMinusInfinity;
  for (int tile = 0; tile < tiles; tile++) {
    const int query = first + tile * kQueries;
    toLanes(s.lanes + tile * laneFloats, kQueries, head.q.row(query), head.q.stride,
            minOf(kQueries, end - query), keyWidth, head.scale * kLog2E);
  }
  for (int key = 0; key < end; key += kKeys) {
    packKeysAndValues(s.keys, s.values, head, key, minOf(kKeys, end - key));
    for (int tile = 0; tile < tiles; tile++) {
      const int query = first + tile * kQueries;
      const int seen = minOf(query + kQueries, end) - key;  // keys that any of its queries sees
      if (seen <= 0) continue;
      const int rows = roundUp(minOf(seen, kKeys), tileRows<kTileVectors>());
      float* sums = s.sums + tile * sumFloats;
      vf rescale[kTileVectors];
      productByRows<kTileVectors>(s.scores, s.keys, s.lanes + tile * laneFloats, rows, keyWidth);
      if (key + rows > query + 1) {
        i32 limits[kQueries];
        for (int i = 0; i < kQueries; i++) limits[i] = query + i + 1;
        hideKeys<kTileVectors>(s.scores, rows, key, limits);
      }
      softmaxBlock<kTileVectors>(s.scores, rows, s.maxima + tile * kQueries,
                                 s.totals + tile * kQueries, rescale);
      productByColumns<kTileVectors>(sums, rescale, s.values, s.scores, rows, valueWidth);
    }
  }
  for (int tile = 0; tile < tiles; tile++) {
    const int query = first + tile * kQueries;
    const int count = minOf(kQueries, end - query);
    float* totals = s.totals + tile * kQueries;
    for (int i = 0; i < kQueries; i += kLanes) {
      const vf total = load(totals + i);
      const vf maximum = load(s.maxima + tile * kQueries + i);
      store(totals + i, splat(1.0f) / total);
      store(s.maxima + tile * kQueries + i, fma(maximum, splat(kLn2), vlog(total)));
    }
    fromLanes<false>(out.row(query), out.stride, s.sums + tile * sumFloats, kQueries, totals, count,
                     valueWidth);
    for (int i = 0; i < count; i++) *logSumExp.row(query + i) = s.maxima[tile * kQueries + i];
  }
}

// out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, heads, scale. Rows of [T, H, …] tensors
// may be strided, evenly over tokens and heads; logSumExp is contiguous.
void mlaAttention(const Context& context, const double* raw) {
  Args args(raw);
  const Matrix<float> out = args.matrix();
  float* logSumExp = args.vector();
  const auto q = args.matrix<const float>();
  const auto kv = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const List sequences = args.list();
  const i64 heads = args.integer();
  const float scale = args.real();

  // Blocks are counted from the back of each sequence: the longest work first.
  const i64 numSequences = sequences.length - 1;
  i64* firstTask = scratch<i64>(context, numSequences + 1);
  firstTask[0] = 0;
  for (i64 i = 0; i < numSequences; i++) {
    const i64 blocks = ceilDiv(sequences[i + 1] - sequences[i], kBlockQueries);
    firstTask[i + 1] = firstTask[i] + blocks * heads;
  }
  const int keyWidth = int(q.columns);
  const int valueWidth = int(out.columns);
  const i64 floats = roundUp(int(ForwardScratch::floats(keyWidth, valueWidth)), 16);
  float* memory = scratch<float>(context, floats * context.threads);
  forTasks(context, firstTask[numSequences], [&](i64 task, int thread) {
    i64 i = 0;
    while (task >= firstTask[i + 1]) i++;
    const i64 start = sequences[i];
    const i64 length = sequences[i + 1] - start;
    const i64 blocks = ceilDiv(length, kBlockQueries);
    const i64 head = (task - firstTask[i]) / blocks;
    const i64 block = blocks - 1 - (task - firstTask[i]) % blocks;
    const i64 first = block * kBlockQueries;
    attendBlock(attentionHead(q, kv, kPe, heads, head, start, length, scale), int(first),
                int(minOf(first + kBlockQueries, length)),
                {out.data + (start * heads + head) * out.stride, length, valueWidth,
                 heads * out.stride},
                {logSumExp + start * heads + head, length, 1, heads},
                ForwardScratch(memory + thread * floats, keyWidth, valueWidth));
  });
}

}  // namespace
}  // namespace moebius
