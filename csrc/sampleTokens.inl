// The next token of every row of logits, and its log probability.
//
//     p  = softmax(z)         logProbability = ln p[id]           (temperature and cuts apart)
//     w  = exp((z − max z) / temperature), 0 where top-k, top-p or min-p cut
//     id = argmin_v −ln(1 − u_v) / w_v  (a race: P(v wins) = w_v / Σ w), or argmax z, greedy
//
// u_v is a hash of seed, position and v. T rows, V vocabulary. Bytes: 4 · T · V, read twice, the
// second time from a cache; bound by the exponentials, one or two in float32 a logit.
//
// Float32 only sorts out. The row's likeliest token opens the race; a token whose u_v lies above
// (1 + 1e-4) · earliest · w_v has lost, and the few others are run in doubles. So the winner is
// that of a race in doubles. Nothing lighter than e^-40 can win: u ≥ 2^-49, and the likeliest token
// finishes by −ln 2^-24 < 17.
#pragma once
#include "rows.h"
#include "vmath.h"

namespace moebius {
namespace {

// Tokens that are one task; fixed, so that no sum depends on the thread count.
constexpr i64 kSampleBlock = 4096;
constexpr i64 kSampleGroup = 4 * kLanes;
constexpr i64 kCutBins = 2048;
constexpr double kLightest = 40.0;

// 24 bits that seed and index name; `uniformAt` of src/base/random.ts.
template <class T>
MOEBIUS_INLINE T uniformBits(u32 seed, T index) {
  T z = ((index + 1u) * 0x85ebca77u) ^ (seed * 0x9e3779b1u);
  z = (z ^ (z >> 15)) * 0x2c1b3c6du;
  z = (z ^ (z >> 12)) * 0x297a2d39u;
  z = (z ^ (z >> 15)) * 0x85ebca6bu;
  return (z ^ (z >> 16)) >> 8;
}

// One row's rule, and what is known of the row.
struct SampledRow {
  double temperature, topP, minP;
  i64 topK;
  u32 seed;
  const float* logits;
  i64 best;
  float largest;
  bool isUsable;
  // Kept are the logits above `least`, and of those equal to it the ones up to `lastTie`.
  float least;
  i64 lastTie;
  double bestTime;

