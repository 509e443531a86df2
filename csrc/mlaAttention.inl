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
// Queries may stand further on in a longer run of keys, or behind all of them; and results over
// other keys may be added to: they are where the running softmax begins, with a sum of 1.
//
// A task is (sequence, head, block of queries): it walks its keys once, a block at a time, copied
// into panels that all its query tiles share. Tasks are independent, so the result does not depend
// on the number of threads.
#pragma once
#include "attentionTile.h"

namespace moebius {
namespace {

// One head of one sequence: rows of keys are positions, from the sequence's first; the first query
// is at `before` of them.
struct AttentionHead {
  Matrix<const float> q, kNope, kPe, v;  // strided views into q_THD, kv_THD, kPe_TP
  float scale;
  int before = 0;
  int numKeys() const { return int(kNope.rows); }
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

// Keys key … key + kKeys, none at or after `end`, as queries at positions query … query + kQueries
// see them.
inline Visible<kScoreVectors> causal(int query, int end, int key) {
  Visible<kScoreVectors> visible;
  const int most = roundUp(maxOf(minOf(end - key, kKeys), 0), scoreRows<kScoreVectors>());
  for (int j = 0; j < kScoreVectors; j++) {
    const int ahead = maxOf(query + (j + 1) * kLanes - key, 0);  // of the vector's last query
    visible.end[j] = minOf(roundUp(ahead, scoreRows<kScoreVectors>()), most);
    visible.whole[j] = minOf(maxOf(minOf(query + j * kLanes + 1, end) - key, 0), visible.end[j]);
  }
  return visible;
}

inline void hideLaterKeys(float* scores, int query, int end, int key,
                          const Visible<kScoreVectors>& visible) {
  i32 limits[kQueries];
  for (int i = 0; i < kQueries; i++) limits[i] = minOf(query + i + 1, end);
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
  Matrix<float> out, logSumExp;  // rows are those of queries
  bool adds;                     // to results over other keys
  int numKeys() const { return minOf(head.before + end, head.numKeys()); }
};

// The first key block of a head, and queries of a block.
inline void fetchBeginning(RowsAhead& ahead, const ForwardBlock& block) {
  const AttentionHead& head = block.head;
  ahead.add(head.q, maxOf(block.first, 0), block.end);
  ahead.add(head.kNope, 0, minOf(kKeys, block.numKeys()));
  ahead.add(head.v, 0, minOf(kKeys, block.numKeys()));
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
    if (!block.adds) continue;
    toLanes(s.sums + tile * sumFloats + rows.lead, kQueries - rows.lead, block.out.row(rows.row),
            block.out.stride, rows.count, valueWidth, 1.0f, kQueries);
    for (int i = 0; i < rows.count; i++) {
      s.maxima[tile * kQueries + rows.lead + i] = *block.logSumExp.row(rows.row + i) * kLog2E;
      s.totals[tile * kQueries + rows.lead + i] = 1.0f;
    }
  }
  const int numKeys = block.numKeys();
  const int lastBlock = (numKeys - 1) / kKeys * kKeys;
  for (int key = 0; key < numKeys; key += kKeys) {
    packKeysAndValues(s.keys, s.values, head, key, minOf(kKeys, numKeys - key));
    if (key < lastBlock) {
      s.ahead.add(head.kNope, key + kKeys, minOf(key + 2 * kKeys, numKeys));
      s.ahead.add(head.v, key + kKeys, minOf(key + 2 * kKeys, numKeys));
    }
    if (key == maxOf(lastBlock - 2 * kKeys, 0)) {
      s.ahead.add(block.out, maxOf(first, 0), end);
      upcoming([&](const ForwardBlock& next) { fetchBeginning(s.ahead, next); });
    }
    for (int tile = 0; tile < tiles; tile++) {
      const int query = head.before + first + tile * kQueries;
      const int seen = minOf(query + kQueries, numKeys);
      const auto visible = causal(query, seen, key);
      if (visible.end[kScoreVectors - 1] == 0) continue;
      vf rescale[kScoreVectors];
      productByRows(s.scores, s.keys, s.lanes + tile * laneFloats, keyWidth, visible, s.ahead);
      hideLaterKeys(s.scores, query, seen, key, visible);
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

// args: out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, numSequences, heads, adds, scale
//
// `sequences`: offsets of their queries, offsets of their keys, and the place of each one's first
// query among its keys.
void mlaAttention(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto logSumExp = args.matrix();
  const auto q = args.matrix<const float>();
  const auto kv = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const List sequences = args.list();
  const i64 numSequences = args.integer();
  const i64 heads = args.integer();
  const bool adds = args.flag();
  const float scale = args.real();

  const i64 keyOffsets = numSequences + 1;
  const i64 places = 2 * keyOffsets;
  i64* firstTask = scratch<i64>(context, numSequences + 1);
  firstTask[0] = 0;
  for (i64 i = 0; i < numSequences; i++) {
    const int length = int(sequences[i + 1] - sequences[i]);
    const i64 blocks = ceilDiv(length - firstTile(length), kBlockQueries);
    firstTask[i + 1] = firstTask[i] + blocks * heads;
  }
  const int keyWidth = int(q.columns);
  const int valueWidth = int(out.columns);
  const i64 nope = keyWidth - kPe.columns;
  const i64 floats = ForwardScratch(nullptr, keyWidth, valueWidth).floats;
  float* memory = scratch<float>(context, floats * context.threads);
  const auto prepare = [&](int thread) {
    const ForwardScratch s(memory + thread * floats, keyWidth, valueWidth);
    clearFloats(s.keys, panelFloats(keyWidth));
    clearFloats(s.values, panelFloats(valueWidth));
    clearFloats(s.lanes, i64(kBlockQueries) * keyWidth);
    return s;
  };
  const i64 tasks = firstTask[numSequences];
  const auto blockOf = [&](i64 task) -> ForwardBlock {
    i64 i = 0;
    while (task >= firstTask[i + 1]) i++;
    const i64 start = sequences[i];
    const int length = int(sequences[i + 1] - start);
    const i64 firstKey = sequences[keyOffsets + i];
    const i64 numKeys = sequences[keyOffsets + i + 1] - firstKey;
    const i64 blocks = ceilDiv(length - firstTile(length), kBlockQueries);
    const i64 head = (task - firstTask[i]) / blocks;
    const i64 block = blocks - 1 - (task - firstTask[i]) % blocks;  // the longest work first
    const int first = firstTile(length) + int(block) * kBlockQueries;
    const AttentionHead rows = {
        headRows(q, heads, head, start, length, 0, keyWidth),
        headRows(kv, heads, head, firstKey, numKeys, 0, nope),
        {kPe.row(firstKey), numKeys, kPe.columns, kPe.stride},
        headRows(kv, heads, head, firstKey, numKeys, nope, kv.columns - nope),
        scale,
        int(sequences[places + i])};
    return {rows, first, minOf(first + kBlockQueries, length),
            headRows(out, heads, head, start, length, 0, valueWidth),
            {logSumExp.row(start) + head, length, 1, logSumExp.stride}, adds};
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
