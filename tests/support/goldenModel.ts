/**
 * A golden model folder, loaded into a model on some kernels: what the tests of `src/model` that
 * need checkpoints start from.
 */
import { MoebiusError } from '../../src/base/errors.ts';
import { openWeights } from '../../src/checkpoint/weights.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { parseModelConfig } from '../../src/config/parseModelConfig.ts';
import { oneRank } from '../../src/kernels/collectives.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { OPERATIONS } from '../../src/kernels/shapes.ts';
import { createWasmKernels } from '../../src/kernels/wasm.ts';
import type { Capture, LossOptions, StepContext } from '../../src/model/context.ts';
import { createModel, createRoutingCounts, type Model } from '../../src/model/model.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import {
  createParameters,
  initializeParameters,
  type WeightDType,
} from '../../src/model/parameters.ts';
import { loadParameters } from '../../src/model/parameterTransfer.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { loadWasm } from '../../src/runtime/loadWasm.ts';
import { goldenFolder, goldenJson } from './golden.ts';

/**
 * Reference kernels that poison fresh memory, WebAssembly on a memory that moves as it grows, and
 * the native ones where they are built.
 */
export function kernelsUnderTest(): Kernels[] {
  const wasm = loadWasm({ threads: 1, isShared: false });
  if ('reason' in wasm) throw new Error(wasm.reason);
  const portable = [createReferenceKernels({ poison: true }), createWasmKernels(wasm.instance)];
  const loaded = loadAddon();
  if ('reason' in loaded) return portable;
  const isWhole = OPERATIONS.every((operation) => loaded.addon.operations.includes(operation));
  return isWhole ? [...portable, createNativeKernels(loaded.addon, { threads: 2 })] : portable;
}

export interface LoadedModel {
  readonly config: ModelConfig;
  readonly model: Model;
  readonly context: StepContext;
}

/** @param keepStored keeps weights in the dtype of the file instead of widening them */
export async function loadGoldenModel(
  kernels: Kernels,
  folder: string,
  settings: {
    options?: Partial<LossOptions>;
    capture?: Capture;
    keepStored?: boolean;
  } = {},
): Promise<LoadedModel> {
  const stated = parseModelConfig(goldenJson(`${folder}/config.json`), folder);
  const weights = await openWeights(goldenFolder(folder), stated);
  const config = weights.mtpPresent ? stated : { ...stated, numNextnPredictLayers: 0 };
  const loaded = emptyModel(kernels, config, {
    ...settings,
    ...(settings.keepStored ? { dtypeOf: await storedDTypes(weights, config) } : {}),
  });
  await loadParameters({
    kernels,
    arena: loaded.context.arena,
    set: loaded.model.parameters,
    read: weights.rawTensor,
  });
  return loaded;
}

/** A model of fresh weights, for properties that need no golden numbers. */
export function freshModel(
  kernels: Kernels,
  config: ModelConfig,
  settings: { options?: Partial<LossOptions>; capture?: Capture; seed?: number } = {},
): LoadedModel {
  const loaded = emptyModel(kernels, config, settings);
  const set = loaded.model.parameters;
  initializeParameters({ kernels, set, config, seed: settings.seed ?? 1 });
  return loaded;
}

function emptyModel(
  kernels: Kernels,
  config: ModelConfig,
  settings: {
    options?: Partial<LossOptions>;
    capture?: Capture;
    dtypeOf?: (name: string) => WeightDType;
  },
): LoadedModel {
  const arena = kernels.createArena('weights');
  const stage = wholeModel(config);
  const { dtypeOf, capture } = settings;
  const parameters = createParameters({
    kernels,
    arena,
    config,
    stage,
    withGradients: dtypeOf === undefined,
    ...(dtypeOf === undefined ? {} : { dtypeOf }),
  });
  const model = createModel({ kernels, arena, config, parameters });
  const context: StepContext = {
    kernels,
    arena: kernels.createArena('activations'),
    collectives: oneRank,
    options: {
      mtpWeight: 0.3,
      balanceCoefficient: 0.01,
      balanceForm: 'paper',
      mtpHidden: 'postNorm',
      ...settings.options,
    },
    counts: createRoutingCounts({ kernels, arena, config, stage }),
    ...(capture === undefined ? {} : { capture }),
  };
  return { config, model, context };
}

async function storedDTypes(
  weights: Awaited<ReturnType<typeof openWeights>>,
  config: ModelConfig,
): Promise<(name: string) => WeightDType> {
  const probe = createReferenceKernels();
  const set = createParameters({
    kernels: probe,
    arena: probe.createArena('names'),
    config,
    stage: wholeModel(config),
    withGradients: false,
  });
  const dtypes = new Map<string, WeightDType>();
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    for (const { name, role } of parameter.tensors) {
      if (role === 'own') dtypes.set(name, (await weights.rawTensor(name)).dtype);
    }
  }
  return (name) => {
    const dtype = dtypes.get(name);
    if (dtype === undefined) throw new MoebiusError('test.tensor', `no tensor ${name}`);
    return dtype;
  };
}
