/**
 * Measures what operations cost on this machine, by doing them: the calls that a step of the model
 * makes (recorded on the meta kernels) are made again on real kernels, on tensors of the same
 * shapes, and their median times become the machine's profile.
 *
 * Contents are made up but valid: routing is even, ids lie in range, second moments are positive.
 * Repetitions take turns on sets of tensors, so that caches are about as cold as in a step.
 */
import { assert, at } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { median } from '../base/median.ts';
import { Random } from '../base/random.ts';
import type { OperationSample } from '../config/machineProfile.ts';
import { type CallArgs, callShape, isTensor, type OperationCall } from '../kernels/callShape.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import {
  columns,
  isContiguous,
  numColumns,
  numElements,
  numRows,
  reshape,
  type Tensor,
} from '../tensor/tensor.ts';
import { waitForQueued } from './waitForQueued.ts';

/** A call, and its work by the meta kernels' count. */
export interface MeasurableCall {
  readonly call: OperationCall;
  readonly flops: number;
  readonly bytes: number;
}

export interface MeasureOptions {
  /** Seconds spent on one call at most, first repetition excepted. */
  readonly secondsPerCall: number;
  readonly maxRepetitions: number;
}

const DEFAULTS: MeasureOptions = { secondsPerCall: 0.03, maxRepetitions: 5 };

/** One sample per distinct call; they finish before they return on these kernels. */
export function measureOperations(
  kernels: Kernels,
  clock: Clock,
  calls: Iterable<MeasurableCall>,
  options: MeasureOptions = DEFAULTS,
): OperationSample[] {
  const arena = kernels.createArena('calibration');
  const samples = new Map<string, OperationSample>();
  const staging = { values: new Float32Array(0) };
  const wait = waitForQueued(kernels, arena);
  for (const { call, flops, bytes } of calls) {
    const { key, family } = callShape(call);
    if (samples.has(key)) continue;
    const mark = arena.mark();
    const seconds = medianSeconds(kernels, clock, { arena, staging, wait, call, options });
    samples.set(key, { key, family, flops, bytes, seconds });
    arena.release(mark);
  }
  arena.free();
  return [...samples.values()];
}

function medianSeconds(
  kernels: Kernels,
  clock: Clock,
  {
    arena,
    staging,
    wait,
    call,
    options,
  }: {
    arena: Arena;
    staging: Staging;
    wait: () => void;
    call: OperationCall;
    options: MeasureOptions;
  },
): number {
  const run = (kernels as unknown as Record<string, (args: CallArgs) => void>)[call.operation];
  assert(run !== undefined, `kernels have no operation ${call.operation}`);
  const times: number[] = [];
  let spent = 0;
  const before = arena.usedBytes;
  const sets = [materialize(call.args, { kernels, arena, staging, tensors: new Map() })];
  const numSets = numSetsFor(arena.usedBytes - before);
  while (sets.length < numSets) {
    sets.push(materialize(call.args, { kernels, arena, staging, tensors: new Map() }));
  }
  for (let repetition = 0; repetition <= options.maxRepetitions; repetition++) {
    const args = at(sets, repetition % sets.length);
    const start = clock.now();
    run.call(kernels, args);
    wait();
    const seconds = clock.now() - start;
    // The first one warms code and pages up and counts only when there is no time for another.
    if (repetition > 0) {
      times.push(seconds);
      spent += seconds;
    } else if (seconds > options.secondsPerCall * 4) {
      return seconds;
    }
    if (spent > options.secondsPerCall) break;
  }
  return Math.max(times.length === 0 ? 0 : median(times), 1e-9);
}

/** Large tensors (weights) come from memory in a step, whatever a cache could hold. */
const LARGE_BYTES = 16 * 2 ** 20;
const UNCACHED_BYTES = 256 * 2 ** 20;

function numSetsFor(bytes: number): number {
  if (bytes < LARGE_BYTES) return 2;
  return Math.max(2, Math.min(3, Math.ceil(UNCACHED_BYTES / bytes)));
}

/**
 * Where contents are made, as large as the largest tensor: of arrays of tens of megabytes that
 * come and go the process's allocator keeps some.
 */
interface Staging {
  values: Float32Array;
}

interface Workshop {
  readonly staging: Staging;
  readonly kernels: Kernels;
  readonly arena: Arena;
  /** By place in the recorded memory, so that what was one tensor stays one. */
  readonly tensors: Map<object, Map<string, Tensor>>;
}

