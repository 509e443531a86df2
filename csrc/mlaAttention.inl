// Causal multi-head latent attention over whole sequences, with a running softmax: the T × T scores
// never exist (FlashAttention's order of work, on the tiles of attentionTile.h).
//
//     out[t,h]       = Σ_{s ≤ t} p(t,s) · v[s,h],   p(t,s) = exp(score − logSumExp[t,h])
//     score(t,s)     = scale · (q[t,h] · [kNope[s,h] | kPe[s]])
//     logSumExp[t,h] = ln Σ_{s ≤ t} exp score(t,s)
//
// T tokens, H heads, N nope dim, P rope dim, V value dim; sequences are runs of rows.
// FLOPs: T(T+1)/2 · H · 2(N+P+V), and T(T+1)/2 · H exponentials; bytes: 4 · T · H(2N + P + 2V).
// At T = 512 that is 100 FLOPs a byte and more: bound by FMAs, the exponentials 15 % on top at
// (N+P, V) = (48, 32).
//
// A task is (sequence, head, block of queries): it walks its keys once, a block at a time, copied
// into panels that all its query tiles share. Tasks are independent, so the result does not depend
// on the number of threads.
#pragma once
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
template <class T>
Matrix<T> headRows(const Matrix<T>& m, i64 heads, i64 head, i64 firstRow, i64 rows, i64 firstColumn,
                   i64 columns) {
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

// Keys and values of positions first … first + count into panels. What lies around them keeps
// older, finite contents: rows are hidden, then multiplied by zero; columns give sums nobody reads.
inline void packKeysAndValues(float* keys, float* values, const AttentionHead& head, i64 first,
                              int count) {
  packPanels(keys, 0, head.kNope.row(first), head.kNope.stride, count, int(head.kNope.columns));
  packPanels(keys, int(head.kNope.columns), head.kPe.row(first), head.kPe.stride, count,
             int(head.kPe.columns));
  packPanels(values, 0, head.v.row(first), head.v.stride, count, head.valueWidth());
}

constexpr int kQueries = kScoreVectors * kLanes;  // queries per tile

// Where the first tile of a sequence begins: before it, by whole vectors, so that the last tile is
// full. What is missing is missing where the fewest keys are seen, and is not computed.
constexpr int firstTile(int length) { return roundUp(length, kLanes) - roundUp(length, kQueries); }

// The queries of a tile that exist: `count` from `row` on, behind `lead` empty lanes.
struct TileRows {
  int lead, row, count;
  TileRows(int query, int end)
      : lead(maxOf(-query, 0)), row(query + lead), count(minOf(query + kQueries, end) - row) {}
};

// Keys key … key + kKeys, none at or after `end`, as queries query … query + kQueries see them.
inline Visible<kScoreVectors> causal(int query, int end, int key) {
  Visible<kScoreVectors> visible;
  const int most = roundUp(maxOf(minOf(end - key, kKeys), 0), scoreRows<kScoreVectors>());
  for (int j = 0; j < kScoreVectors; j++) {
    const int ahead = maxOf(query + (j + 1) * kLanes - key, 0);  // of the vector's last query
    visible.end[j] = minOf(roundUp(ahead, scoreRows<kScoreVectors>()), most);
    visible.whole[j] = minOf(maxOf(query + j * kLanes + 1 - key, 0), visible.end[j]);
  }
  return visible;
}

inline void hideLaterKeys(float* scores, int query, int key,
                          const Visible<kScoreVectors>& visible) {
  i32 limits[kQueries];
  for (int i = 0; i < kQueries; i++) limits[i] = query + i + 1;
  hideKeys(scores, key, limits, visible);
}

// A block of queries shares each packed key block: packing costs a twentieth at 192 queries.
constexpr int kBlockTiles = (192 + kQueries - 1) / kQueries;
constexpr int kBlockQueries = kBlockTiles * kQueries;

struct ForwardScratch {
  Floats take;
  float *keys, *values;  // panels of one key block
  float *lanes, *sums;   // per tile: queries [N+P][kQueries], outputs [columns][kQueries]
  float *maxima, *totals, *scores;
  i64 floats;
  RowsAhead ahead;

  ForwardScratch(float* memory, int keyWidth, int valueWidth)
      : take{memory},
        keys(take(panelFloats(keyWidth))),
        values(take(panelFloats(valueWidth))),
        lanes(take(i64(kBlockQueries) * keyWidth)),
        sums(take(i64(kBlockQueries) * paddedColumns(valueWidth))),
        maxima(take(kBlockQueries)),
        totals(take(kBlockQueries)),
        scores(take(kKeys * kQueries)),
        floats(take.taken) {}
};

// Queries of a block of one head, and where their results go.
struct ForwardBlock {
  AttentionHead head;
  int first, end;
  Matrix<float> out, logSumExp;  // rows are positions
};

// The first key block of a head, and queries of a block.
inline void fetchBeginning(RowsAhead& ahead, const ForwardBlock& block) {
  const AttentionHead& head = block.head;
  ahead.add(head.q, maxOf(block.first, 0), block.end);
  ahead.add(head.kNope, 0, minOf(kKeys, block.end));
  ahead.add(head.v, 0, minOf(kKeys, block.end));
}

// `upcoming(body)` calls body with the block that is likely to be next, if any.
template <class Upcoming>
void attendBlock(const ForwardBlock& block, ForwardScratch& s, const Upcoming& upcoming) {
  const AttentionHead& head = block.head;
  const int first = block.first;
  const int end = block.end;
  const int keyWidth = head.keyWidth();
  const int valueWidth = head.valueWidth();
  const int tiles = int(ceilDiv(end - first, kQueries));
  const i64 laneFloats = i64(keyWidth) * kQueries;
  const i64 sumFloats = i64(paddedColumns(valueWidth)) * kQueries;
  clearFloats(s.sums, tiles * sumFloats);
  clearFloats(s.totals, tiles * kQueries);
  for (int i = 0; i < tiles * kQueries; i++) s.maxima[i] = kMinusInfinity;
  for (int tile = 0; tile < tiles; tile++) {
    const TileRows rows(first + tile * kQueries, end);
    toLanes(s.lanes + tile * laneFloats + rows.lead, kQueries - rows.lead, head.q.row(rows.row),
            head.q.stride, rows.count, keyWidth, head.scale * kLog2E, kQueries);
  }
  const int lastBlock = (end - 1) / kKeys * kKeys;
  for (int key = 0; key < end; key += kKeys) {
    packKeysAndValues(s.keys, s.values, head, key, minOf(kKeys, end - key));
    if (key < lastBlock) {
      s.ahead.add(head.kNope, key + kKeys, minOf(key + 2 * kKeys, end));
      s.ahead.add(head.v, key + kKeys, minOf(key + 2 * kKeys, end));
    }
    if (key == maxOf(lastBlock - 2 * kKeys, 0)) {
      s.ahead.add(block.out, maxOf(first, 0), end);
      upcoming([&](const ForwardBlock& next) { fetchBeginning(s.ahead, next); });
    }
    for (int tile = 0; tile < tiles; tile++) {
      const int query = first + tile * kQueries;
      const auto visible = causal(query, minOf(query + kQueries, end), key);
      if (visible.end[kScoreVectors - 1] == 0) continue;
      vf rescale[kScoreVectors];
      productByRows(s.scores, s.keys, s.lanes + tile * laneFloats, keyWidth, visible, s.ahead);
      hideLaterKeys(s.scores, query, key, visible);
      softmaxBlock(s.scores, s.maxima + tile * kQueries, s.totals + tile * kQueries, rescale,
                   visible);
      productByColumns(s.sums + tile * sumFloats, rescale, s.values, s.scores, valueWidth, visible,
                       s.ahead);
    }
  }
  for (int tile = 0; tile < tiles; tile++) {
    const TileRows rows(first + tile * kQueries, end);
    float* totals = s.totals + tile * kQueries;
    for (int i = 0; i < kQueries; i += kLanes) {
      const vf total = load(totals + i);
      const vf maximum = load(s.maxima + tile * kQueries + i);
      store(totals + i, splat(1.0f) / total);
      store(s.maxima + tile * kQueries + i, fma(maximum, splat(kLn2), vlog(total)));
    }
    fromLanes<false>(block.out.row(rows.row), block.out.stride,
                     s.sums + tile * sumFloats + rows.lead, kQueries, totals + rows.lead,
                     rows.count, valueWidth);
    const float* logSums = s.maxima + tile * kQueries + rows.lead;
    for (int i = 0; i < rows.count; i++) *block.logSumExp.row(rows.row + i) = logSums[i];
  }
}

// args: out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, heads, scale
void mlaAttention(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto logSumExp = args.matrix();
  const auto q = args.matrix<const float>();
  const auto kv = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const List sequences = args.list();
  const i64 heads = args.integer();
  const float scale = args.real();

  const i64 numSequences = sequences.length - 1;
  i64* firstTask = scratch<i64>(context, numSequences + 1);
  firstTask[0] = 0;
  for (i64 i = 0; i < numSequences; i++) {
    const int length = int(sequences[i + 1] - sequences[i]);
    const i64 blocks = ceilDiv(length - firstTile(length), kBlockQueries);
    firstTask[i + 1] = firstTask[i] + blocks * heads;
  }
  const int keyWidth = int(q.columns);
  const int valueWidth = int(out.columns);
  const i64 floats = ForwardScratch(nullptr, keyWidth, valueWidth).floats;
  float* memory = scratch<float>(context, floats * context.threads);
  const auto prepare = [&](int thread) {
    const ForwardScratch s(memory + thread * floats, keyWidth, valueWidth);
    clearFloats(s.keys, panelFloats(keyWidth));
    clearFloats(s.values, panelFloats(valueWidth));
    return s;
  };
  const i64 tasks = firstTask[numSequences];
  const auto blockOf = [&](i64 task) -> ForwardBlock {
    i64 i = 0;
    while (task >= firstTask[i + 1]) i++;
    const i64 start = sequences[i];
    const int length = int(sequences[i + 1] - start);
    const i64 blocks = ceilDiv(length - firstTile(length), kBlockQueries);
    const i64 head = (task - firstTask[i]) / blocks;
    const i64 block = blocks - 1 - (task - firstTask[i]) % blocks;  // the longest work first
    const int first = firstTile(length) + int(block) * kBlockQueries;
    return {attentionHead(q, kv, kPe, heads, head, start, length, scale), first,
            minOf(first + kBlockQueries, length),
            headRows(out, heads, head, start, length, 0, valueWidth),
            {logSumExp.row(start) + head, length, 1, logSumExp.stride}};
  };
  forTasks(context, tasks, prepare, [&](i64 task, ForwardScratch& s, const auto& next) {
    attendBlock(blockOf(task), s, [&](const auto& body) {
      const i64 upcoming = next();
      if (upcoming < tasks) body(blockOf(upcoming));
    });
  });
}

}  // namespace
}  // namespace moebius
