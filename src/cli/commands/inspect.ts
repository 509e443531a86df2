/**
 * `moebius inspect`: what a preset, a config file or a checkpoint is made of, without reading a
 * weight. A checkpoint's tensors are held to its config on the way.
 */
import { existsSync, statSync } from 'node:fs';
import { formatBytes, formatCount } from '../../base/units.ts';
import { checkpointSize, checkpointTensors } from '../../checkpoint/parameterNames.ts';
import { openCheckpoint } from '../../checkpoint/shards.ts';
import { verifyCheckpoint } from '../../checkpoint/verify.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from '../../config/modelCounts.ts';
import { parseModelConfig } from '../../config/parseModelConfig.ts';
import { findPreset } from '../../config/presets/presets.ts';
import { openFolder } from '../../runtime/files.ts';
import { readJson, readModelConfig } from '../../runtime/openModel.ts';
import { type Cell, formatTable, print, printResult } from '../output.ts';

export interface InspectOptions {
  readonly context: number;
  readonly tensors?: boolean;
  readonly json?: boolean;
}

/** What was named, and what is known about it beyond its config. */
interface Target {
  readonly kind: 'preset' | 'config' | 'checkpoint';
  readonly config: ModelConfig;
  readonly stored: StoredFacts | null;
}

interface StoredFacts {
  readonly tensors: number;
  readonly bytes: number;
  readonly dtypes: readonly string[];
  readonly hasMtp: boolean;
  readonly notices: readonly string[];
}

export async function inspect(name: string, options: InspectOptions): Promise<void> {
  const { kind, config, stored } = await openTarget(name);
  if (options.tensors === true) printTensors(config);
  const counts = countParameters(config);
  const active = activeParameters(config);
  const size = checkpointSize(config);
  const training = { context: options.context, causal: true, training: true };
  const flops = flopsPerToken(config, { ...training, mtp: false });
  const flopsWithMtp = flopsPerToken(config, { ...training, mtp: true });
  const kvBytes = kvBytesPerToken(config);
  const parts = {
    embedding: counts.embedding,
    head: counts.head,
    attention: counts.attention,
    denseMlp: counts.denseMlp,
    routedExperts: counts.routedExperts,
    sharedExperts: counts.sharedExperts,
    router: counts.router,
    norms: counts.norms,
  };
  const rows: Cell[][] = [
    ['architecture', `${config.modelType}, ${kind}`],
    ['layers', layerText(config)],
    ['parameters', counted(counts.total)],
    ...Object.entries(parts).map(([part, value]) => [`  ${part}`, counted(value)]),
    ['MTP parameters', counted(counts.mtp)],
    ['active', `${counted(active.withEmbeddingAndHead)} with embedding and head`],
    ['', `${counted(active.withHead)} with head`],
    ['', `${counted(active.withoutEmbedding)} without either`],
    ['KV cache per token', `${kvBytes.toLocaleString('en')} bytes in BF16`],
    ['FLOPs per token', `${gigaflops(flops)} to train at ${options.context} causal`],
    ['', `${gigaflops(flopsWithMtp)} with MTP`],
    ['checkpoint', `${size.tensors.toLocaleString('en')} tensors, ${formatBytes(size.bytes)}`],
  ];
  if (stored !== null) {
    rows.push(
      ['on disk', `${stored.tensors.toLocaleString('en')} tensors, ${formatBytes(stored.bytes)}`],
      ['stored as', stored.dtypes.join(', ')],
      ...stored.notices.map((notice) => ['note', notice]),
    );
  }
  printResult(options, {
    table: formatTable(rows),
    json: {
      target: name,
      kind,
      parameters: counts.total,
      mtpParameters: counts.mtp,
      activeParameters: active.withEmbeddingAndHead,
      activeParametersWithHead: active.withHead,
      activeParametersWithoutEmbedding: active.withoutEmbedding,
      kvBytesPerToken: kvBytes,
      flopsPerToken: Math.round(flops),
      flopsPerTokenWithMtp: Math.round(flopsWithMtp),
      context: options.context,
      parts,
      checkpointTensors: size.tensors,
      checkpointElements: size.elements,
      checkpointBytes: size.bytes,
      ...(stored === null ? {} : { stored }),
    },
  });
}

async function openTarget(name: string): Promise<Target> {
  if (!existsSync(name)) {
    return { kind: 'preset', config: findPreset(name), stored: null };
  }
  if (!statSync(name).isDirectory()) {
    return { kind: 'config', config: parseModelConfig(await readJson(name), name), stored: null };
  }
  const config = await readModelConfig(name);
  const checkpoint = await openCheckpoint(await openFolder(name));
  const { mtpPresent, notices } = await verifyCheckpoint(checkpoint, config);
  const tensors = [...checkpoint.tensors.values()];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  const dtypes = [...new Set(tensors.map(({ dtype }) => dtype))].sort();
  return {
    kind: 'checkpoint',
    config,
    stored: { tensors: tensors.length, bytes, dtypes, hasMtp: mtpPresent, notices },
  };
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

function layerText(config: ModelConfig): string {
  const { numHiddenLayers, firstKDenseReplace, numNextnPredictLayers, nRoutedExperts } = config;
  const mtp = numNextnPredictLayers > 0 ? ` + ${numNextnPredictLayers} MTP` : '';
  if (nRoutedExperts === 0) return `${numHiddenLayers}, all dense${mtp}`;
  const experts = `${nRoutedExperts} experts, ${config.numExpertsPerTok} per token`;
  return `${numHiddenLayers}${mtp}, the first ${firstKDenseReplace} dense; ${experts}`;
}

function counted(value: number): string {
  return `${formatCount(value)} (${value.toLocaleString('en')})`;
}

function gigaflops(flops: number): string {
  return flops >= 1e9 ? `${(flops / 1e9).toFixed(3)} GFLOP` : `${(flops / 1e6).toFixed(3)} MFLOP`;
}