function materialize(args: CallArgs, shop: Workshop): CallArgs {
  const made: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(args)) {
    if (isTensor(value)) made[name] = materializeTensor(name, value, { args, shop });
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      made[name] = name === 'rule' ? value : materialize(value as CallArgs, shop);
    } else made[name] = value;
  }
  return made;
}

function materializeTensor(
  name: string,
  like: Tensor,
  { args, shop }: { args: CallArgs; shop: Workshop },
): Tensor {
  const places = shop.tensors.get(like.memory) ?? new Map<string, Tensor>();
  shop.tensors.set(like.memory, places);
  const place = `${like.byteOffset}:${like.shape}:${like.rowStride}`;
  const known = places.get(place);
  if (known !== undefined) return known;
  const rows = numRows(like);
  const isWhole = isContiguous(like);
  const whole = shop.arena.allocate(like.dtype, isWhole ? like.shape : [rows, like.rowStride]);
  fillContents(name, whole, { args, shop });
  const tensor = isWhole
    ? whole
    : {
        ...columns(reshape(whole, [rows, like.rowStride]), 0, numColumns(like)),
        shape: like.shape,
      };
  places.set(place, tensor);
  return tensor;
}

function fillContents(
  name: string,
  tensor: Tensor,
  { args, shop }: { args: CallArgs; shop: Workshop },
): void {
  const count = numElements(tensor.shape);
  switch (tensor.dtype) {
    case 'i32':
      shop.kernels.write(tensor as Tensor<'i32'>, integers(name, count, args));
      return;
    case 'f32':
      shop.kernels.write(tensor as Tensor<'f32'>, floats(name, count, shop.staging));
      return;
    case 'bf16':
    case 'f16':
    case 'f8e4m3':
      // Small positive numbers in every one of these formats.
      shop.kernels.fill({ out: tensor, value: 0.125 });
      return;
    default:
      tensor.dtype satisfies never;
  }
}

function floats(name: string, count: number, staging: Staging): Float32Array {
  if (staging.values.length < count) staging.values = new Float32Array(count);
  const values = staging.values.subarray(0, count);
  const random = new Random(count, name);
  const isPositive = name === 'secondMoment' || name === 'reciprocalRms_T' || name === 'scores_TE';
  const block = Math.min(count, 4096);
  for (let i = 0; i < block; i++) {
    const value = random.uniform() - 0.5;
    values[i] = isPositive ? Math.abs(value) + 0.1 : value;
  }
  for (let filled = block; filled < count; filled *= 2) {
    values.copyWithin(filled, 0, Math.min(filled, count - filled));
  }
  return values;
}

/** Valid contents for every integer argument of the interface, by its name. */
function integers(name: string, count: number, args: CallArgs): Int32Array {
  const values = new Int32Array(count);
  const set = (value: (index: number) => number): Int32Array => {
    for (let i = 0; i < count; i++) values[i] = value(i);
    return values;
  };
  const rowsOf = (key: string): number => {
    const value = args[key];
    return isTensor(value) ? numRows(value) : 1;
  };
  const dim = (key: string, index: number): number => {
    const value = args[key];
    const tensor = isTensor(value) ? value : (value as { values?: Tensor } | undefined)?.values;
    return tensor?.shape[index] ?? 1;
  };
  switch (name) {
    case 'offsets':
      return set((i) => Math.floor((Math.max(rowsOf('a'), 1) * i) / Math.max(1, count - 1)));
    case 'ids_TK': {
      const experts =
        'offsets' in args ? dim('offsets', 0) - 1 : 'scores_TE' in args ? dim('scores_TE', 1) : 1;
      return set((i) => i % Math.max(1, experts));
    }
    case 'ids_T':
      return set((i) => (i * 7) % ('table_VD' in args ? dim('table_VD', 0) : dim('dTable_VD', 0)));
    case 'targets_T':
      return set((i) => (i * 7) % dim('head_VD', 0));
    case 'positions_T':
      return set((i) => i % dim('table', 0));
    case 'counts_E':
      return set((i) => 1 + (i % 3));
    case 'sequence_T':
      return set((i) => i % dim('blockTable', 0));
    case 'length_T':
      return set(() => dim('blockTable', 1) * dim('cache', 1));
    case 'blockTable':
      return set((i) => i % dim('cache', 0));
    default:
      // slots and rows of a permutation: the identity
      return set((i) => i);
  }
}
