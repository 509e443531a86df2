/**
 * Weights from a checkpoint's files into the parameters they belong to, by the addon's threads and
 * in the order in which they are missed: everything but routed experts first, then expert after
 * expert, those that a token waits for before all others.
 *
 * Bytes go straight from the file to their place: no copy of a tensor is made on the way, so a
 * model takes the memory of its weights once. What is stored otherwise than it is computed on
 * (gains in BF16, say) is few and small, and is converted here.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { SCALE_SUFFIX } from '../checkpoint/parameterNames.ts';
import type { Weights } from '../checkpoint/weights.ts';
import type { Kernels, Weight } from '../kernels/kernels.ts';
import type { ExpertSource } from '../kernels/loadingKernels.ts';
import type { NativeAddon, NativeLoader } from '../kernels/native/addon.ts';
import type { CheckpointTensor, Parameter, ParameterSet } from '../model/parameters.ts';
import { storeTensor } from '../model/parameterTransfer.ts';
import { listSpecialCodesOf } from '../model/specialCodes.ts';
import type { Arena } from '../tensor/arena.ts';
import { bytesPerElement } from '../tensor/dtype.ts';
import { isContiguous, numElements, type Tensor } from '../tensor/tensor.ts';
import { machineClock } from './clock.ts';
import { cacheOfFiles } from './machineMemory.ts';

export interface LoadProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly seconds: number;
}

export interface WeightLoaderOptions {
  readonly addon: NativeAddon;
  readonly kernels: Kernels;
  readonly set: ParameterSet;
  readonly weights: Weights;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/** Reads that wait for the disk at once: beyond four it gets no faster. */
const NUM_THREADS = 4;
/** Between two looks at what has come, in milliseconds. */
const LOOK_EVERY = 20;
/** Seconds of listing codes before others have their turn. */
const MOST_AT_ONCE = 0.25;

export class WeightLoader implements ExpertSource {
  readonly totalBytes: number;
  readonly #options: WeightLoaderOptions;
  readonly #plan: LoadPlan;
  readonly #loader: NativeLoader;
  /** For conversions, lists and what loading kernels copy; given back at the end. */
  readonly #arena: Arena;
  readonly #codes: Arena;
  readonly #start: number;
  #numListed = 0;
  #isComplete = false;

