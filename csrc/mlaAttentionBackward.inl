// Gradients of causal multi-head latent attention; probabilities are computed again from
// logSumExp, so nothing of size T × T was kept or is made.
//
//     P(t,s)  = exp(score(t,s) − logSumExp[t])          s ≤ t, per head
//     dS(t,s) = scale · P(t,s) · (dOut[t] · v[s] − δ[t]),   δ[t] = dOut[t] · out[t]
//     dV[s]   = Σ_t P(t,s) · dOut[t]
//     dK[s]   = Σ_t dS(t,s) · q[t]                      its last P columns, summed over heads: dKPe
//     dQ[t]   = Σ_s dS(t,s) · k[s]
//
// Legend as in mlaAttention.inl. FLOPs: T(T+1)/2 · H · 2(3(N+P) + 2V), five products where forward
// has two, and as many exponentials as forward. Bytes: each tensor once or twice. Bound by FMAs.
//
// A task is (sequence, head) and owns that head's rows of dQ and dKv. It goes by *spans* of keys:
// a span's keys and values are packed once and its dK and dV stay in scratch (cache) while all
// queries at or after it pass by. dKPe is shared by heads: each task keeps its own, and a second
// phase adds them in the order of heads. No sum depends on the number of threads.
#pragma once
#include "mlaAttention.inl"

namespace moebius {
namespace {

constexpr int kSpanKeys = 16 * kKeys;  // 0.6 MB of scratch at (48, 32), 2.6 MB at (192, 128)

struct BackwardHead {
  AttentionHead in;
  Matrix<const float> dOut, out;  // rows are positions, as in `in`
  Matrix<const float> logSumExp;
  Matrix<float> dQ, dKNope, dV, dKPe;  // dKPe is this head's own share
};

struct BackwardScratch {
  int keyColumns, valueColumns;  // whole vectors
  Floats take;
  float *keys, *values;            // panels of every block of the span
  float *dKeys, *dValues;          // [kSpanKeys][keyColumns], [kSpanKeys][valueColumns]
  float *queries, *dOutputs;       // a tile's rows [kQueries][keyColumns], … padded with zeros
  float *lanes, *dOutputLanes;     // the same, turned, times scale · log2 e and times scale
  float* dQueries;                 // [columns][kQueries]
  float *probabilities, *dScores;  // [kKeys][kQueries]
  float *delta, *logSumExp, *ones;
  i64 floats;
  RowsAhead ahead;

