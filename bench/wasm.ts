/**
 * The WebAssembly kernels against the native ones on square products, in turns in one run.
 *
 *   node bench/kernels.ts --backend wasm [--only 1024] [--tiny] [--json]
 *
 * On each number of threads every backend does each product once per round, and rounds go on until
 * their time is up; a figure is the best of all rounds, so that what a shared machine takes from
 * one backend it takes from all. Native runs in the machine's best instruction set and in AVX2,
 * which has twice the lanes of WebAssembly and as many registers.
 * The last line is JSON.
 */
import { Random } from '../src/base/random.ts';
import type { Kernels, Layout } from '../src/kernels/kernels.ts';
import type { NativeAddon } from '../src/kernels/native/addon.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { createWasmKernels } from '../src/kernels/wasm.ts';
import { loadWasm } from '../src/runtime/loadWasm.ts';
import { hostArray } from '../src/tensor/tensor.ts';

interface Contender {
  readonly name: string;
  readonly run: () => void;
  seconds: number;
}

interface Row {
  readonly size: number;
  readonly layout: Layout;
  readonly threads: number;
  readonly gflopsPerSecond: Readonly<Record<string, number>>;
  /** WebAssembly's speed over that of each other backend. */
  readonly ratio: Readonly<Record<string, number>>;
}

const LAYOUTS: readonly Layout[] = ['nt', 'nn', 'tn'];

export function benchWasm(
  addon: NativeAddon,
  options: { readonly only: string; readonly tiny: boolean; readonly json: boolean },
): void {
  const sizes = options.tiny ? [64] : [256, 1024, 2048];
  const loaded = loadWasm({ threads: 2 });
  if ('reason' in loaded) throw new Error(loaded.reason);
  const { instance } = loaded;
  const isas = [
    ...new Set([addon.isas[0] as string, ...addon.isas.filter((isa) => isa === 'avx2')]),
  ];
  const rows: Row[] = [];
  for (const threads of [1, 2]) {
    const backends: [string, Kernels][] = [
      ['wasm', createWasmKernels(instance, { threads })],
      ...isas.map((isa): [string, Kernels] => [isa, createNativeKernels(addon, { isa, threads })]),
    ];
    for (const size of sizes) {
      for (const layout of LAYOUTS) {
        if (!`${size}³ ${layout}`.includes(options.only)) continue;
        const contenders = backends.map(([name, kernels]) =>
          contender(name, kernels, size, layout),
        );
        race(contenders, options.tiny ? 0.02 : 1);
        const row = rowOf(contenders, { size, layout, threads });
        rows.push(row);
        if (!options.json) print(row);
      }
    }
  }
  instance.close();
  console.log(JSON.stringify({ backend: 'wasm', isas, rows }));
}

function contender(name: string, kernels: Kernels, size: number, layout: Layout): Contender {
  const arena = kernels.createArena('bench');
  const random = new Random(size);
  const [a, b, out] = [1, 2, 3].map(() => {
    const tensor = arena.allocate('f32', [size, size]);
    const values = hostArray(tensor);
    for (let i = 0; i < values.length; i++) values[i] = random.uniform() - 0.5;
    return tensor;
  });
  if (!a || !b || !out) throw new Error('three matrices');
  const run = (): void => kernels.matmul({ out, a, b: { values: b }, layout });
  run();
  return { name, run, seconds: Number.POSITIVE_INFINITY };
}

function race(contenders: readonly Contender[], seconds: number): void {
  const end = performance.now() + seconds * 1e3;
  // At least four: the engine compiles once more what it finds running long.
  for (let round = 0; round < 4 || performance.now() < end; round++) {
    for (const each of contenders) {
      const start = performance.now();
      each.run();
      each.seconds = Math.min(each.seconds, (performance.now() - start) / 1e3);
    }
  }
}

function rowOf(contenders: readonly Contender[], at: Omit<Row, 'gflopsPerSecond' | 'ratio'>): Row {
  const speeds = contenders.map(({ name, seconds }): [string, number] => [
    name,
    (2 * at.size ** 3) / seconds / 1e9,
  ]);
  const [[, wasm = 0] = [], ...others] = speeds;
  return {
    ...at,
    gflopsPerSecond: Object.fromEntries(speeds),
    ratio: Object.fromEntries(others.map(([name, speed]) => [name, wasm / speed])),
  };
}

function print({ size, layout, threads, gflopsPerSecond, ratio }: Row): void {
  const speeds = Object.entries(gflopsPerSecond).map(
    ([name, speed]) => `${name} ${speed.toFixed(1).padStart(6)}`,
  );
  const ratios = Object.entries(ratio).map(([name, value]) => `${value.toFixed(2)} × ${name}`);
  const threadCount = `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  console.log(
    `${`${size}³`.padStart(5)} ${layout}, ${threadCount.padEnd(9)}  ${speeds.join('  ')} GFLOP/s` +
      `   ${ratios.join(', ')}`,
  );
}
