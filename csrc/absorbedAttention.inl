// Decode in the absorbed form: every head of a query row attends over the same cached vectors, C
// latents and P rotated key columns each; what comes out are probabilities times latents.
//
//     score(t,h,s) = scale · (q[t,h] · latent[s] + qPe[t,h] · kPe[s])      s < length[t]
//     out[t,h]     = Σ_s softmax(score)(s) · latent[s]
//
// T query rows, H heads, C latent rank, P rope dim, S cached positions a row sees.
// FLOPs: T · S · H · 2(2C + P); bytes: S tokens (latentCache.h) per row, or per run of rows of one
// sequence, which share the read. H FLOPs a byte and more: at 16 heads memory and FMAs are about
// even, at 128
// heads FMAs bound it.
//
// Lanes are (row, head) pairs of one sequence, so that one row of 16 heads fills an AVX-512 vector.
// Positions are cut into *parts* that depend on the position alone; each is attended by itself and
// the parts are put together in order. So a row's bits depend neither on the thread count nor on
// what else is in the batch: a verified draft equals plain decoding to the last bit.
#pragma once
#include "latentCache.h"
#include "mlaAttention.inl"

namespace moebius {
namespace {

// Where part number `part` begins: fine at first, so that short contexts keep all threads busy.
inline i64 partBegin(i64 part) { return part <= 16 ? part * 128 : 2048 + (part - 16) * 1024; }
inline i64 partsOf(i64 length) {
  return length <= 2048 ? ceilDiv(length, 128) : 16 + ceilDiv(length - 2048, 1024);
}

struct CachedRun {
  i64 firstRow, rows;  // query rows, all of one sequence
  i64 longest;         // of their lengths
  i64 firstTask;       // tasks are parts × blocks of lanes
  i64 firstPartial;    // partial results are [part][lane of the run]
};

constexpr int kLaneTiles = 3;  // tiles that share the packed keys of a task
constexpr int kLaneBlock = kLaneTiles * kQueries;

struct CachedScratch {
  Floats take;
  float *keys, *lanes, *sums, *maxima, *totals, *scores, *ones, *row;
  i32* limits;
  i64 floats;

  CachedScratch(float* memory, int width, int latent)
      : take{memory},
        keys(take(panelFloats(width))),
        lanes(take(i64(kLaneBlock) * width)),
        sums(take(i64(kLaneBlock) * paddedColumns(latent))),
        maxima(take(kLaneBlock)),
        totals(take(kLaneBlock)),
        scores(take(kKeys * kQueries)),
        ones(take(kQueries)),
        row(take(width)),
        limits(reinterpret_cast<i32*>(take(kLaneBlock))),
        floats(take.taken) {}
};

// One tile of kVectors · kLanes lanes against one packed block of keys.
template <int kVectors>
void attendCachedTile(const CachedScratch& s, int tile, int firstKey, int count, int width,
                      int latent) {
  const i32* limits = s.limits + tile * kQueries;
  Visible<kVectors> visible;
  for (int j = 0; j < kVectors; j++) {
    int least = count;
    for (int i = 0; i < kLanes; i++) least = minOf(least, int(limits[j * kLanes + i]) - firstKey);
    visible.end[j] = roundUp(count, scoreRows<kVectors>());
    visible.whole[j] = maxOf(least, 0);
  }
  float* sums = s.sums + i64(tile) * kQueries * paddedColumns(latent);
  vf rescale[kVectors];
  productByRows(s.scores, s.keys, s.lanes + i64(tile) * kQueries * width, width, visible);
  hideKeys(s.scores, firstKey, limits, visible);
  softmaxBlock(s.scores, s.maxima + tile * kQueries, s.totals + tile * kQueries, rescale, visible);
  productByColumns(sums, rescale, s.keys, s.scores, latent, visible);
}

// Vectors in tile `tile` of `lanes` lanes; calls body(Constant<vectors>()).
template <int kVectors = kScoreVectors, class Body>
void withVectors(int lanes, int tile, const Body& body) {
  const int vectors = int(minOf<i64>(ceilDiv(lanes - tile * kQueries, kLanes), kScoreVectors));
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) return withVectors<kVectors - 1>(lanes, tile, body);
  }
  body(Constant<kVectors>());
}

