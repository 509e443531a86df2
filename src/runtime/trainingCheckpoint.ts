/**
 * A training rank's checkpoint: a folder that other programs read as a model, and that this one
 * resumes from bit for bit.
 *
 *     config.json  model.safetensors (or shards)  tokenizer.json …    the Hugging Face layout
 *     optimizer.safetensors     moments, the average, and float32 masters where the model file has
 *                               a narrower dtype
 *     trainer_state.json        step, data position, random state: the trainer's own
 */
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import {
  openSafetensors,
  readTensorBytes,
  type SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from '../checkpoint/safetensors.ts';
import { writeCheckpoint } from '../checkpoint/shards.ts';
import { storedNames } from '../checkpoint/storedDType.ts';
import { openWeights, tensorsToWrite } from '../checkpoint/weights.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { serializeModelConfig } from '../config/serializeModelConfig.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import { checkpointTensors, type ParameterSet } from '../model/parameters.ts';
import { loadParameters, readTensor } from '../model/parameterTransfer.ts';
import { tensorNorm } from '../optim/gradientNorm.ts';
import type { CheckpointRequest } from '../program/instruction.ts';
import type { DType, HostArray, HostArrays } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type MapFile, openFile, openFolder, writeFolder } from './files.ts';
import type { TrainingState } from './trainingState.ts';

const OPTIMIZER_FILE = 'optimizer.safetensors';
const TRAINER_FILE = 'trainer_state.json';

/** Saves a rank's state under `directory/request.name`; the folder appears whole or not at all. */
export async function saveTrainingCheckpoint(
  state: TrainingState,
  directory: string,
  request: CheckpointRequest,
): Promise<{ directory: string; bytes: number }> {
  const path = join(directory, request.name);
  const { config } = state.options;
  const bytes = await writeFolder(path, async ({ create, writeText }) => {
    await writeModel({ state, set: state.parameters, create });
    const sink = await create(OPTIMIZER_FILE);
    await writeSafetensors(sink, optimizerTensors(state), { format: 'moebius' });
    await writeText(TRAINER_FILE, request.trainerState);
    const configJson = JSON.stringify(serializeModelConfig(config), null, 2);
    const files = { 'config.json': `${configJson}\n`, ...request.files };
    for (const [name, text] of Object.entries(files)) await writeText(name, text);
  });
  return { directory: path, bytes };
}

async function writeModel(args: {
  state: TrainingState;
  set: ParameterSet;
  create: Parameters<typeof writeCheckpoint>[1]['create'];
}): Promise<void> {
  const { kernels, config } = args.state.options;
  const arena = kernels.createArena('saving');
  const tensors = new Map(checkpointTensors(args.set).map((tensor) => [tensor.name, tensor]));
  const read = (name: string): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new RangeError(`the stage has no tensor ${name}`);
    return readTensor({ kernels, arena, tensor });
  };
  await writeCheckpoint(tensorsToWrite(config, read), { create: args.create });
}

/** A tensor of the optimiser's file and where it lies in the state. */
interface StateTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

function* stateTensors(state: TrainingState): Generator<StateTensor> {
  for (const [name, { first, second }] of state.optimizer.moments) {
    yield { name: `first_moment.${name}`, tensor: first };
    yield { name: `second_moment.${name}`, tensor: second };
  }
  if (state.average !== null) {
    for (const [name, { weight }] of state.average.parameters.parameters) {
      yield { name: `average.${name}`, tensor: weight.values };
    }
    for (const [name, { weight }] of state.average.parameters.buffers) {
      yield { name: `average.${name}`, tensor: weight.values };
    }
  }
  if (isNarrow(state.options.config)) {
    for (const [name, { weight }] of state.parameters.parameters) {
      yield { name: `master.${name}`, tensor: weight.values };
    }
  }
}

function isNarrow(config: ModelConfig): boolean {
  return config.torchDtype !== 'float32' || config.fp8WeightBlock !== null;
}

function optimizerTensors(state: TrainingState): TensorToWrite[] {
  const { kernels } = state.options;
  return [...stateTensors(state)].map(({ name, tensor }) => ({
    name,
    dtype: storedNames[tensor.dtype],
    shape: tensor.shape,
    bytes: async () => bytesOf(await kernels.read(tensor)),
  }));
}

