// Absorbed attention of some heads of one row over a paged cache, lanes along the latents, so that
// cached vectors are read where they lie.
//
//     score(h,s) = q[h] · [latent | kPe][s]       out[h] = Σ_s softmax(score)(h,s) · latent[s]
//
// Two positions at a time meet a group of kHeadGroup heads held in registers' worth of sums; scores
// of a block of positions stay in the first cache, and sums are rescaled block by block. FLOPs:
// 2 (2C + P) per head and position; bytes: C + P floats per position, once per group. Heads are
// independent of each other, rows too: bits depend on neither threads nor batch.
#pragma once
#include "absorbedAttention.inl"
#include "dotStreams.h"

namespace moebius {
namespace {

constexpr int kHeadGroup = kLanes / 2;
constexpr int kPositions = 64;  // of a block
constexpr int kSumVectors = 2;  // of latents per pass over a block
constexpr i64 kPairsAhead = 3;  // asked for while a pair is scored

struct HeadScratch {
  float* scores;  // [kPositions / 2][2 · kHeadGroup], position within the pair, then head
  float* sums;    // [kHeadGroup][latentPadded]
  static i64 floats(i64 latent) { return kPositions * kHeadGroup + kHeadGroup * padded(latent); }
  static i64 padded(i64 latent) {
    return ceilDiv(latent, kSumVectors * kLanes) * kSumVectors * kLanes;
  }
  HeadScratch(float* memory) : scores(memory), sums(memory + kPositions * kHeadGroup) {}
};

// q: rows of width floats, log2(e) and the scale multiplied in, `count` heads from q on; out: as
// many rows of latents, outStride apart.
MOEBIUS_NOINLINE void attendHeads(float* out, i64 outStride, const float* q, i64 width, i64 count,
                                  const PagedCache& cache, i64 sequence, i64 length, i64 latent,
                                  const HeadScratch& s) {
  const float* heads[kHeadGroup];
  for (i64 h = 0; h < kHeadGroup; h++) heads[h] = q + minOf(h, count - 1) * width;
  const i64 padded = HeadScratch::padded(latent);
  clearFloats(s.sums, kHeadGroup * padded);
  float maxima[kHeadGroup];
  float totals[kLanes] = {};
  for (int h = 0; h < kHeadGroup; h++) maxima[h] = kMinusInfinity;
  const float* rows[kPositions];
  for (i64 begin = 0; begin < length; begin += kPositions) {
    const i64 positions = minOf<i64>(kPositions, length - begin);
    // Block by block of the cache, since a division costs more than a score.
    for (i64 i = 0; i < positions;) {
      const float* row = cache.row(sequence, begin + i);
      const i64 inBlock = cache.blockSize - (begin + i) % cache.blockSize;
      for (const i64 end = minOf(i + inBlock, positions); i < end; i++) {
        rows[i] = row;
        row += cache.slots.stride;
      }
    }
    if (positions < kPositions) rows[positions] = rows[positions - 1];
    const i64 pairs = ceilDiv(positions, 2);
    vf most = splat(kMinusInfinity);
    for (i64 pair = 0; pair < pairs; pair++) {
      vf sums[2 * kHeadGroup];
      MOEBIUS_UNROLL
      for (int i = 0; i < 2 * kHeadGroup; i++) sums[i] = zero();
      const float* first = rows[2 * pair];
      const float* second = rows[2 * pair + 1];
      const float* ahead = rows[2 * minOf(pair + kPairsAhead, pairs - 1)];
      const float* behind = rows[2 * minOf(pair + kPairsAhead, pairs - 1) + 1];
      i64 i = 0;
      for (; i + kLanes <= width; i += kLanes) {
        const vf a = load(first + i);
        const vf b = load(second + i);
        prefetch(ahead + i);
        prefetch(behind + i);
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
      float* scores = s.scores + pair * kLanes;
      store(scores, sumEach(sums));
      if (2 * pair + 1 >= positions) {
        for (int h = 0; h < kHeadGroup; h++) scores[kHeadGroup + h] = kMinusInfinity;
      }
      most = vmax(load(scores), most);
    }
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
      const vf p = exp2Negative(load(s.scores + pair * kLanes) - load(base));
      total = total + p;
      store(s.scores + pair * kLanes, p);
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
          sums[h][v] = load(s.sums + h * padded + c + v * kLanes) * splat(rescale[h]);
        }
      }
      for (i64 i = 0; i < positions; i++) {
        const float* p = s.scores + i * kHeadGroup;
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
      MOEBIUS_UNROLL
      for (int h = 0; h < kHeadGroup; h++) {
        MOEBIUS_UNROLL
        for (int v = 0; v < kSumVectors; v++) {
          store(s.sums + h * padded + c + v * kLanes, sums[h][v]);
        }
      }
    }
  }
  for (i64 h = 0; h < count; h++) {
    const vf share = splat(totals[h] == 0.0f ? 0.0f : 1.0f / totals[h]);
    writeRow(out + h * outStride, latent, [&](i64 i, i64 lanes) {
      return loadSome(s.sums + h * padded + i, lanes) * share;
    });
  }
}

}  // namespace
}  // namespace moebius
