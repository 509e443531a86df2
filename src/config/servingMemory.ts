/**
 * What serving a model takes of a machine's memory, before a byte of it is loaded: weights, the
 * caches of latents, and what a pass works on. Sums alone; the caller says what the machine has.
 *
 *     cache per token and layer    f32 4 (C + P)    bf16 2 (C + P)    f8e4m3 C + 4 ⌈C/128⌉ + 2 P
 *
 * With C = 512 and P = 64 that is 2304, 1152 or 656 bytes; DeepSeek-V3's 61 layers keep 70,272 in
 * BF16. FP8 caches have one f32 scale per 128 numbers of a latent and leave the rope key in BF16.
 *
 * Letters: C latent, P rope dim, H hidden, V vocabulary, K experts per token, F expert width.
 */
import { MoebiusError } from '../base/errors.ts';
import { formatBytes } from '../base/units.ts';
import type { ModelConfig } from './modelConfig.ts';

export type CacheDType = 'f32' | 'bf16' | 'f8e4m3';

export interface ServingMemoryRequest {
  readonly config: ModelConfig;
  /** Weights as they lie in memory. */
  readonly weightBytes: number;
  readonly cacheDType: CacheDType;
  /** Positions that a sequence may take, prompt and output. */
  readonly context: number;
  /** Sequences that may all take so many at once. */
  readonly numSequences: number;
  /** Positions of a cache block. */
  readonly blockSize: number;
  /** Prompt tokens of one pass at most; the whole context where prompts are not cut. */
  readonly chunkTokens: number;
  /** Rows whose logits are looked at in one pass: a sequence's token and its drafts. */
  readonly rowsPerSequence?: number;
  readonly availableBytes: number;
}

export interface MemoryRow {
  readonly name: 'weights' | 'cache' | 'activations' | 'logits' | 'rotations' | 'process';
  readonly bytes: number;
  /** How it comes about. */
  readonly formula: string;
}

export interface ServingMemoryPlan {
  readonly rows: readonly MemoryRow[];
  /** Of the cache, all layers at once. */
  readonly numBlocks: number;
  readonly cacheBytesPerToken: number;
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly doesFit: boolean;
  /** Positions that as many sequences could take here, 0 when not even a block each fits. */
  readonly largestContext: number;
  /** What would make it fit, in the imperative; empty when it does. */
  readonly fixes: readonly string[];
}

/**
 * Node, compiled code, tokenizer, kernels' scratch, and what V8 keeps for the next garbage. An
 * estimate: a server of a tiny model that 200 users keep busy levels off at 515 MiB resident beside
 * its caches (docs/log.md, "Memory that grew and was no leak").
 */
const PROCESS_BYTES = 512 * 2 ** 20;
/** Left to the rest of the machine. */
const SPARE_SHARE = 0.02;
/** From wide to narrow. */
export const CACHE_DTYPES: readonly CacheDType[] = ['f32', 'bf16', 'f8e4m3'];
const SCALE_WIDTH = 128;

export function planServingMemory(request: ServingMemoryRequest): ServingMemoryPlan {
  const { config, context, numSequences, blockSize, availableBytes } = request;
  const rows = memoryRows(request);
  const totalBytes = rows.reduce((sum, { bytes }) => sum + bytes, 0);
  const doesFit = totalBytes <= usable(availableBytes);
  const largestContext = largestContextOf(request);
  return {
    rows,
    numBlocks: numSequences * Math.ceil(context / blockSize),
    cacheBytesPerToken: cacheBytesPerToken(config, request.cacheDType),
    totalBytes,
    availableBytes,
    doesFit,
    largestContext,
    fixes: doesFit ? [] : fixesOf(request, largestContext),
  };
}

/** @throws memory.doesNotFit with the largest context that would, and what else would help */
export function refuseUnlessFits(plan: ServingMemoryPlan): void {
  if (plan.doesFit) return;
  const { totalBytes, availableBytes, largestContext, rows, fixes } = plan;
  const [needed, there] = [formatBytes(totalBytes), formatBytes(availableBytes)];
  throw new MoebiusError(
    'memory.doesNotFit',
    `serving needs ${needed} of memory, ${there} are there`,
    {
      values: {
        ...Object.fromEntries(rows.map(({ name, bytes }) => [name, formatBytes(bytes)])),
        largestContext,
      },
      hint: fixes.join(' '),
    },
  );
}

/** Bytes that one token keeps in the caches of all layers, MTP modules' included. */
export function cacheBytesPerToken(config: ModelConfig, dtype: CacheDType): number {
  return numCachedLayers(config) * cacheBytesPerLayer(config, dtype);
}

export function cacheBytesPerLayer(config: ModelConfig, dtype: CacheDType): number {
  const { kvLoraRank: C, qkRopeHeadDim: P } = config;
  switch (dtype) {
    case 'f32':
      return 4 * (C + P);
    case 'bf16':
      return 2 * (C + P);
    case 'f8e4m3':
      return C + 4 * Math.ceil(C / SCALE_WIDTH) + 2 * P;
    default:
      return dtype satisfies never;
  }
}

function numCachedLayers({ numHiddenLayers, numNextnPredictLayers }: ModelConfig): number {
  return numHiddenLayers + numNextnPredictLayers;
}

