/**
 * What decides the speed of a call: its operation, its tensors' shapes and types, its layout; not
 * the numbers in them. The simulator prices calls by this key and calibration measures by it, so
 * both mean the same thing.
 */
import { isContiguous, type Tensor } from '../tensor/tensor.ts';
import type { Kernels, Operation } from './kernels.ts';

export type CallArgs = Readonly<Record<string, unknown>>;

/** One call as it was made: the same arguments on other kernels would do the same work. */
export interface OperationCall {
  readonly operation: Operation;
  readonly args: CallArgs;
}

export interface CallShape {
  /** Equal for calls that cost the same: `matmul nt out=f32[4096,256] …`. */
  readonly key: string;
  /** Calls whose costs lie on one line: operation, layout and types. */
  readonly family: string;
}

export function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'memory' in value;
}

export function callShape({ operation, args }: OperationCall): CallShape {
  const words: string[] = [];
  const types: string[] = [];
  describe(args, words, types, '');
  return {
    key: `${operation} ${words.join(' ')}`,
    family: [operation, ...types].join(' '),
  };
}

function describe(args: CallArgs, words: string[], types: string[], prefix: string): void {
  for (const name of Object.keys(args).sort()) {
    const value = args[name];
    const path = prefix + name;
    if (isTensor(value)) {
      const stride = isContiguous(value) ? '' : `/${value.rowStride}`;
      words.push(`${path}=${value.dtype}[${value.shape}]${stride}`);
      if (value.dtype !== 'f32' && value.dtype !== 'i32') types.push(`${path}:${value.dtype}`);
    } else if (typeof value === 'string' || value === true) {
      words.push(`${path}=${value}`);
      types.push(`${path}:${value}`);
    } else if (Array.isArray(value)) {
      words.push(`${path}=${name === 'sequences' ? runs(value) : value.length}`);
    } else if (typeof value === 'object' && value !== null) {
      describe(value as CallArgs, words, types, `${path}.`);
    }
  }
}

/** Sequence offsets as lengths: `8×512`, or the lengths themselves when they differ. */
function runs(offsets: readonly unknown[]): string {
  const lengths = offsets.slice(1).map((offset, i) => Number(offset) - Number(offsets[i]));
  const first = lengths[0];
  return lengths.every((length) => length === first)
    ? `${lengths.length}×${first}`
    : lengths.join(',');
}

/** The same kernels with something done around every operation; `around` calls `run` once. */
export function wrapCalls(
  kernels: Kernels,
  around: (call: OperationCall, run: () => void) => void,
): Kernels {
  const wrapped: Record<string, unknown> = {};
  for (const name of memberNames(kernels)) {
    const member = (kernels as unknown as Record<string, unknown>)[name];
    if (typeof member !== 'function') {
      wrapped[name] = member;
    } else if (NOT_OPERATIONS.has(name)) {
      wrapped[name] = member.bind(kernels);
    } else {
      wrapped[name] = (args: CallArgs): void =>
        around({ operation: name as Operation, args }, () => member.call(kernels, args));
    }
  }
  return wrapped as unknown as Kernels;
}

const NOT_OPERATIONS = new Set(['createArena', 'read', 'write']);

function memberNames(kernels: Kernels): readonly string[] {
  const names = new Set<string>(Object.keys(kernels));
  let prototype: unknown = Object.getPrototypeOf(kernels);
  while (prototype !== null && prototype !== Object.prototype) {
    for (const name of Object.getOwnPropertyNames(prototype)) names.add(name);
    prototype = Object.getPrototypeOf(prototype);
  }
  names.delete('constructor');
  return [...names];
}