struct CachedQueries {
  Matrix<const float> q, qPe;  // rows are (t, h)
  const i32* lengths;
  i64 heads;
  float scale;
};

// Lanes firstLane … + lanes of all (row, head) pairs over positions begin … end of their sequence.
// Writes per lane, `stride` apart: the sum of p · latent, then the maximum and the sum of p.
void attendPart(const CachedQueries& in, const PagedCache& cache, i64 sequence, i64 firstLane,
                int lanes, int begin, int end, float* partial, i64 stride,
                const CachedScratch& s) {
  const int latent = int(in.q.columns);
  const int width = int(cache.cache.width());
  const int tiles = int(ceilDiv(lanes, kQueries));
  for (int tile = 0; tile < tiles; tile++) {
    withVectors(lanes, tile, [&](auto vectors) {
      constexpr int kWidth = decltype(vectors)::value * kLanes;
      const i64 lane = firstLane + tile * kQueries;
      const int count = minOf(kWidth, lanes - tile * kQueries);
      float* to = s.lanes + i64(tile) * kQueries * width;
      const float factor = in.scale * kLog2E;
      toLanes(to, kWidth, in.q.row(lane), in.q.stride, count, latent, factor);
      toLanes(to + latent * kWidth, kWidth, in.qPe.row(lane), in.qPe.stride, count, width - latent,
              factor);
      clearFloats(s.sums + i64(tile) * kQueries * paddedColumns(latent),
                  i64(kWidth) * paddedColumns(latent));
      for (int i = 0; i < kWidth; i++) {
        // Lanes without a query are zeros that see everything: harmless, and no reason to mask.
        s.limits[tile * kQueries + i] = i < count ? in.lengths[(lane + i) / in.heads] : end;
        s.maxima[tile * kQueries + i] = kMinusInfinity;
        s.totals[tile * kQueries + i] = 0.0f;
      }
    });
  }
  for (int key = begin; key < end; key += kKeys) {
    const int count = minOf(kKeys, end - key);
    for (int i = 0; i < count; i++) {
      const float* row = latentFloats(cache.cache, cache.slot(sequence, key + i), s.row);
      packPanels(s.keys + i * kPanel, 0, row, 0, 1, width);
    }
    for (int tile = 0; tile < tiles; tile++) {
      withVectors(lanes, tile, [&](auto vectors) {
        attendCachedTile<decltype(vectors)::value>(s, tile, key, count, width, latent);
      });
    }
  }
  for (int tile = 0; tile < tiles; tile++) {
    withVectors(lanes, tile, [&](auto vectors) {
      constexpr int kWidth = decltype(vectors)::value * kLanes;
      const int count = minOf(kWidth, lanes - tile * kQueries);
      float* rows = partial + i64(tile) * kQueries * stride;
      fromLanes<false>(rows, stride, s.sums + i64(tile) * kQueries * paddedColumns(latent), kWidth,
                       s.ones, count, latent);
      for (int i = 0; i < count; i++) {
        rows[i * stride + latent] = s.maxima[tile * kQueries + i];
        rows[i * stride + latent + 1] = s.totals[tile * kQueries + i];
      }
    });
  }
}

// out = Σ_part w · sum_part / Σ_part w · total_part with w = 2^(max_part − max), for one lane; its
// parts lie `partStride` apart.
void joinParts(float* out, const float* partial, i64 parts, i64 partStride, i64 latent) {
  float most = kMinusInfinity;
  for (i64 p = 0; p < parts; p++) {
    const float maximum = partial[p * partStride + latent];
    most = maximum > most || maximum != maximum ? maximum : most;
  }
  const vf base = splat(most == kMinusInfinity ? 0.0f : most);
  float total = 0.0f;
  for (i64 p = 0; p < parts; p++) {
    const float* part = partial + p * partStride;
    const vf weight = exp2Negative(splat(part[latent]) - base);
    total += weight[0] * part[latent + 1];
    i64 i = 0;
    for (; i + kLanes <= latent; i += kLanes) {
      store(out + i, p == 0 ? weight * load(part + i) : fma(weight, load(part + i), load(out + i)));
    }
    for (; i < latent; i++) {
      out[i] = p == 0 ? weight[0] * part[i] : weight[0] * part[i] + out[i];
    }
  }
  const float share = total == 0.0f ? 0.0f : 1.0f / total;
  for (i64 i = 0; i < latent; i++) out[i] *= share;
}