  BackwardScratch(float* memory, int keyWidth, int valueWidth, i64 spanKeys)
      : keyColumns(roundUp(keyWidth, kLanes)),
        valueColumns(roundUp(valueWidth, kLanes)),
        take{memory},
        keys(take(spanKeys * paddedColumns(keyWidth))),
        values(take(spanKeys * paddedColumns(valueWidth))),
        dKeys(take(spanKeys * keyColumns)),
        dValues(take(spanKeys * valueColumns)),
        queries(take(i64(kQueries) * keyColumns)),
        dOutputs(take(i64(kQueries) * valueColumns)),
        lanes(take(i64(kQueries) * keyWidth)),
        dOutputLanes(take(i64(kQueries) * valueWidth)),
        dQueries(take(i64(kQueries) * paddedColumns(keyWidth))),
        probabilities(take(kKeys * kQueries)),
        dScores(take(kKeys * kQueries)),
        delta(take(kQueries)),
        logSumExp(take(kQueries)),
        ones(take(kQueries)),
        floats(take.taken) {}
};

// rows[query][column] for `count` of `width` queries; zeros beyond, in both directions.
inline void packRows(float* to, int toColumns, const Matrix<const float>& from, i64 first,
                     int count, int width) {
  for (int q = 0; q < width; q++) {
    float* target = to + i64(q) * toColumns;
    const int columns = q < count ? int(from.columns) : 0;
    copyBytes(target, q < count ? from.row(first + q) : nullptr, columns * i64(sizeof(float)));
    clearFloats(target + columns, toColumns - columns);
  }
}

// A tile's queries, output gradients and δ into scratch.
inline void packTile(const BackwardHead& head, const BackwardScratch& s, const TileRows& rows) {
  const AttentionHead& in = head.in;
  const int lead = rows.lead;
  const int width = kQueries - lead;
  packRows(s.queries + lead * s.keyColumns, s.keyColumns, in.q, rows.row, rows.count, width);
  packRows(s.dOutputs + lead * s.valueColumns, s.valueColumns, head.dOut, rows.row, rows.count,
           width);
  toLanes(s.lanes + lead, width, in.q.row(rows.row), in.q.stride, rows.count, in.keyWidth(),
          in.scale * kLog2E, kQueries);
  toLanes(s.dOutputLanes + lead, width, head.dOut.row(rows.row), head.dOut.stride, rows.count,
          in.valueWidth(), in.scale, kQueries);
  clearFloats(s.dQueries, i64(kQueries) * panelsFor(in.keyWidth()) * kPanel);
  for (int q = lead; q < kQueries; q++) {
    const int row = rows.row + q - lead;
    const bool exists = q < lead + rows.count;
    float delta = 0;
    if (exists) {
      const float* a = head.dOut.row(row);
      const float* b = head.out.row(row);
      delta = sumOverRow(head.out.columns, [&](i64 i, i64 lanes) {
        return loadSome(a + i, lanes) * loadSome(b + i, lanes);
      });
    }
    s.delta[q] = delta * in.scale;
    s.logSumExp[q] = exists ? *head.logSumExp.row(row) * kLog2E : 0.0f;
  }
}

// probabilities: scores in, P out.   dScores: scale · dOut · V in, dS out.
inline void gradientOfScores(const BackwardScratch& s, const Visible<kScoreVectors>& visible) {
  forVisible(visible, [&](auto first, int from, int to) {
    for (int row = from; row < to; row++) {
      MOEBIUS_UNROLL
      for (int j = decltype(first)::value; j < kScoreVectors; j++) {
        float* p = s.probabilities + row * kQueries + j * kLanes;
        float* d = s.dScores + row * kQueries + j * kLanes;
        const vf probability = exp2Negative(load(p) - load(s.logSumExp + j * kLanes));
        store(p, probability);
        store(d, probability * (load(d) - load(s.delta + j * kLanes)));
      }
    }
  });
}

// What packTile reads and dQ, for rows [begin, end).
inline void fetchTile(RowsAhead& ahead, const BackwardHead& head, const TileRows& rows) {
  const int end = rows.row + rows.count;
  ahead.add(head.in.q, rows.row, end);
  ahead.add(head.dOut, rows.row, end);
  ahead.add(head.out, rows.row, end);
  ahead.add(head.dQ, rows.row, end);
}

inline int spanEnd(const BackwardHead& head, int start) {
  return minOf(start + kSpanKeys, int(head.in.q.rows));
}

// Where the tiles begin that see keys from `start` on.
inline int firstTileOf(const BackwardHead& head, int start) {
  const int first = firstTile(int(head.in.q.rows));
  return first + (start - first) / kQueries * kQueries;
}

// The beginning of a span.
inline void fetchSpan(RowsAhead& ahead, const BackwardHead& head, int start) {
  ahead.add(head.in.kNope, start, spanEnd(head, start));
  ahead.add(head.in.v, start, spanEnd(head, start));
  fetchTile(ahead, head, {firstTileOf(head, start), int(head.in.q.rows)});
}

constexpr int kSpanTilesAhead = 3;  // time for all rows of a span

// `upcoming(body)` calls body with the head that is likely to be next, if any.
template <class Upcoming>
void attendSpanBackward(const BackwardHead& head, int start, BackwardScratch& s,
                        const Upcoming& upcoming) {
  const AttentionHead& in = head.in;
  const int length = int(in.q.rows);
  const int end = spanEnd(head, start);
  const int keyWidth = in.keyWidth();
  const int valueWidth = in.valueWidth();
  const i64 keyFloats = panelFloats(keyWidth);
  const i64 valueFloats = panelFloats(valueWidth);
  const i64 rows = roundUp(end - start, kKeys);
  clearFloats(s.dKeys, rows * s.keyColumns);
  clearFloats(s.dValues, rows * s.valueColumns);
  for (int key = start; key < end; key += kKeys) {
    const int block = (key - start) / kKeys;
    packKeysAndValues(s.keys + block * keyFloats, s.values + block * valueFloats, in, key,
                      minOf(kKeys, end - key));
  }
  vf one[kScoreVectors];
  for (int j = 0; j < kScoreVectors; j++) one[j] = splat(1.0f);

  const int firstQuery = firstTileOf(head, start);
  const int lastQuery = length - 1 - (length - 1 - firstQuery) % kQueries;
  for (int query = firstQuery; query < length; query += kQueries) {
    const TileRows tile(query, length);
    packTile(head, s, tile);
    if (query == maxOf(lastQuery - kSpanTilesAhead * kQueries, firstQuery)) {
      s.ahead.add(head.dKNope, start, end);
      s.ahead.add(head.dV, start, end);
      if (end < length) {
        fetchSpan(s.ahead, head, end);
      } else {
        upcoming([&](const BackwardHead& next) { fetchSpan(s.ahead, next, 0); });
      }
    }
    if (query < lastQuery) fetchTile(s.ahead, head, {query + kQueries, length});
    for (int key = start; key < end; key += kKeys) {
      const auto visible = causal(query, minOf(query + kQueries, end), key);
      if (visible.end[kScoreVectors - 1] == 0) break;
      const int block = (key - start) / kKeys;
      const float* keys = s.keys + block * keyFloats;
      productByRows(s.probabilities, keys, s.lanes, keyWidth, visible, s.ahead);
      hideLaterKeys(s.probabilities, query, minOf(query + kQueries, end), key, visible);
      productByRows(s.dScores, s.values + block * valueFloats, s.dOutputLanes, valueWidth, visible,
                    s.ahead);
      gradientOfScores(s, visible);
      productByQueries(s.dValues + i64(key - start) * s.valueColumns, s.probabilities, s.dOutputs,
                       s.valueColumns, visible);
      productByQueries(s.dKeys + i64(key - start) * s.keyColumns, s.dScores, s.queries,
                       s.keyColumns, visible);
      productByColumns(s.dQueries, one, keys, s.dScores, keyWidth, visible, s.ahead);
    }
    float* dQ = head.dQ.row(tile.row);
    const float* lanes = s.dQueries + tile.lead;
    if (start == 0) {
      fromLanes<false>(dQ, head.dQ.stride, lanes, kQueries, s.ones, tile.count, keyWidth);
    } else {
      fromLanes<true>(dQ, head.dQ.stride, lanes, kQueries, s.ones, tile.count, keyWidth);
    }
  }
  const i64 nopeBytes = head.dKNope.columns * i64(sizeof(float));
  const i64 ropeBytes = head.dKPe.columns * i64(sizeof(float));
  const i64 valueBytes = head.dV.columns * i64(sizeof(float));
  for (int key = start; key < end; key++) {
    const float* dKey = s.dKeys + i64(key - start) * s.keyColumns;
    copyBytes(head.dKNope.row(key), dKey, nopeBytes);
    copyBytes(head.dKPe.row(key), dKey + head.dKNope.columns, ropeBytes);
    copyBytes(head.dV.row(key), s.dValues + i64(key - start) * s.valueColumns, valueBytes);
  }
}

// args: dQ_THD, dKv_THD, dKPe_TP, dOut_THV, out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP,
// sequences, heads, scale
void mlaAttentionBackward(const Context& context, const double* raw) {
  Args args(raw);
  const auto dQ = args.matrix();
  const auto dKv = args.matrix();
  const auto dKPe = args.matrix();
  const auto dOut = args.matrix<const float>();
  const auto out = args.matrix<const float>();
  const auto logSumExp = args.matrix<const float>();
  const auto q = args.matrix<const float>();
  const auto kv = args.matrix<const float>();
  const auto kPe = args.matrix<const float>();
  const List sequences = args.list();
  const i64 heads = args.integer();
  const float scale = args.real();

  const i64 tokens = kPe.rows;
  const i64 rope = kPe.columns;
  const i64 nope = q.columns - rope;
  const i64 value = out.columns;
  const int keyWidth = int(q.columns);
  i64 longest = 0;
  for (i64 i = 1; i < sequences.length; i++) {
    longest = maxOf(longest, sequences[i] - sequences[i - 1]);
  }
  const i64 spanKeys = minOf<i64>(kSpanKeys, ceilDiv(longest, kKeys) * kKeys);
  float* shares = scratch<float>(context, heads * tokens * rope);  // dKPe by head, [H, T, P]
  const i64 floats = BackwardScratch(nullptr, keyWidth, int(value), spanKeys).floats;
  float* memory = scratch<float>(context, floats * context.threads);
  const auto prepare = [&](int thread) {
    const BackwardScratch s(memory + thread * floats, keyWidth, int(value), spanKeys);
    clearFloats(s.keys, spanKeys * paddedColumns(keyWidth));
    clearFloats(s.values, spanKeys * paddedColumns(int(value)));
    for (int i = 0; i < kQueries; i++) s.ones[i] = 1.0f;
    return s;
  };
  const i64 tasks = (sequences.length - 1) * heads;
  const auto headOf = [&](i64 task) -> BackwardHead {
    const i64 h = task % heads;
    const i64 first = sequences[task / heads];
    const i64 rows = sequences[task / heads + 1] - first;
    return {
        attentionHead(q, kv, kPe, heads, h, first, rows, scale),
        headRows(dOut, heads, h, first, rows, 0, value),
        headRows(out, heads, h, first, rows, 0, value),
        {logSumExp.row(first) + h, rows, 1, logSumExp.stride},
        headRows(dQ, heads, h, first, rows, 0, q.columns),
        headRows(dKv, heads, h, first, rows, 0, nope),
        headRows(dKv, heads, h, first, rows, nope, value),
        {shares + (h * tokens + first) * rope, rows, rope, rope}};
  };
  forTasks(context, tasks, prepare, [&](i64 task, BackwardScratch& s, const auto& next) {
    const BackwardHead head = headOf(task);
    const auto upcoming = [&](const auto& body) {
      const i64 other = next();
      if (other < tasks) body(headOf(other));
    };
    for (int start = 0; start < int(head.in.q.rows); start += kSpanKeys) {
      attendSpanBackward(head, start, s, upcoming);
    }
  });
  parallelFor(context, tokens, grainFor(heads * rope), [&](i64 begin, i64 end, int) {
    for (i64 row = begin; row < end; row++) {
      for (i64 i = 0; i < rope; i++) {
        float total = 0;
        for (i64 h = 0; h < heads; h++) total += shares[(h * tokens + row) * rope + i];
        dKPe.row(row)[i] = total;
      }
    }
  });
}

}  // namespace
}  // namespace moebius
