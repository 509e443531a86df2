// A token of a paged latent cache, in three widths: C latents, then P rotated key columns.
//
//     f32   [C + P] floats                              4 (C + P) bytes
//     bf16  [C + P] bf16                                2 (C + P)
//     f8    [C] e4m3, [⌈C/128⌉] f32 scales, [P] bf16    C + 4⌈C/128⌉ + 2 P      (V3: 656)
//
// An f8 scale is quantizeFp8's of a 1 × 128 tile: max(amax, 1e-4) / 448. Keys keep bf16, since a
// rotation spreads a rounding over all later positions. Bytes of a token lie in one piece, of any
// alignment. Narrow rows are widened a vector at a time as they are read.
#pragma once
#include "quantizeFp8.inl"

namespace moebius {
namespace {

struct LatentCache {
  u8* data;
  i64 rows, stride;  // slots, and bytes from one to the next
  DType dtype;
  i64 latent, rope;

  LatentCache(const AnyMatrix& m, i64 latent, i64 rope)
      : data(static_cast<u8*>(m.data)),
        rows(m.rows),
        stride(m.stride * bytesOf(m.dtype)),
        dtype(m.dtype),
        latent(latent),
        rope(rope) {}

  i64 width() const { return latent + rope; }
  u8* slot(i64 index) const { return data + index * stride; }
  bool isWide() const { return dtype == DType::f32; }
  i64 bytes() const {
    if (dtype != DType::f8e4m3) return width() * bytesOf(dtype);
    return latent + ceilDiv(latent, kTileSide) * i64(sizeof(float)) + 2 * rope;
  }
};

template <class T>
inline void narrowRow(T* to, const float* from, i64 count) {
  i64 i = 0;
  for (; i + kLanes <= count; i += kLanes) narrow(to + i, load(from + i));
  if (i < count) narrowPart(to + i, loadPart(from + i, count - i), count - i);
}

// One token into its slot.
inline void writeLatent(const LatentCache& cache, u8* slot, const float* latent,
                        const float* kPe) {
  const i64 C = cache.latent;
  if (cache.dtype == DType::f32) {
    copyBytes(slot, latent, C * i64(sizeof(float)));
    copyBytes(slot + C * i64(sizeof(float)), kPe, cache.rope * i64(sizeof(float)));
    return;
  }
  if (cache.dtype == DType::bf16) {
    Bf16* to = reinterpret_cast<Bf16*>(slot);
    narrowRow(to, latent, C);
    return narrowRow(to + C, kPe, cache.rope);
  }
  F8* codes = reinterpret_cast<F8*>(slot);
  for (i64 column = 0; column < C; column += kTileSide) {
    const i64 width = minOf(kTileSide, C - column);
    const float* from = latent + column;
    vf most = splat(1e-4f);
    for (i64 i = 0; i < width; i += kLanes) {
      most = vmax(vabs(loadSome(from + i, minOf<i64>(kLanes, width - i))), most);
    }
    const float scale = tileScale(maximum(most), false);
    __builtin_memcpy(slot + C + column / kTileSide * i64(sizeof(float)), &scale, sizeof scale);
    for (i64 i = 0; i < width; i += kLanes) {
      const i64 count = minOf<i64>(kLanes, width - i);
      vf v = loadSome(from + i, count) / splat(scale);
      v = bitsToFloat(v == v ? floatToBits(v) : splatInt(0x7fc00000));
      if (count == kLanes) {
        narrow(codes + column + i, v);
      } else {
        narrowPart(codes + column + i, v, count);
      }
    }
  }
  narrowRow(reinterpret_cast<Bf16*>(slot + cache.bytes() - 2 * cache.rope), kPe, cache.rope);
}

template <class T>
MOEBIUS_INLINE void widenRow(float* to, const T* from, i64 count, vf factor) {
  i64 i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, widen(from + i) * factor);
  if (i < count) storePart(to + i, widenPart(from + i, count - i) * factor, count - i);
}

// A token of a narrow cache as floats [C + P].
inline void readLatent(const LatentCache& cache, float* to, const u8* slot) {
  const i64 C = cache.latent;
  const vf one = splat(1.0f);
  if (cache.dtype == DType::bf16) {
    return widenRow(to, reinterpret_cast<const Bf16*>(slot), cache.width(), one);
  }
  const F8* codes = reinterpret_cast<const F8*>(slot);
  for (i64 column = 0; column < C; column += kTileSide) {
    float scale;
    __builtin_memcpy(&scale, slot + C + column / kTileSide * i64(sizeof(float)), sizeof scale);
    widenRow(to + column, codes + column, minOf(kTileSide, C - column), splat(scale));
  }
  const u8* keys = slot + cache.bytes() - 2 * cache.rope;
  widenRow(to + C, reinterpret_cast<const Bf16*>(keys), cache.rope, one);
}

// A slot's floats: where they lie, or widened into `memory`.
inline const float* latentFloats(const LatentCache& cache, const u8* slot, float* memory) {
  if (cache.isWide()) return reinterpret_cast<const float*>(slot);
  readLatent(cache, memory, slot);
  return memory;
}

// A cache and the blocks of its sequences, in order of position.
struct PagedCache {
  LatentCache cache;
  Matrix<const i32> blockTable;
  i64 blockSize;
  const u8* slot(i64 sequence, i64 position) const {
    return cache.slot(blockTable.row(sequence)[position / blockSize] * blockSize +
                      position % blockSize);
  }
  // Slots of positions begin … begin + count: block by block, since a division costs more than a
  // score.
  void slots(const u8** to, i64 sequence, i64 begin, i64 count) const {
    for (i64 i = 0; i < count;) {
      const u8* at = slot(sequence, begin + i);
      const i64 inBlock = blockSize - (begin + i) % blockSize;
      for (const i64 end = minOf(i + inBlock, count); i < end; i++, at += cache.stride) to[i] = at;
    }
  }
};

}  // namespace
}  // namespace moebius
