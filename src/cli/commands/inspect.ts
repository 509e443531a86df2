/** `moebius inspect`: the figures of a preset, a config file or a checkpoint, as a table. */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { formatBytes, formatCount } from '../../base/units.ts';
import { checkpointTensors } from '../../checkpoint/parameterNames.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { CACHE_DTYPES, type ServingMemoryPlan } from '../../config/servingMemory.ts';
import { type InspectedModel, inspectModel } from '../inspectModel.ts';
import { memoryTable, planOnThisMachine } from '../machinePlan.ts';
import { type Cell, formatTable, print, printResult } from '../output.ts';

export interface InspectOptions {
  readonly context: number;
  readonly tensors?: boolean;
  readonly modules?: boolean;
  /** Of serving on this machine, at `context`. */
  readonly memory?: boolean;
  readonly sequences: number;
  readonly cacheDtype: string;
  readonly json?: boolean;
}

export async function inspect(name: string, options: InspectOptions): Promise<void> {
  const { config, ...figures } = await inspectModel(name, options);
  if (options.tensors === true) printTensors(config);
  if (options.modules === true) printModules({ config, ...figures });
  const memory = options.memory === true ? memoryOf({ config, ...figures }, options) : null;
  const tables = [formatTable(rowsOf({ config, ...figures }))];
  if (memory !== null) tables.push(memoryTable(memory));
  printResult(options, {
    table: tables.join('\n\n'),
    json: { target: name, ...figures, ...(memory === null ? {} : { memory }) },
  });
}

/** Positions of a cache block, and tokens of a prompt's chunk, as a server has them. */
const BLOCK_SIZE = 64;
const CHUNK_TOKENS = 512;

/** @throws inspect.cacheDtype */
function memoryOf(
  { config, weightBytes }: InspectedModel,
  { context, sequences, cacheDtype }: InspectOptions,
): ServingMemoryPlan {
  const cacheDType = CACHE_DTYPES.find((dtype) => dtype === cacheDtype);
  if (cacheDType === undefined) {
    throw new MoebiusError('inspect.cacheDtype', `a cache cannot be ${cacheDtype}`, {
      values: { cacheDtype, known: CACHE_DTYPES },
      hint: `Take ${nearestName(cacheDtype, CACHE_DTYPES) ?? CACHE_DTYPES.join(', ')}.`,
    });
  }
  return planOnThisMachine({
    ...{ config, weightBytes, cacheDType, context, numSequences: sequences },
    ...{ blockSize: BLOCK_SIZE, chunkTokens: CHUNK_TOKENS },
  });
}

function rowsOf(model: InspectedModel): Cell[][] {
  const { config, stored, parts } = model;
  const rows: Cell[][] = [
    ['architecture', `${config.modelType}, ${model.kind}`],
    ['layers', layerText(config)],
    ['parameters', counted(model.parameters)],
    ...Object.entries(parts).map(([part, value]) => [`  ${part}`, counted(value)]),
    ['MTP parameters', counted(model.mtpParameters)],
    ['active', `${counted(model.activeParameters)} with embedding and head`],
    ['', `${counted(model.activeParametersWithHead)} with head`],
    ['', `${counted(model.activeParametersWithoutEmbedding)} without either`],
    ['KV cache per token', `${model.kvBytesPerToken.toLocaleString('en')} bytes in BF16`],
    ['FLOPs per token', `${gigaflops(model.flopsPerToken)} to train at ${model.context} causal`],
    ['', `${gigaflops(model.flopsPerTokenNonCausal)} not causal`],
    ['', `${gigaflops(model.flopsPerTokenWithMtp)} causal, with MTP`],
    ['', `${gigaflops(model.flopsPerToken6N)} by 6N, ${gigaflops(model.flopsPerToken8N)} by 8N`],
    ['checkpoint', sizeText(model.checkpointTensors, model.checkpointBytes)],
  ];
  if (stored === undefined) return rows;
  return [
    ...rows,
    ['on disk', sizeText(stored.tensors, stored.bytes)],
    ['stored as', stored.dtypes.join(', ')],
    ...stored.notices.map((notice) => ['note', notice]),
  ];
}

function printTensors(config: ModelConfig): void {
  const rows = [...checkpointTensors(config)].map(({ name, shape, dtype, kind }) => [
    name,
    shape.join(' × '),
    dtype,
    kind,
  ]);
  print(formatTable(rows, ['tensor', 'shape', 'dtype', 'kind']));
}

function printModules({ forwardFlopsByModule, flopsPerToken }: InspectedModel): void {
  const forward = flopsPerToken / 3;
  const rows = Object.entries(forwardFlopsByModule).map(([name, flops]) => [
    name,
    gigaflops(flops),
    name === 'mtp' || name === 'gate' ? 'not counted' : `${((100 * flops) / forward).toFixed(1)} %`,
  ]);
  print(`${formatTable(rows, ['module', 'forward, per token', 'share'])}\n`);
}

function layerText(config: ModelConfig): string {
  const { numHiddenLayers, firstKDenseReplace, numNextnPredictLayers, nRoutedExperts } = config;
  const mtp = numNextnPredictLayers > 0 ? ` + ${numNextnPredictLayers} MTP` : '';
  if (nRoutedExperts === 0) return `${numHiddenLayers}, all dense${mtp}`;
  const experts = `${nRoutedExperts} experts, ${config.numExpertsPerTok} per token`;
  return `${numHiddenLayers}${mtp}, the first ${firstKDenseReplace} dense; ${experts}`;
}

function sizeText(tensors: number, bytes: number): string {
  return `${tensors.toLocaleString('en')} tensors, ${formatBytes(bytes)}`;
}

function counted(value: number): string {
  return `${formatCount(value)} (${value.toLocaleString('en')})`;
}

function gigaflops(flops: number): string {
  return flops >= 1e9 ? `${(flops / 1e9).toFixed(3)} GFLOP` : `${(flops / 1e6).toFixed(3)} MFLOP`;
}
