/**
 * What the kernel thread holds: memory planned before a byte is loaded, weights, and an engine
 * around them that answers as soon as a first token can be decided.
 */
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes, formatCount } from '../../base/units.ts';
import { loadedBytes } from '../../checkpoint/loadedSize.ts';
import { openWeights } from '../../checkpoint/weights.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import {
  type CacheDType,
  planServingMemory,
  refuseUnlessFits,
  type ServingMemoryPlan,
} from '../../config/servingMemory.ts';
import { compileGrammar } from '../../grammar/compileGrammar.ts';
import { openFolder } from '../../runtime/files.ts';
import { machineMemory } from '../../runtime/machineMemory.ts';
import { type OpenedModel, openModel, readModelConfig } from '../../runtime/openModel.ts';
import { createRandomModel } from '../../runtime/randomModel.ts';
import type { Engine } from '../../serving/engine.ts';
import { readModelTarget } from '../modelTarget.ts';
import { BLOCK_SIZE, createEngine } from '../openEngine.ts';
import { type Machine, openMachine } from '../wiring.ts';
import { readServedModel, type ServedSource } from './servedModel.ts';

/** Plain data: it crosses threads. null is "as it suits the model and the machine". */
export interface ServingSettings {
  readonly source: ServedSource;
  readonly kernels: string | null;
  readonly threads: number | null;
  readonly maxContext: number | null;
  readonly maxSequences: number;
  readonly tokenBudget: number;
  readonly numBlocks: number | null;
  readonly cacheBytes: number | null;
  readonly cacheDType: CacheDType;
  readonly speculation: 'auto' | number;
  readonly isDeterministic: boolean;
  /** At most so often a text that is under way is told of. */
  readonly streamSeconds: number;
}

export interface ServingHooks {
  readonly notice: (text: string) => void;
  readonly progress: (doneBytes: number, totalBytes: number) => void;
}

export interface OpenedServing {
  readonly engine: Engine;
  /** Fails when the rest of the weights cannot be read. */
  readonly whenLoaded: Promise<void>;
}

/** Contexts are no longer than this unless they are asked for. */
const DEFAULT_CONTEXT = 8192;
/** Whole contexts that the cache holds at least, where nothing else is asked for. */
const DEFAULT_FULL_SEQUENCES = 4;
/** A default that does not fit is made smaller, down to this. */
const LEAST_CONTEXT = 512;

/** @throws memory.doesNotFit before anything is loaded, and whatever a damaged checkpoint gives */
export async function openServing(
  settings: ServingSettings,
  hooks: ServingHooks,
): Promise<OpenedServing> {
  const { kernels, threads, source } = settings;
  const machine = openMachine({
    kernels: kernels ?? undefined,
    threads: threads ?? undefined,
    note: hooks.notice,
  });
  const { config, weightBytes } = await sizeOf(source, machine);
  const cache = planCache(settings, { config, weightBytes, notice: hooks.notice });
  const opened = await openSource(source, { machine, maxContext: cache.maxContext, hooks });
  for (const notice of opened.notices) hooks.notice(notice);
  const { tokenizer } = await readServedModel(source);
  const engine = createEngine({
    // Those that fetch experts which are not there yet.
    machine: { ...machine, kernels: opened.kernels },
    opened,
    tokenizer,
    compileGrammar,
    settings: {
      ...settings,
      cacheDtype: settings.cacheDType,
      maxContext: cache.maxContext,
      numBlocks: cache.numBlocks,
      blockSize: BLOCK_SIZE,
    },
  });
  return { engine, whenLoaded: opened.loading.whenComplete };
}

async function sizeOf(
  source: ServedSource,
  machine: Machine,
): Promise<{ config: ModelConfig; weightBytes: number }> {
  if (source.kind === 'random') {
    const { config } = await readModelTarget(source.config);
    return { config, weightBytes: loadedBytes(config, () => source.dtype) };
  }
  const stored = await readModelConfig(source.path);
  const weights = await openWeights(await openFolder(source.path, machine.mapFile), stored);
  const config = weights.mtpPresent ? stored : { ...stored, numNextnPredictLayers: 0 };
  return { config, weightBytes: loadedBytes(config, weights.dtypeOf) };
}

