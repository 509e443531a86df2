// Absorbed attention of some heads of some rows over a paged cache, lanes along the latents, so
// that cached vectors of floats are read where they lie; narrow ones are widened, a block of
// positions at a time, for all heads and rows that see them.
//
//     score(h,s) = q[h] · [latent | kPe][s]       out[h] = Σ_s softmax(score)(h,s) · latent[s]
//
// Two positions at a time meet a group of kHeadGroup heads held in registers' worth of sums; scores
// of a block of positions stay in the first cache, the block in the second, and sums are rescaled
// block by block. FLOPs: 2 (2C + P) per head and position; bytes: a cached token per position, once
// per thread and run of rows of one sequence. Positions are cut into *parts* at fixed places, each
// attended to by itself and put together in order, so that threads share the positions of a long
// sequence and each is read once. Heads are independent of each other, rows too: bits depend on
// neither threads nor batch.
#pragma once
#include "absorbedAttention.inl"
#include "dotStreams.h"

namespace moebius {
namespace {

constexpr int kHeadGroup = kLanes / 2;
constexpr int kPositions = 64;  // of a block
constexpr int kSumVectors = 2;  // of latents per pass over a block
constexpr i64 kPart = 2048;     // positions; whole blocks
constexpr i64 kPairsAhead = 3;  // asked for while a pair is scored

// What a thread needs besides the sums of its heads.
struct HeadScratch {
  float* scores;  // [kPositions / 2][2 · kHeadGroup], position within the pair, then head
  float* rows;    // [kPositions][width], widened
  static i64 padded(i64 latent) {
    return ceilDiv(latent, kSumVectors * kLanes) * kSumVectors * kLanes;
  }
  static i64 rowFloats(i64 width) { return (width + 15) / 16 * 16; }
  static i64 floats(i64 width) { return kPositions * (kHeadGroup + rowFloats(width)); }
  HeadScratch(float* memory) : scores(memory), rows(memory + kPositions * kHeadGroup) {}
};

// Of a group of heads: kLanes maxima, the last half of them unused, then kLanes totals.
constexpr i64 kState = 2 * kLanes;

// A group of heads of one row: queries are rows of width floats, log2(e) and the scale multiplied
// in; sums as many rows, `sumStride` apart.
struct HeadGroup {
  const float* q;
  i64 count;
  float* sums;
  i64 sumStride;
  float* state;
};

// Positions that a block shows to a group. `ahead`: lines to ask for, where rows of pair p + 1 and
// on are, or null.
struct CachedBlock {
  const float* const* rows;
  i64 positions;
  const u8* const* ahead;
  i64 numAhead, bytesAhead;
};

MOEBIUS_NOINLINE void attendPositions(const HeadGroup& group, const CachedBlock& block, i64 width,
                                      i64 latent, float* memory) {
  const float* heads[kHeadGroup];
  float* sumsOf[kHeadGroup];
  for (i64 h = 0; h < kHeadGroup; h++) {
    heads[h] = group.q + minOf(h, group.count - 1) * width;
    sumsOf[h] = group.sums + minOf(h, group.count - 1) * group.sumStride;
  }
  const float* const* rows = block.rows;
  const i64 positions = block.positions;
  const i64 pairs = ceilDiv(positions, 2);
  vf most = splat(kMinusInfinity);
  for (i64 pair = 0; pair < pairs; pair++) {
    vf sums[2 * kHeadGroup];
    MOEBIUS_UNROLL
    for (int i = 0; i < 2 * kHeadGroup; i++) sums[i] = zero();
    const float* first = rows[2 * pair];
    const float* second = rows[minOf(2 * pair + 1, positions - 1)];
    if (kHasPrefetch) {
      for (i64 i = 2 * pair; i < minOf(2 * pair + 2, block.numAhead); i++) {
        const u8* line = block.ahead[i];
        for (i64 byte = 0; byte < block.bytesAhead; byte += 64) prefetch(line + byte);
      }
    }
    i64 i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      const vf a = load(first + i);
      const vf b = load(second + i);
      MOEBIUS_UNROLL
      for (int h = 0; h < kHeadGroup; h++) {
        const vf query = load(heads[h] + i);
        sums[h] = fma(query, a, sums[h]);
        sums[kHeadGroup + h] = fma(query, b, sums[kHeadGroup + h]);
      }
    }
    if (i < width) {
      const vf a = loadPart(first + i, width - i);
      const vf b = loadPart(second + i, width - i);
      for (int h = 0; h < kHeadGroup; h++) {
        const vf query = loadPart(heads[h] + i, width - i);
        sums[h] = fma(query, a, sums[h]);
        sums[kHeadGroup + h] = fma(query, b, sums[kHeadGroup + h]);
      }
    }
    float* scores = memory + pair * kLanes;
    store(scores, sumEach(sums));
    if (2 * pair + 1 >= positions) {
      for (int h = 0; h < kHeadGroup; h++) scores[kHeadGroup + h] = kMinusInfinity;
    }
    most = vmax(load(scores), most);
  }
  float* maxima = group.state;
  float* totals = group.state + kLanes;
  float both[kLanes], base[kLanes], rescale[kLanes];
  store(both, most);
  for (int h = 0; h < kHeadGroup; h++) {
    const float highest = maxOf(maxOf(both[h], both[kHeadGroup + h]), maxima[h]);
    base[h] = base[kHeadGroup + h] = highest == kMinusInfinity ? 0.0f : highest;
    rescale[h] = rescale[kHeadGroup + h] = maxima[h] - base[h];
    maxima[h] = highest;
  }
  const vf shrink = exp2Negative(load(rescale));
  store(rescale, shrink);
  vf total = zero();
  for (i64 pair = 0; pair < pairs; pair++) {
    const vf p = exp2Negative(load(memory + pair * kLanes) - load(base));
    total = total + p;
    store(memory + pair * kLanes, p);
  }
  store(both, total);
  for (int h = 0; h < kHeadGroup; h++) both[h] += both[kHeadGroup + h];
  store(totals, fma(load(totals), shrink, load(both)));
  for (i64 c = 0; c < latent; c += kSumVectors * kLanes) {
    const bool isWhole = c + kSumVectors * kLanes <= latent;
    vf sums[kHeadGroup][kSumVectors];
    MOEBIUS_UNROLL
    for (int h = 0; h < kHeadGroup; h++) {
      MOEBIUS_UNROLL
      for (int v = 0; v < kSumVectors; v++) {
        sums[h][v] = load(sumsOf[h] + c + v * kLanes) * splat(rescale[h]);
      }
    }
    for (i64 i = 0; i < positions; i++) {
      const float* p = memory + i * kHeadGroup;
      vf values[kSumVectors];
      MOEBIUS_UNROLL
      for (int v = 0; v < kSumVectors; v++) {
        const i64 left = latent - c - v * kLanes;
        values[v] = isWhole || left >= kLanes
                        ? load(rows[i] + c + v * kLanes)
                        : loadPart(rows[i] + c + v * kLanes, maxOf<i64>(left, 0));
      }
      MOEBIUS_UNROLL
      for (int h = 0; h < kHeadGroup; h++) {
        MOEBIUS_UNROLL
        for (int v = 0; v < kSumVectors; v++) {
          sums[h][v] = fma(splat(p[h]), values[v], sums[h][v]);
        }
      }
    }
    // Heads that repeat the last one have its sums.
    MOEBIUS_UNROLL
    for (int h = 0; h < kHeadGroup; h++) {
      MOEBIUS_UNROLL
      for (int v = 0; v < kSumVectors; v++) store(sumsOf[h] + c + v * kLanes, sums[h][v]);
    }
  }
}

// Rows first … end of queries, all of one sequence.
struct DecodeRun {
  i64 first, end, sequence;
  i64 longest;       // of their lengths
  i64 firstPartial;  // rows of partial results before this run's, which are [part][row]
  i64 rows() const { return end - first; }
  i64 parts() const { return ceilDiv(longest, kPart); }
};

// Sums and states of all heads of some rows over a part.
struct PartialRows {
  float* sums;    // [row][heads][padded]
  float* states;  // [row][groups][kState]
  i64 heads, padded;
  i64 groups() const { return ceilDiv(heads, kHeadGroup); }
  float* sumsOf(i64 row, i64 head) const { return sums + (row * heads + head) * padded; }
  float* stateOf(i64 row, i64 group) const { return states + (row * groups() + group) * kState; }
};

// Groups of heads begin … end of a run over part `part`, into its rows of `to`. Queries are
// [row][heads][width].
inline void attendPartOf(const PartialRows& to, const float* queries, i64 begin, i64 end,
                         const DecodeRun& run, i64 part, const i32* lengths,
                         const PagedCache& paged, const HeadScratch& s) {
  const LatentCache& cache = paged.cache;
  const i64 width = cache.width();
  const i64 firstTo = run.firstPartial + part * run.rows() - run.first;
  for (i64 row = run.first; row < run.end; row++) {
    for (i64 g = begin; g < end; g++) {
      const i64 head = g * kHeadGroup;
      const i64 count = minOf<i64>(kHeadGroup, to.heads - head);
      clearFloats(to.sumsOf(firstTo + row, head), count * to.padded);
      float* state = to.stateOf(firstTo + row, g);
      for (i64 i = 0; i < kLanes; i++) state[i] = kMinusInfinity;
      clearFloats(state + kLanes, kLanes);
    }
  }
  const u8* slots[2 * kPositions];
  const float* rows[kPositions];
  // What is read in place is asked for a few pairs ahead, what is widened a block ahead.
  const i64 apart = cache.isWide() ? 2 * kPairsAhead : kPositions;
  const i64 last = minOf((part + 1) * kPart, run.longest);
  for (i64 first = part * kPart; first < last; first += kPositions) {
    const i64 known = minOf<i64>(2 * kPositions, last - first);
    paged.slots(slots, run.sequence, first, known);
    const i64 positions = minOf<i64>(kPositions, known);
    for (i64 i = 0; i < positions; i++) {
      rows[i] = latentFloats(cache, slots[i], s.rows + i * HeadScratch::rowFloats(width));
    }
    i64 numAhead = maxOf<i64>(0, minOf<i64>(kPositions, known - apart));
    for (i64 row = run.first; row < run.end; row++) {
      const i64 seen = minOf(positions, lengths[row] - first);
      if (seen <= 0) continue;
      for (i64 g = begin; g < end; g++) {
        const i64 head = g * kHeadGroup;
        const HeadGroup group = {queries + (row * to.heads + head) * width,
                                 minOf<i64>(kHeadGroup, to.heads - head),
                                 to.sumsOf(firstTo + row, head), to.padded,
                                 to.stateOf(firstTo + row, g)};
        const CachedBlock block = {rows, seen, slots + apart, numAhead, cache.bytes()};
        attendPositions(group, block, width, cache.latent, s.scores);
        numAhead = 0;
      }
    }
  }
}

// One head of a row of a run from its parts: Σ_p w sum_p / Σ_p w total_p, w = 2^(max_p − max).
inline void joinHead(float* out, const PartialRows& from, const DecodeRun& run, i64 row, i64 head,
                     i64 length) {
  const i64 first = run.firstPartial + row - run.first;
  const i64 parts = ceilDiv(length, kPart);
  const auto stateOf = [&](i64 part) {
    return from.stateOf(first + part * run.rows(), head / kHeadGroup) + head % kHeadGroup;
  };
  float most = kMinusInfinity;
  for (i64 p = 0; p < parts; p++) most = maxOf(most, *stateOf(p));
  const vf base = splat(most == kMinusInfinity ? 0.0f : most);
  vf total = zero();
  for (i64 p = 0; p < parts; p++) {
    const float* state = stateOf(p);
    const vf weight = exp2Negative(splat(*state) - base);
    total = fma(weight, splat(state[kLanes]), total);
    const float* sums = from.sumsOf(first + p * run.rows(), head);
    for (i64 i = 0; i < from.padded; i += kLanes) {
      const vf sum = load(sums + i);
      store(out + i, p == 0 ? weight * sum : fma(weight, sum, load(out + i)));
    }
  }
  const vf share = total == zero() ? zero() : splat(1.0f) / total;
  for (i64 i = 0; i < from.padded; i += kLanes) store(out + i, load(out + i) * share);
}

}  // namespace
}  // namespace moebius
