/**
 * One decoded row's attention over caches of each type, in one thread's own time, so that figures
 * mean something on a machine that has other work too:
 *
 *     node bench/latentCaches.ts [positions …]
 */
import type { F32, I32 } from '../src/kernels/kernels.ts';
import { cacheColumns } from '../src/kernels/latentCache.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { numElements } from '../src/tensor/tensor.ts';
import { nativeOf } from './nativeOf.ts';

// V3's widths of a cached token, with 16 heads of 64; x is narrow, so that weights cost little.
const [H, C, P, N, V, D] = [16, 512, 64, 64, 64, 256];
const [BLOCK_SIZE, REPEATS] = [64, 25];

const { addon } = nativeOf({});
const kernels = createNativeKernels(addon, { threads: 1 });
const given = process.argv.slice(2).map(Number);
for (const positions of given.length > 0 ? given : [8192, 32768]) {
  for (const dtype of ['f32', 'bf16', 'f8e4m3'] as const) {
    const arena = kernels.createArena('bench');
    const floats = (...shape: number[]): F32 => {
      const tensor = arena.allocate('f32', shape);
      const value = (_: unknown, i: number): number => ((i * 7919) % 1000) / 1000 - 0.5;
      kernels.write(tensor, Float32Array.from({ length: numElements(shape) }, value));
      return tensor;
    };
    const ints = (length: number, value: (i: number) => number): I32 => {
      const tensor = arena.allocate('i32', [length]);
      kernels.write(
        tensor,
        Int32Array.from({ length }, (_, i) => value(i)),
      );
      return tensor;
    };
    const blocks = Math.ceil(positions / BLOCK_SIZE);
    const columns = cacheColumns(dtype, { latent: C, rope: P });
    const cache = arena.allocate(dtype, [blocks, BLOCK_SIZE, columns]);
    kernels.appendCache({
      cache,
      latent_TC: floats(positions, C),
      kPe_TP: floats(positions, P),
      slots_T: ints(positions, (i) => i),
    });
    const table = ints(blocks, (i) => i);
    const args = {
      x_TD: floats(1, D),
      positions_T: ints(1, () => 0),
      slots_T: ints(1, () => positions - 1),
      cache,
      blockTable: { ...table, shape: [1, blocks] },
      sequence_T: ints(1, () => 0),
      length_T: ints(1, () => positions),
      table: floats(1, P / 2, 2),
      gain: floats(D),
      q: { values: floats(H * (N + P), D) },
      kvDown: { values: floats(C + P, D) },
      kvGain: floats(C),
      kv: { values: floats(H * (N + V), C) },
      o: { values: floats(D, H * V) },
      ...{ numHeads: H, eps: 1e-6, latentEps: 1e-6, scale: 0.05 },
    };
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < REPEATS; i++) {
      const before = process.cpuUsage().user;
      kernels.mlaDecode(args);
      await kernels.read(args.gain);
      least = Math.min(least, (process.cpuUsage().user - before) / 1000);
    }
    console.log(`${positions} positions, ${dtype}: ${least.toFixed(2)} ms`);
    arena.free();
  }
}
