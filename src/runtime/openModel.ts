/**
 * A checkpoint's folder as a model that runs: config read, weights verified and loaded in the dtype
 * they are stored in, MTP modules there or said to be missing.
 */
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { loadedBytes } from '../checkpoint/loadedSize.ts';
import { openWeights, type Weights } from '../checkpoint/weights.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { loadingKernels } from '../kernels/loadingKernels.ts';
import type { NativeAddon } from '../kernels/native/addon.ts';
import { createModel, type Model } from '../model/model.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import { createParameters, type ParameterSet } from '../model/parameters.ts';
import { loadParameters } from '../model/parameterTransfer.ts';
import { listSpecialCodes } from '../model/specialCodes.ts';
import { type MapFile, openFile, openFolder } from './files.ts';
import { type LoadProgress, WeightLoader } from './weightLoader.ts';

export interface OpenedModel {
  readonly config: ModelConfig;
  readonly model: Model;
  readonly parameters: ParameterSet;
  readonly maxPositions: number;
  /** Bytes of weights in memory. */
  readonly weightBytes: number;
  /** What a person should know about the checkpoint, in sentences. */
  readonly notices: readonly string[];
  /** What runs the model: the kernels that were given, or those that fetch experts as well. */
  readonly kernels: Kernels;
  readonly loading: ModelLoading;
}

/** What headers tell. */
export interface ModelFacts {
  readonly config: ModelConfig;
  /** Bytes that the weights will take. */
  readonly weightBytes: number;
  readonly maxPositions: number;
}

/** Weights on their way. */
export interface ModelLoading {
  /** null where they came without one. */
  readonly progress: LoadProgress | null;
  /** Settles when all weights are there; fails when they cannot be read. */
  readonly whenComplete: Promise<void>;
}

export interface OpenModelOptions {
  readonly path: string;
  readonly kernels: Kernels;
  readonly mapFile?: MapFile;
  /** Positions a sequence may take at most; the config's own by default. */
  readonly maxPositions?: number;
  /** Whose threads read the weights, where the kernels are the native ones. */
  readonly addon?: NativeAddon | null;
  /**
   * When the model is given back: with all its weights, or when it can give a first token and
   * fetches experts as they are chosen (native kernels only).
   */
  readonly until?: 'complete' | 'firstToken';
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Told what is about to be loaded, before memory is taken: the place to refuse. */
  readonly beforeLoading?: (facts: ModelFacts) => void;
  /** Gives loading up. */
  readonly signal?: AbortSignal;
  /** Allocates gradients and holds weights in f32; without it they keep their stored dtype. */
  readonly withGradients?: boolean;
}

export async function openModel(options: OpenModelOptions): Promise<OpenedModel> {
  const { path, kernels, mapFile, withGradients = false } = options;
  const stored = await readModelConfig(path);
  const weights = await openWeights(await openFolder(path, mapFile), stored);
  const config = weights.mtpPresent ? stored : { ...stored, numNextnPredictLayers: 0 };
  const maxPositions = Math.min(
    options.maxPositions ?? config.maxPositionEmbeddings,
    config.maxPositionEmbeddings,
  );
  options.beforeLoading?.({ config, weightBytes: bytesToLoad(weights, options), maxPositions });
  const arena = kernels.createArena('weights');
  const parameters = createParameters({
    kernels,
    arena,
    config,
    stage: wholeModel(config),
    withGradients,
    ...(withGradients ? {} : { dtypeOf: weights.dtypeOf }),
  });
  const weightBytes = arena.usedBytes;
  const { addon = null } = options;
  const loaded =
    addon === null || kernels.name !== 'native' || withGradients
      ? await loadAtOnce(options, { weights, parameters })
      : await loadByThreads({ ...options, addon }, { weights, parameters });
  const model = createModel({ kernels, arena, config, parameters, maxPositions });
  const { notices } = weights;
  return { config, model, parameters, maxPositions, weightBytes, notices, ...loaded };
}

function bytesToLoad(weights: Weights, { withGradients = false }: OpenModelOptions): number {
  const { config } = weights;
  // Trained weights are f32, and so are their gradients.
  if (withGradients)
    return 2 * loadedBytes(config, (name) => (weights.has(name) ? 'f32' : undefined));
  return loadedBytes(config, (name) => (weights.has(name) ? weights.dtypeOf(name) : undefined));
}

type LoadedWeights = Pick<OpenedModel, 'kernels' | 'loading'>;
type OpenedWeights = { readonly weights: Weights; readonly parameters: ParameterSet };

/** What needs nothing but files that can be read. */
async function loadAtOnce(
  { kernels, signal }: OpenModelOptions,
  { weights, parameters }: OpenedWeights,
): Promise<LoadedWeights> {
  await loadParameters({
    kernels,
    arena: kernels.createArena('loading'),
    set: parameters,
    read: (name) => {
      signal?.throwIfAborted();
      return weights.rawTensor(name);
    },
  });
  listSpecialCodes(parameters, { kernels, arena: kernels.createArena('special codes') });
  return { kernels, loading: { progress: null, whenComplete: Promise.resolve() } };
}

async function loadByThreads(
  options: OpenModelOptions & { readonly addon: NativeAddon },
  { weights, parameters }: OpenedWeights,
): Promise<LoadedWeights> {
  const { kernels, until = 'complete' } = options;
  const loader = new WeightLoader({ ...options, set: parameters, weights });
  await loader.loadFirst();
  const whenComplete = loader.loadRest();
  const loading = {
    get progress() {
      return loader.progress;
    },
    whenComplete,
  };
  if (until === 'complete') {
    await whenComplete;
    return { kernels, loading };
  }
  // Who waits for it sees the error; the next token that needs an expert throws it as well.
  whenComplete.catch(() => {});
  return { kernels: loadingKernels(kernels, loader, loader.arena), loading };
}

/** The `config.json` of a folder. */
export async function readModelConfig(path: string): Promise<ModelConfig> {
  const file = join(path, 'config.json');
  return parseModelConfig(await readJson(file), file);
}

/**
 * A small JSON file.
 *
 * @throws file.json when it is none
 */
export async function readJson(path: string): Promise<unknown> {
  const source = await openFile(path);
  const bytes = await source.read(0, source.byteLength);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MoebiusError('file.json', `${path} is not JSON`, {
      values: { path, because: cause instanceof Error ? cause.message : String(cause) },
      hint: 'Check the file; it may be cut short, or a web page saved by mistake.',
      cause,
    });
  }
}