async function openSource(
  source: ServedSource,
  args: { machine: Machine; maxContext: number; hooks: ServingHooks },
): Promise<OpenedModel> {
  const { machine, maxContext, hooks } = args;
  const { kernels, addon, mapFile } = machine;
  if (source.kind === 'random') {
    const { config } = await readModelTarget(source.config);
    const { dtype } = source;
    return createRandomModel({ config, kernels, dtype, maxPositions: maxContext, seed: 1 });
  }
  return openModel({
    ...{ path: source.path, kernels, addon, maxPositions: maxContext },
    until: 'firstToken',
    onProgress: ({ bytes, totalBytes }) => hooks.progress(bytes, totalBytes),
    ...(mapFile === undefined ? {} : { mapFile }),
  });
}

interface CachePlan {
  readonly maxContext: number;
  readonly numBlocks: number;
}

function planCache(
  settings: ServingSettings,
  model: { config: ModelConfig; weightBytes: number; notice: (text: string) => void },
): CachePlan {
  const { config, weightBytes, notice } = model;
  const { cacheDType, maxSequences, tokenBudget } = settings;
  const longest = config.maxPositionEmbeddings;
  const asked = settings.maxContext;
  if (asked !== null && asked > longest) {
    throw new MoebiusError('serve.context', `the model has ${longest} positions`, {
      values: { maxContext: asked, maxPositionEmbeddings: longest },
      hint: `Lower --max-context to ${longest}.`,
    });
  }
  const { availableBytes, limitedBy } = machineMemory();
  const plan = (context: number, numSequences: number): ServingMemoryPlan =>
    planServingMemory({
      ...{ config, weightBytes, cacheDType, context, numSequences, availableBytes },
      blockSize: BLOCK_SIZE,
      chunkTokens: tokenBudget,
    });
  let context = asked ?? Math.min(longest, DEFAULT_CONTEXT);
  const perToken = plan(context, 1).cacheBytesPerToken;
  const fixed = blocksAsked(settings, perToken);
  if (fixed !== null && fixed * BLOCK_SIZE < context && asked === null) {
    context = Math.max(1, fixed) * BLOCK_SIZE;
  }
  const full = Math.min(maxSequences, DEFAULT_FULL_SEQUENCES);
  const wanted = fixed === null ? full : Math.max(1, Math.ceil((fixed * BLOCK_SIZE) / context));
  let chosen = plan(context, wanted);
  // What nobody asked for gives way: fewer whole contexts first, then a shorter one.
  if (!chosen.doesFit && fixed === null) chosen = plan(context, 1);
  if (!chosen.doesFit && asked === null && chosen.largestContext >= LEAST_CONTEXT) {
    context = chosen.largestContext;
    chosen = plan(context, 1);
  }
  refuseUnlessFits(chosen);
  const numBlocks = fixed ?? chosen.numBlocks;
  if (numBlocks * BLOCK_SIZE < context) {
    throw new MoebiusError('serve.cache', 'the cache is smaller than one context', {
      values: { cacheTokens: numBlocks * BLOCK_SIZE, maxContext: context },
      hint: `Give it ${Math.ceil(context / BLOCK_SIZE)} blocks, or lower --max-context.`,
    });
  }
  const tokens = formatCount(numBlocks * BLOCK_SIZE);
  const cacheBytes = numBlocks * BLOCK_SIZE * perToken;
  notice(
    `memory: weights ${formatBytes(weightBytes)}, cache ${formatBytes(cacheBytes)} ` +
      `(${tokens} tokens in ${cacheDType}), ${formatBytes(chosen.totalBytes)} in all of ` +
      `${formatBytes(availableBytes)} (${limitedBy}); context ${context}`,
  );
  return { maxContext: context, numBlocks };
}

function blocksAsked(settings: ServingSettings, bytesPerToken: number): number | null {
  if (settings.numBlocks !== null) return settings.numBlocks;
  if (settings.cacheBytes === null) return null;
  return Math.floor(settings.cacheBytes / (bytesPerToken * BLOCK_SIZE));
}