  bool isGreedy() const { return temperature == 0; }
  bool isCut(i64 vocabulary) const {
    return isUsable && !isGreedy() && ((topK > 0 && topK < vocabulary) || topP < 1);
  }
  double weight(float logit) const {
    return expOneDouble((double(logit) - double(largest)) / temperature);
  }
  double time(i64 id, double weight) const {
    double u = uniformBits(seed, u32(2 * id)) * 0x1p-24;
    if (u < 0x1p-10) u += (uniformBits(seed, u32(2 * id + 1)) * 0x1p-24 + 0x1p-25) * 0x1p-24;
    return -logOneDouble(1.0 - u) / weight;
  }
};

// What one task finds in its part of a row.
struct SampledBlock {
  float largest;
  i64 best;
  bool hasNan;
  double sum;  // of exp(z − largest of the row)
  double time;
  i64 winner;
};

MOEBIUS_NOINLINE void findLargest(const float* logits, i64 first, i64 count, SampledBlock* block) {
  vf most = splat(kMinusInfinity);
  vi place = splatInt(0);
  vi nan = splatInt(0);
  i64 i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const vf z = load(logits + i);
    place = select(z > most, splatInt(i32(i)), place);
    most = vmax(z, most);
    nan |= z != z;
  }
  block->hasNan = anyLane(nan);
  block->largest = kMinusInfinity;
  block->best = first;
  for (int lane = 0; lane < kLanes && lane < count; lane++) {
    const i64 id = first + place[lane] + lane;
    const float z = most[lane];
    if (z > block->largest || (z == block->largest && id < block->best)) {
      block->largest = z;
      block->best = id;
    }
  }
  for (; i < count; i++) {
    if (logits[i] != logits[i]) block->hasNan = true;
    if (logits[i] > block->largest) {
      block->largest = logits[i];
      block->best = first + i;
    }
  }
}

// A race in doubles against the earliest so far; equal times go to the lower id.
MOEBIUS_NOINLINE void runToken(const SampledRow& row, i64 id, SampledBlock* block) {
  const float logit = row.logits[id];
  if (logit == row.least && id > row.lastTie) return;
  const double weight = row.weight(logit);
  if (weight < row.minP) return;
  const double time = row.time(id, weight);
  if (time < block->time || (time == block->time && id < block->winner)) {
    block->time = time;
    block->winner = id;
  }
}

template <bool isRace>
void sampleBlock(const SampledRow& row, i64 first, i64 count, SampledBlock* block) {
  const vf base = splat(row.largest);
  const vf least = splat(row.least);
  const bool isTempered = row.temperature != 1;
  // At 1e30 every other token is out anyway, and 0 times it is still 0.
  const vf inverse = splat(float(minOf(1.0 / row.temperature, 1e30)));
  vu lanes;
  for (int lane = 0; lane < kLanes; lane++) lanes[lane] = u32(2 * lane);
  block->time = row.bestTime;
  block->winner = row.best;
  vf limit = splat(float(row.bestTime) * 1.0001f);
  vd low = {};
  vd high = {};
  float padded[kSampleGroup];
  i32 hits[kSampleGroup];
  for (i64 i = 0; i < count; i += kSampleGroup) {
    const float* group = row.logits + first + i;
    if (i + kSampleGroup > count) {
      for (i64 j = 0; j < kSampleGroup; j++) padded[j] = i + j < count ? group[j] : kMinusInfinity;
      group = padded;
    }
    vi anyHit = splatInt(0);
    MOEBIUS_UNROLL
    for (i64 j = 0; j < kSampleGroup; j += kLanes) {
      const vf z = load(group + j);
      const vf below = z - base;
      const vf weight = vexp(below);
      vd lowPart;
      vd highPart;
      toDoubles(weight, &lowPart, &highPart);
      low += lowPart;
      high += highPart;
      if (!isRace) continue;
      const vf tempered = isTempered ? vexp(below * inverse) : weight;
      const vu bits = uniformBits(row.seed, lanes + u32(2 * (first + i + j)));
      const vf u = toFloat((vi)bits) * splat(0x1p-24f);
      const vi hit = (u <= limit * tempered) & (z >= least);
      store(hits + j, hit);
      anyHit |= hit;
    }
    if (!isRace || !anyLane(anyHit)) continue;
    for (i64 j = 0; j < kSampleGroup && i + j < count; j++) {
      if (hits[j] != 0) runToken(row, first + i + j, block);
    }
    limit = splat(float(block->time) * 1.0001f);
  }
  double parts[kLanes];
  store(parts, low);
  store(parts + kLanes / 2, high);
  block->sum = 0;
  for (int i = 0; i < kLanes; i++) block->sum += parts[i];
}

// Bins of equal width from the largest logit down; the last one holds all that cannot win, or the
// smallest logit.
struct CutScratch {
  double* weights;
  u64* keys;
  i32* bins;
  double masses[kCutBins];
  i64 counts[kCutBins];
};

// Falling logits, then rising ids.
inline u64 orderKey(float logit, i64 id) {
  const float normal = logit + 0.0f;  // −0 is 0
  u32 bits;
  __builtin_memcpy(&bits, &normal, sizeof bits);
  bits = bits >> 31 != 0 ? bits : ~(bits | 0x80000000u);
  return u64(bits) << 32 | u64(id);
}

// In place, by a heap; what is in order already (ties) costs one pass.
void sortKeys(u64* keys, i64 count) {
  bool isSorted = true;
  for (i64 i = 1; i < count && isSorted; i++) isSorted = keys[i - 1] < keys[i];
  if (isSorted) return;
  const auto sink = [&](i64 from, i64 size) {
    const u64 key = keys[from];
    for (i64 child; (child = 2 * from + 1) < size; from = child) {
      if (child + 1 < size && keys[child + 1] > keys[child]) child++;
      if (keys[child] <= key) break;
      keys[from] = keys[child];
    }
    keys[from] = key;
  };
  for (i64 i = count / 2 - 1; i >= 0; i--) sink(i, count);
  for (i64 size = count - 1; size > 0; size--) {
    const u64 key = keys[size];
    keys[size] = keys[0];
    keys[0] = key;
    sink(0, size);
  }
}

// The tokens of one bin in their order; how many.
i64 sortBin(const SampledRow& row, i64 vocabulary, i64 bin, const CutScratch& s) {
  const vi wanted = splatInt(i32(bin));
  i64 count = 0;
  for (i64 i = 0; i < vocabulary; i += kSampleGroup) {
    vi any = splatInt(0);
    for (i64 j = 0; j < kSampleGroup; j += kLanes) any |= load(s.bins + i + j) == wanted;
    if (!anyLane(any)) continue;
    for (i64 id = i; id < i + kSampleGroup; id++) {
      if (s.bins[id] == bin) s.keys[count++] = orderKey(row.logits[id], id);
    }
  }
  sortKeys(s.keys, count);
  return count;
}

void fillBins(const SampledRow& row, i64 vocabulary, CutScratch& s, double width) {
  const vf scale = splat(width > 0 ? float(minOf((kCutBins - 1) / width, 1e30)) : 0.0f);
  const vf largest = splat(row.largest);
  const vf last = splat(float(kCutBins - 1));
  const double inverse = minOf(1.0 / row.temperature, 1e300);
  const bool weighs = row.topP < 1;
  for (i64 i = 0; i < vocabulary; i += kLanes) {
    const vf z = loadSome(row.logits + i, minOf<i64>(kLanes, vocabulary - i));
    store(s.bins + i, toInt(vmin((largest - z) * scale, last)));  // in this order NaN is last
    if (!weighs) continue;
    vd low;
    vd high;
    toDoubles(z, &low, &high);
    store(s.weights + i, vexpDouble((low - double(row.largest)) * inverse));
    store(s.weights + i + kLanes / 2, vexpDouble((high - double(row.largest)) * inverse));
  }
  const i64 padded = ceilDiv(vocabulary, kSampleGroup) * kSampleGroup;
  for (i64 i = vocabulary; i < padded; i++) s.bins[i] = -1;
  for (i64 bin = 0; bin < kCutBins; bin++) {
    s.counts[bin] = 0;
    s.masses[bin] = 0;
  }
  for (i64 id = 0; id < vocabulary; id++) {
    s.counts[s.bins[id]]++;
    if (weighs) s.masses[s.bins[id]] += s.weights[id];
  }
}

// Finds `least` and `lastTie`: top-k's last token, then top-p's among what that leaves.
void cutRow(SampledRow& row, i64 vocabulary, CutScratch& s) {
  vf smallest = splat(row.largest);
  for (i64 i = 0; i + kLanes <= vocabulary; i += kLanes) {
    smallest = vmin(load(row.logits + i), smallest);
  }
  float lowest = -maximum(-smallest);
  for (i64 i = vocabulary / kLanes * kLanes; i < vocabulary; i++) {
    lowest = minOf(lowest, row.logits[i]);
  }
  const double range = double(row.largest) - double(lowest);
  const double width = minOf(range, kLightest * row.temperature);
  fillBins(row, vocabulary, s, width);
  const i64 last = width < range ? kCutBins - 1 : kCutBins;  // from here on nothing can win

  i64 end = last;      // the bin in which top-k's last token lies
  i64 count = 0;       // of the tokens in `keys`
  double total = 0;
  if (row.topK > 0 && row.topK < vocabulary) {
    i64 before = 0;
    for (end = 0; end < last && before + s.counts[end] < row.topK; end++) {
      before += s.counts[end];
      total += s.masses[end];
    }
    if (end < last) {
      sortBin(row, vocabulary, end, s);
      count = row.topK - before;
    }
  } else {
    for (i64 bin = 0; bin < last; bin++) total += s.masses[bin];
  }
  if (row.topP < 1) {
    const auto weightAt = [&](i64 i) { return s.weights[s.keys[i] & 0xffffffff]; };
    for (i64 i = 0; i < count; i++) total += weightAt(i);
    const double enough = row.topP * total;
    double mass = 0;
    i64 bin = 0;
    for (; bin < end && mass + s.masses[bin] < enough; bin++) mass += s.masses[bin];
    if (bin < end) count = sortBin(row, vocabulary, bin, s);
    i64 kept = 0;
    while (kept < count && mass < enough) mass += weightAt(kept++);
    count = kept;
  }
  if (count == 0) return;
  row.lastTie = i64(s.keys[count - 1] & 0xffffffff);
  row.least = row.logits[row.lastTie];
}

// What is known of a row before its race. A NaN makes it unusable, so does an infinite largest.
SampledRow openRow(const double* rule, const float* logits, i64 vocabulary,
                   const SampledBlock* blocks, i64 numBlocks) {
  const u32 seed = u32(rule[4]);
  const u32 position = u32(2 * i64(rule[5]));
  SampledRow row = {};
  row.temperature = rule[0];
  row.topK = i64(rule[1]);
  row.topP = rule[2];
  row.minP = rule[3];
  row.seed = (uniformBits(seed, position) << 8) ^ uniformBits(seed, position + 1);
  row.logits = logits;
  row.largest = kMinusInfinity;
  row.least = kMinusInfinity;
  row.lastTie = vocabulary;
  bool hasNan = false;
  for (i64 b = 0; b < numBlocks; b++) {
    hasNan |= blocks[b].hasNan;
    if (!(blocks[b].largest > row.largest)) continue;
    row.largest = blocks[b].largest;
    row.best = blocks[b].best;
  }
  row.isUsable = !hasNan && row.largest - row.largest == 0;
  if (hasNan) {
    for (row.best = 0; logits[row.best] == logits[row.best];) row.best++;
  }
  row.bestTime = row.time(row.best, 1.0);
  return row;
}

void closeRow(const SampledRow& row, const SampledBlock* blocks, i64 numBlocks, i32* id,
              float* logProbability) {
  if (!row.isUsable) {
    *id = i32(-1 - row.best);
    *logProbability = row.logits[row.best];
    return;
  }
  double sum = 0;
  const SampledBlock* first = blocks;
  for (i64 b = 0; b < numBlocks; b++) {
    const SampledBlock& block = blocks[b];
    sum += block.sum;
    const bool isLower = block.time == first->time && block.winner < first->winner;
    if (block.time < first->time || isLower) first = &block;
  }
  *id = i32(first->winner);
  const double below = double(row.logits[first->winner]) - double(row.largest);
  *logProbability = float(below - logOneDouble(sum));
}

void cutRows(const Context& context, SampledRow* sampled, i64 rows, i64 vocabulary) {
  const i64 padded = ceilDiv(vocabulary, kSampleGroup) * kSampleGroup;
  CutScratch* all = scratch<CutScratch>(context, context.threads);
  double* weights = scratch<double>(context, context.threads * padded);
  u64* keys = scratch<u64>(context, context.threads * padded);
  i32* bins = scratch<i32>(context, context.threads * padded);
  parallelFor(context, rows, grainFor(32 * vocabulary), [&](i64 begin, i64 end, int thread) {
    CutScratch& s = all[thread];
    s.weights = weights + thread * padded;
    s.keys = keys + thread * padded;
    s.bins = bins + thread * padded;
    for (i64 r = begin; r < end; r++) {
      if (sampled[r].isCut(vocabulary)) cutRow(sampled[r], vocabulary, s);
    }
  });
}

// args: ids_T, logProbabilities_T, logits_TV, rules: per row temperature, topK, topP, minP, seed
// and position. An unusable row gets the id −1 − v and the logit of its first NaN, else of its
// largest.
void sampleTokens(const Context& context, const double* raw) {
  Args args(raw);
  i32* ids = args.vector<i32>();
  float* logProbabilities = args.vector();
  const auto logits = args.matrix<const float>();
  const double* rules = args.list().data;

  const i64 rows = logits.rows;
  const i64 vocabulary = logits.columns;
  const i64 perRow = ceilDiv(vocabulary, kSampleBlock);
  SampledRow* sampled = scratch<SampledRow>(context, rows);
  SampledBlock* blocks = scratch<SampledBlock>(context, rows * perRow);
  // body(row, first token, how many, block) for every part of every row.
  const auto forBlocks = [&](const auto& body) {
    const i64 grain = grainFor(8 * minOf(vocabulary, kSampleBlock));
    parallelFor(context, rows * perRow, grain, [&](i64 begin, i64 end, int) {
      for (i64 task = begin; task < end; task++) {
        const i64 first = task % perRow * kSampleBlock;
        body(task / perRow, first, minOf(kSampleBlock, vocabulary - first), &blocks[task]);
      }
    });
  };
  forBlocks([&](i64 r, i64 first, i64 count, SampledBlock* block) {
    findLargest(logits.row(r) + first, first, count, block);
  });
  bool anyCut = false;
  for (i64 r = 0; r < rows; r++) {
    sampled[r] = openRow(rules + 6 * r, logits.row(r), vocabulary, blocks + r * perRow, perRow);
    anyCut |= sampled[r].isCut(vocabulary);
  }
  if (anyCut) cutRows(context, sampled, rows, vocabulary);
  forBlocks([&](i64 r, i64 first, i64 count, SampledBlock* block) {
    const SampledRow& row = sampled[r];
    if (!row.isUsable) return;
    if (row.isGreedy()) {
      sampleBlock<false>(row, first, count, block);
    } else {
      sampleBlock<true>(row, first, count, block);
    }
  });
  for (i64 r = 0; r < rows; r++) {
    closeRow(sampled[r], blocks + r * perRow, perRow, ids + r, logProbabilities + r);
  }
}

}  // namespace
}  // namespace moebius
