/**
 * Finds the C++ kernels: the addon in this package, or a reason why there is none.
 *
 * It is `build/Release/moebius.node` below the package's root. Set-up builds it in a checkout; an
 * installed package brings the sources, and the first use builds it from them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { CALLING_CONVENTION, differingOperations } from '../kernels/compiled/convention.ts';
import type { NativeAddon } from '../kernels/native/addon.ts';
import type { NativeOptions } from '../kernels/native.ts';
import { packageRoot } from './packageRoot.ts';

export interface LoadAddonOptions {
  /** The file to load instead of searching. */
  readonly path?: string;
}

export type LoadedAddon =
  | { readonly addon: NativeAddon; readonly path: string }
  | { readonly reason: string };

const ADDON = join('build', 'Release', 'moebius.node');

/** @throws runtime.otherAddon where the addon was built from sources that are called otherwise */
export function loadAddon(options: LoadAddonOptions = {}): LoadedAddon {
  const found = options.path ?? findAddon();
  if (typeof found !== 'string') return found;
  const path = found;
  let addon: Partial<NativeAddon>;
  try {
    addon = createRequire(import.meta.url)(path) as Partial<NativeAddon>;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { reason: `${path} does not load: ${message}` };
  }
  checkConvention(path, addon);
  return { addon: addon as NativeAddon, path };
}

/**
 * Addon and TypeScript are of one checkout, unless sources came in and nobody built. Such an addon
 * may run some operations and crash the process in others, so it is not used at all.
 */
function checkConvention(path: string, addon: Partial<NativeAddon>): void {
  const { callingConvention = 'none', operations = [], signatures } = addon;
  const { whole } = CALLING_CONVENTION;
  if (callingConvention === whole) return;
  const versions = `its calling convention is ${callingConvention}, that of this code ${whole}`;
  throw new MoebiusError('runtime.otherAddon', `${path} is of other sources: ${versions}`, {
    values: {
      addon: callingConvention,
      code: whole,
      operations: signatures === undefined ? [] : differingOperations({ operations, signatures }),
    },
    hint: 'Build it again: npm run build:native (or go without it: MOEBIUS_KERNELS=wasm).',
  });
}

/**
 * What the environment asks for: `MOEBIUS_ISA` and `MOEBIUS_THREADS`. Without them the best
 * instruction set, and as many threads as the process may use (affinity and container quota).
 *
 * @throws runtime.invalidEnvironment
 */
export function nativeOptionsFromEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): NativeOptions {
  const { MOEBIUS_ISA: isa, MOEBIUS_THREADS: threads } = environment;
  if (threads !== undefined && !/^[1-9]\d*$/.test(threads)) {
    throw new MoebiusError('runtime.invalidEnvironment', `MOEBIUS_THREADS is ${threads}`, {
      values: { MOEBIUS_THREADS: threads },
      hint: 'Set it to a whole number from 1, or leave it out.',
    });
  }
  return {
    // No more than the addon has seats for, however large the machine.
    threads: threads === undefined ? Math.min(availableParallelism(), 256) : Number(threads),
    ...(isa === undefined || isa === '' ? {} : { isa }),
  };
}

function findAddon(): string | { readonly reason: string } {
  const root = packageRoot();
  if (root === null) return { reason: 'The C++ kernels belong to no package here.' };
  const path = join(root, ADDON);
  return existsSync(path) ? path : buildAddon(root);
}

/** Progress goes to the screen; the path, wherever it could be written, or the reason, to us. */
function buildAddon(root: string): string | { readonly reason: string } {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'scripts', 'build-addon.js'), '--print'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const answer = stdout?.trim() ?? '';
  if (status === 0) return answer;
  return { reason: answer === '' ? 'The C++ kernels could not be built.' : answer };
}