  constructor(options: WeightLoaderOptions) {
    const { addon, kernels, set, weights, signal } = options;
    signal?.throwIfAborted();
    this.#options = options;
    this.#plan = planLoading(set, { weights, addon });
    const { copies, paths } = this.#plan;
    this.totalBytes = copies.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#start = machineClock.now();
    this.#arena = kernels.createArena('loading');
    this.#codes = kernels.createArena('special codes');
    const numbers = copies.flatMap(({ group, file, offset, address, bytes }) => [
      group,
      file,
      offset,
      address,
      bytes,
    ]);
    const drops = cacheOfFiles(this.totalBytes) === 'drop';
    this.#loader = addon.createLoader(paths, Float64Array.from(numbers), NUM_THREADS, drops);
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** For `loadingKernels`. */
  get arena(): Arena {
    return this.#arena;
  }

  isPartial(weight: Weight): boolean {
    return this.#plan.experts.has(weight);
  }

  /** @throws loading.failed, loading.aborted */
  need(weight: Weight, experts: readonly number[]): void {
    const first = this.#plan.experts.get(weight);
    assert(first !== undefined, 'the weights are experts');
    const groups = Uint32Array.from(experts, (expert) => first + expert);
    this.#options.addon.loaderNeed(this.#loader, groups);
    this.#check();
  }

  get progress(): LoadProgress {
    const { bytes } = this.#options.addon.loaderState(this.#loader);
    return { bytes, totalBytes: this.totalBytes, seconds: machineClock.now() - this.#start };
  }

  /** Returns when all but routed experts is there, and the model can run on `loadingKernels`. */
  loadFirst(): Promise<void> {
    return this.#stopOnError(() => this.#loadFirst());
  }

  async #loadFirst(): Promise<void> {
    const { set, weights, kernels } = this.#options;
    for (const parameter of parametersOf(set)) {
      // A bias that no checkpoint has is zero (V2's gate).
      if (parameter.tensors.length === 0) kernels.fill({ out: parameter.weight.values, value: 0 });
    }
    for (const tensor of this.#plan.converted) {
      const stored = await weights.rawTensor(tensor.name);
      storeTensor({ kernels, arena: this.#arena, tensor, stored });
    }
    await this.#until(this.#plan.firstGroups);
  }

  /** Returns when everything is there, and nothing is asked for any more. */
  loadRest(): Promise<void> {
    return this.#stopOnError(() => this.#loadRest());
  }

  async #loadRest(): Promise<void> {
    await this.#until(this.#plan.numGroups);
    this.#isComplete = true;
    // Giving memory back also lets kernels forget arguments that they wrote down without the lists.
    this.#arena.allocate('f32', [1]);
    this.#arena.free();
    this.#report();
  }

  /** Whoever sees the error may drop the memory that is being written to. */
  async #stopOnError(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** What is there stays; nothing is written any more. */
  stop(): void {
    this.#options.addon.loaderStop(this.#loader);
  }

  /** Returns when so many groups are there, and their codes are listed. */
  async #until(groups: number): Promise<void> {
    for (;;) {
      this.#check();
      const { groups: done } = this.#options.addon.loaderState(this.#loader);
      this.#report();
      const isListed = this.#listCodes(done);
      if (done >= groups && isListed) return;
      // What is listed while the disk reads costs no time of its own.
      await (isListed ? pause(LOOK_EVERY) : turn());
    }
  }

  /** Lists codes of what is there, for a while; whether that was all of it. */
  #listCodes(groups: number): boolean {
    const { kernels } = this.#options;
    const { codes } = this.#plan;
    const began = machineClock.now();
    for (;;) {
      const next = codes[this.#numListed];
      if (next === undefined || next.lastGroup >= groups) return true;
      if (machineClock.now() - began > MOST_AT_ONCE) return false;
      listSpecialCodesOf(next.parameter, { kernels, arena: this.#codes });
      this.#numListed++;
    }
  }

  #report(): void {
    this.#options.onProgress?.(this.progress);
  }

  #check(): void {
    const { signal, addon } = this.#options;
    if (signal?.aborted) {
      this.stop();
      throw new MoebiusError('loading.aborted', 'loading was given up', { cause: signal.reason });
    }
    const { error } = addon.loaderState(this.#loader);
    if (error === '') return;
    this.stop();
    throw new MoebiusError('loading.failed', `weights could not be read: ${error}`, {
      values: { error },
      hint: 'Copy the file again, or check the disk; it changed or failed while being read.',
    });
  }
}

interface Copy {
  readonly group: number;
  readonly file: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

interface LoadPlan {
  readonly paths: readonly string[];
  /** In the order of groups. */
  readonly copies: readonly Copy[];
  readonly numGroups: number;
  /** Groups of all that is not a routed expert. */
  readonly firstGroups: number;
  /** Stored otherwise than they are computed on. */
  readonly converted: readonly CheckpointTensor[];
  /** The group of a stack's expert 0; those of the others follow. */
  readonly experts: ReadonlyMap<Weight, number>;
  /** Parameters in the order in which they come, with the last group of each. */
  readonly codes: readonly { readonly parameter: Parameter; readonly lastGroup: number }[];
}

const EXPERT = /^(model\.layers\.\d+\.mlp\.)experts\.(\d+)\./;

function planLoading(
  set: ParameterSet,
  { weights, addon }: { weights: Weights; addon: NativeAddon },
): LoadPlan {
  const files = new Map<string, number>();
  const copies: Copy[] = [];
  const converted: CheckpointTensor[] = [];
  const copy = (group: number, name: string, to: Tensor): void => {
    const { file, byteOffset, byteLength } = weights.placeOf(name);
    assert(byteLength === numElements(to.shape) * bytesPerElement(to.dtype), `the size of ${name}`);
    const index = files.get(file) ?? files.size;
    files.set(file, index);
    const address = addressOf(addon, to);
    copies.push({ group, file: index, offset: byteOffset, address, bytes: byteLength });
  };
  const place = (group: number, tensor: CheckpointTensor): void => {
    copy(group, tensor.name, tensor.view);
    if (tensor.scales !== null) copy(group, tensor.name + SCALE_SUFFIX, tensor.scales);
  };
  let group = 0;
  const later: Parameter[] = [];
  const codes: { parameter: Parameter; lastGroup: number }[] = [];
  for (const parameter of parametersOf(set)) {
    const own = parameter.tensors.filter(({ role }) => role === 'own');
    const direct = own.filter((tensor) => isDirect(tensor, weights));
    if (direct.length === own.length && own.some(({ name }) => EXPERT.test(name))) {
      later.push(parameter);
      continue;
    }
    converted.push(...own.filter((tensor) => !direct.includes(tensor)));
    for (const tensor of direct) place(group, tensor);
    if (direct.length > 0) codes.push({ parameter, lastGroup: group++ });
  }
  const firstGroups = group;
  const experts = new Map<Weight, number>();
  for (const layer of Map.groupBy(later, ({ tensors }) => layerOf(tensors)).values()) {
    for (const parameter of layer) experts.set(parameter.weight, group);
    const byExpert = Map.groupBy(
      layer.flatMap(({ tensors }) => tensors),
      ({ name }) => Number(EXPERT.exec(name)?.[2]),
    );
    for (let expert = 0; expert < byExpert.size; expert++) {
      for (const tensor of byExpert.get(expert) ?? []) place(group, tensor);
      group++;
    }
    for (const parameter of layer) codes.push({ parameter, lastGroup: group - 1 });
  }
  return {
    paths: [...files.keys()],
    copies,
    numGroups: group,
    firstGroups,
    converted,
    experts,
    codes,
  };
}

function layerOf(tensors: readonly CheckpointTensor[]): string {
  return EXPERT.exec(tensors[0]?.name ?? '')?.[1] ?? '';
}

/** Whether the file's bytes are the parameter's. */
function isDirect({ name, view, scales }: CheckpointTensor, weights: Weights): boolean {
  const isSame = weights.dtypeOf(name) === view.dtype && isContiguous(view);
  return isSame && (scales === null || isContiguous(scales));
}

function addressOf(addon: NativeAddon, { memory, byteOffset }: Tensor): number {
  assert(memory.buffer !== null, 'weights lie in the host’s memory');
  return addon.address(new Uint8Array(memory.buffer)) + (memory.byteOffset ?? 0) + byteOffset;
}

function parametersOf(set: ParameterSet): Parameter[] {
  return [...set.parameters.values(), ...set.buffers.values()];
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Until others that wait had their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
