/**
 * The kernels that this machine has: the reference, and the C++ ones with one and two threads, in
 * each instruction set and as WebAssembly, there also on a memory that moves as it grows.
 *
 * The best instruction set is the one that runs on this machine; the others are the same sources
 * compiled another time. So `npm test` holds the best to the whole contract with one thread and
 * with two, and each of the others, with two threads, to a part that has every case in it.
 * `npm run check:long` holds all to all of it.
 */
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { createWasmKernels } from '../../src/kernels/wasm.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { type LoadWasmOptions, loadWasm } from '../../src/runtime/loadWasm.ts';
import type { Implementation } from './kernelContract.ts';

const loaded = loadAddon();

/** Why there are no C++ kernels, where there are none. */
export const missingNative: string | undefined = 'reason' in loaded ? loaded.reason : undefined;

/** Everything that can run here. */
export const everyImplementation: readonly Implementation[] = [
  { name: 'reference', makeKernels: () => createReferenceKernels({ poison: true }) },
  ...nativeImplementations(),
  wasmImplementation('wasm, 1 thread', { threads: 1, isShared: false }),
  wasmImplementation('wasm, 2 threads', { threads: 2 }),
];

/** Every instruction set and every way to run one, with less where it is the same sources. */
export const implementations: readonly Implementation[] = everyImplementation.flatMap((each) => {
  if (isLesser(each, '1 thread')) return [];
  const isPart = isLesser(each, '2 threads') || each.name === 'wasm, 2 threads';
  return [{ ...each, effort: isPart ? ('part' as const) : ('whole' as const) }];
});

function nativeImplementations(): readonly Implementation[] {
  if ('reason' in loaded) return [];
  const { addon } = loaded;
  return addon.isas.flatMap((isa) =>
    [1, 2].map((threads) => ({
      name: nativeName(isa, threads === 1 ? '1 thread' : '2 threads'),
      makeKernels: () => createNativeKernels(addon, { isa, threads }),
    })),
  );
}

type Threads = '1 thread' | '2 threads';

function nativeName(isa: string, threads: Threads): string {
  return `native ${isa}, ${threads}`;
}

/** With an instruction set that is not the machine's best, which the addon names first. */
function isLesser({ name }: Implementation, threads: Threads): boolean {
  if ('reason' in loaded) return false;
  return loaded.addon.isas.slice(1).some((isa) => name === nativeName(isa, threads));
}

/** One instance for all kernels of a name, as there is one addon. */
function wasmImplementation(name: string, options: LoadWasmOptions): Implementation {
  const wasm = loadWasm(options);
  if ('reason' in wasm) throw new Error(wasm.reason);
  return { name, makeKernels: () => createWasmKernels(wasm.instance) };
}