// args: out_THC, q_THC, qPe_THP, cache, blockTable, sequence_T, length_T, blockSize, heads, scale
void absorbedAttention(const Context& context, const double* raw) {
  Args args(raw);
  const auto out = args.matrix();
  const auto q = args.matrix<const float>();
  const auto qPe = args.matrix<const float>();
  const LatentCache slots(args.any(), q.columns, qPe.columns);
  const auto blockTable = args.matrix<const i32>();
  const auto sequence = args.matrix<const i32>();
  const i32* lengths = args.vector<const i32>();
  const PagedCache cache = {slots, blockTable, args.integer()};
  const i64 heads = args.integer();
  const CachedQueries in = {q, qPe, lengths, heads, args.real()};

  const i64 rows = sequence.columns;
  CachedRun* runs = scratch<CachedRun>(context, rows);
  i64* runOfRow = scratch<i64>(context, rows);
  i64 numRuns = 0;
  i64 tasks = 0;
  i64 numPartials = 0;
  for (i64 row = 0; row < rows; numRuns++) {
    CachedRun& run = runs[numRuns] = {row, 0, 0, tasks, numPartials};
    for (; row < rows && sequence.data[row] == sequence.data[run.firstRow]; row++) {
      runOfRow[row] = numRuns;
      run.rows++;
      run.longest = maxOf<i64>(run.longest, lengths[row]);
    }
    tasks += partsOf(run.longest) * ceilDiv(run.rows * heads, kLaneBlock);
    numPartials += partsOf(run.longest) * run.rows * heads;
  }
  const i64 latent = q.columns;
  const i64 stride = (latent + 2 + 15) / 16 * 16;
  float* partials = scratch<float>(context, numPartials * stride);
  const int width = int(slots.width());
  const i64 floats = CachedScratch(nullptr, width, int(latent)).floats;
  float* memory = scratch<float>(context, floats * context.threads);
  const auto prepare = [&](int thread) {
    const CachedScratch s(memory + thread * floats, width, int(latent));
    clearFloats(s.keys, panelFloats(width));
    for (int i = 0; i < kQueries; i++) s.ones[i] = 1.0f;
    return s;
  };
  forTasks(context, tasks, prepare, [&](i64 task, const CachedScratch& s, const auto&) {
    i64 index = 0;
    while (index + 1 < numRuns && task >= runs[index + 1].firstTask) index++;
    const CachedRun& run = runs[index];
    const i64 parts = partsOf(run.longest);
    const i64 part = (task - run.firstTask) % parts;
    const i64 block = (task - run.firstTask) / parts * kLaneBlock;
    const i64 lanes = run.rows * heads;
    attendPart(in, cache, sequence.data[run.firstRow], run.firstRow * heads + block,
               int(minOf<i64>(kLaneBlock, lanes - block)), int(partBegin(part)),
               int(minOf(partBegin(part + 1), run.longest)),
               partials + (run.firstPartial + part * lanes + block) * stride, stride, s);
  });
  const i64 joined = ceilDiv(numPartials, maxOf<i64>(rows * heads, 1)) * latent;
  parallelFor(context, rows * heads, grainFor(joined), [&](i64 begin, i64 end, int) {
    for (i64 lane = begin; lane < end; lane++) {
      const CachedRun& run = runs[runOfRow[lane / heads]];
      const i64 first = run.firstPartial + lane - run.firstRow * heads;
      joinParts(out.row(lane), partials + first * stride, partsOf(lengths[lane / heads]),
                run.rows * heads * stride, latent);
    }
  });
}

}  // namespace
}  // namespace moebius
