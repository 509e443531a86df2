/**
 * A checkpoint's folder as a model that runs: config read, weights verified and loaded in the dtype
 * they are stored in, MTP modules there or said to be missing.
 */
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { openWeights } from '../checkpoint/weights.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { createModel, type Model } from '../model/model.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import { createParameters, type ParameterSet } from '../model/parameters.ts';
import { loadParameters } from '../model/parameterTransfer.ts';
import { listSpecialCodes } from '../model/specialCodes.ts';
import { type MapFile, openFile, openFolder } from './files.ts';

export interface OpenedModel {
  readonly config: ModelConfig;
  readonly model: Model;
  readonly parameters: ParameterSet;
  readonly maxPositions: number;
  /** Bytes of weights in memory. */
  readonly weightBytes: number;
  /** What a person should know about the checkpoint, in sentences. */
  readonly notices: readonly string[];
}

export interface OpenModelOptions {
  readonly path: string;
  readonly kernels: Kernels;
  readonly mapFile?: MapFile;
  /** Positions a sequence may take at most; the config's own by default. */
  readonly maxPositions?: number;
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
  await loadParameters({
    kernels,
    arena: kernels.createArena('loading'),
    set: parameters,
    read: weights.rawTensor,
  });
  listSpecialCodes(parameters, { kernels, arena: kernels.createArena('special codes') });
  const model = createModel({ kernels, arena, config, parameters, maxPositions });
  return { config, model, parameters, maxPositions, weightBytes, notices: weights.notices };
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