function bytesOf(values: HostArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/**
 * Loads what `saveTrainingCheckpoint` wrote into a state of the same model.
 *
 * @returns the trainer's own state
 * @throws checkpoint.notResumable when the folder holds a model but no training state
 * @throws checkpoint.optimizer when that state belongs to another model or other settings
 * @throws checkpoint.notFinite when a number in it is a NaN or an infinity: no step could be
 *   applied
 */
export async function loadTrainingCheckpoint(
  state: TrainingState,
  path: string,
  mapFile?: MapFile,
): Promise<string> {
  const { kernels } = state.options;
  const folder = await openFolder(path, mapFile);
  const files = new Set(await folder.list());
  if (!files.has(OPTIMIZER_FILE) || !files.has(TRAINER_FILE)) {
    throw new MoebiusError('checkpoint.notResumable', `${path} holds no training state`, {
      values: { path, missing: [OPTIMIZER_FILE, TRAINER_FILE].filter((f) => !files.has(f)) },
      hint: 'Resume from a checkpoint that this program saved, or start a new run.',
    });
  }
  await loadWeights(kernels, {
    set: state.parameters,
    path,
    mapFile,
    config: state.options.config,
  });
  const optimizer = await openSafetensors(await openFile(join(path, OPTIMIZER_FILE), mapFile));
  await readStateTensors(state, optimizer, path);
  await checkFinite(state, path);
  const trainer = await openFile(join(path, TRAINER_FILE));
  return new TextDecoder('utf-8', { fatal: true }).decode(
    await trainer.read(0, trainer.byteLength),
  );
}

/**
 * Loads a checkpoint's weights into a set of parameters.
 *
 * @returns what a person should know about it (`Verification.notices`)
 */
export async function loadWeights(
  kernels: Kernels,
  args: {
    set: ParameterSet;
    path: string;
    mapFile: MapFile | undefined;
    config: ModelConfig;
  },
): Promise<readonly string[]> {
  const weights = await openWeights(await openFolder(args.path, args.mapFile), args.config);
  const arena = kernels.createArena('loading');
  await loadParameters({
    kernels,
    arena,
    set: args.set,
    read: async (name) => await weights.rawTensor(name),
  });
  return weights.notices;
}

async function readStateTensors(
  state: TrainingState,
  file: SafetensorsFile,
  path: string,
): Promise<void> {
  const { kernels } = state.options;
  const expected = [...stateTensors(state)];
  const names = new Set(expected.map(({ name }) => name));
  const missing = expected.filter(({ name }) => !file.tensors.has(name)).map(({ name }) => name);
  const extra = [...file.tensors.keys()].filter((name) => !names.has(name));
  const misfits = expected.filter(({ name, tensor }) => {
    const stored = file.tensors.get(name);
    const isSame = stored?.shape.join() === tensor.shape.join();
    return stored !== undefined && !(isSame && stored.dtype === storedNames[tensor.dtype]);
  });
  if (missing.length + extra.length + misfits.length > 0) {
    throw new MoebiusError('checkpoint.optimizer', `${path} holds another run’s optimiser`, {
      values: {
        missing: missing.slice(0, 5),
        extra: extra.slice(0, 5),
        misfits: misfits.slice(0, 5).map(({ name }) => name),
      },
      hint: 'Resume with the model, moments and average settings of the run that saved it.',
    });
  }
  for (const { name, tensor } of expected) {
    const stored = file.tensors.get(name);
    if (stored === undefined) continue;
    const bytes = await readTensorBytes(file.source, stored);
    writeBytes(kernels, tensor, bytes);
  }
}

async function checkFinite(state: TrainingState, path: string): Promise<void> {
  const { kernels } = state.options;
  const weights = checkpointTensors(state.parameters).map(({ name, view }) => ({
    name,
    tensor: view,
  }));
  const tensors = [...weights, ...stateTensors(state)].flatMap(({ name, tensor }) =>
    tensor.dtype === 'f32' ? [{ name, value: tensor as F32 }] : [],
  );
  const { fault } = await tensorNorm({ kernels, arena: kernels.createArena('norms'), tensors });
  if (fault === null) return;
  throw new MoebiusError('checkpoint.notFinite', `${path} has ${fault.what} in "${fault.tensor}"`, {
    values: { path, tensor: fault.tensor },
    hint: 'Remove that folder to resume from the checkpoint before it; this one is damaged.',
  });
}

function writeBytes(kernels: Kernels, tensor: Tensor, bytes: Uint8Array): void {
  const copy = bytes.slice();
  const values =
    tensor.dtype === 'f32'
      ? new Float32Array(copy.buffer)
      : new Uint16Array(copy.buffer, 0, copy.byteLength / 2);
  kernels.write(tensor as Tensor<DType>, values as HostArrays[DType]);
}