function memoryRows(request: ServingMemoryRequest): readonly MemoryRow[] {
  const { config, weightBytes, cacheDType, context, numSequences, blockSize } = request;
  const { rowsPerSequence = 1 + config.numNextnPredictLayers } = request;
  const chunk = Math.min(request.chunkTokens, context);
  const positions = Math.ceil(context / blockSize) * blockSize;
  const perLayer = cacheBytesPerLayer(config, cacheDType);
  const layers = numCachedLayers(config);
  const perToken = activationBytesPerToken(config);
  const logitRows = numSequences * rowsPerSequence;
  return [
    { name: 'weights', bytes: weightBytes, formula: 'as stored; gains and biases in f32' },
    {
      name: 'cache',
      bytes: numSequences * positions * layers * perLayer,
      formula: `${numSequences} × ${positions} tokens × ${layers} layers × ${perLayer} B`,
    },
    {
      name: 'activations',
      bytes: chunk * perToken,
      formula: `${chunk} tokens of a prompt × ${perToken.toLocaleString('en')} B`,
    },
    {
      name: 'logits',
      // The rows themselves, and as many that sampling sorts.
      bytes: 2 * 4 * logitRows * config.vocabSize,
      formula: `2 × ${logitRows} rows × ${config.vocabSize.toLocaleString('en')} × 4 B`,
    },
    {
      name: 'rotations',
      bytes: 4 * config.qkRopeHeadDim * context,
      formula: `${context} positions × ${config.qkRopeHeadDim} × 4 B`,
    },
    { name: 'process', bytes: PROCESS_BYTES, formula: 'program, tokenizer, scratch: an estimate' },
  ];
}

/**
 * f32 numbers that a prompt's token holds at once: its state before and after the norms, and the
 * larger of a block's halves (`model/inference.ts`; both halves lie side by side).
 */
function activationBytesPerToken(config: ModelConfig): number {
  const { hiddenSize: D, numAttentionHeads: h, kvLoraRank: C, qkRopeHeadDim: P } = config;
  const { qkNopeHeadDim: N, vHeadDim: V, qLoraRank, numExpertsPerTok: K } = config;
  const attention = 2 * D + 2 * (qLoraRank ?? 0) + h * (N + P) + 2 * (C + P) + h * (N + 2 * V) + h;
  const width = Math.max(
    config.intermediateSize,
    config.nSharedExperts * config.moeIntermediateSize,
  );
  const routed = K * (2 * D + 3 * config.moeIntermediateSize) + 2 * config.nRoutedExperts;
  const feedForward = 3 * D + 3 * width + (config.nRoutedExperts > 0 ? routed : 0);
  return 4 * (4 * D + attention + feedForward);
}

function usable(availableBytes: number): number {
  return availableBytes * (1 - SPARE_SHARE);
}

/** The fixed part is what no position adds to. */
function largestContextOf(request: ServingMemoryRequest): number {
  const { config, cacheDType, numSequences, blockSize, availableBytes } = request;
  const fits = (blocks: number): boolean => {
    const rows = memoryRows({ ...request, context: blocks * blockSize });
    return rows.reduce((sum, { bytes }) => sum + bytes, 0) <= usable(availableBytes);
  };
  // No more blocks than the cache alone would leave room for; then by halves.
  const perBlock = numSequences * blockSize * cacheBytesPerToken(config, cacheDType);
  let [low, high] = [0, Math.floor(availableBytes / perBlock) + 1];
  const most = Math.ceil(config.maxPositionEmbeddings / blockSize);
  high = Math.min(high, most + 1);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return Math.min(low * blockSize, config.maxPositionEmbeddings);
}

function fixesOf(request: ServingMemoryRequest, largestContext: number): readonly string[] {
  const { context, numSequences, cacheDType, weightBytes, availableBytes, config } = request;
  if (weightBytes > usable(availableBytes)) {
    const narrower = config.fp8WeightBlock === null ? ', or quantize it to FP8' : '';
    return [`Take a machine with more memory${narrower}: the weights alone do not fit.`];
  }
  const fixes: string[] = [];
  if (largestContext > 0) fixes.push(`Lower the context from ${context} to ${largestContext}.`);
  for (const dtype of CACHE_DTYPES.slice(CACHE_DTYPES.indexOf(cacheDType) + 1)) {
    const context = largestContextOf({ ...request, cacheDType: dtype });
    if (context <= largestContext) continue;
    fixes.push(`A cache in ${dtype} allows a context of ${context}.`);
  }
  const fewer = largestCount(request);
  if (fewer > 0 && fewer < numSequences) {
    fixes.push(`Or serve ${fewer} sequences at once in place of ${numSequences}.`);
  }
  return fixes.length > 0 ? fixes : ['Give the process more memory, or take a smaller model.'];
}

/** Sequences that could take the whole context at once. */
function largestCount(request: ServingMemoryRequest): number {
  let [low, high] = [0, request.numSequences];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const rows = memoryRows({ ...request, numSequences: middle });
    const fits = rows.reduce((sum, { bytes }) => sum + bytes, 0) <= usable(request.availableBytes);
    if (fits) low = middle;
    else high = middle - 1;
  }
  return low;
}
