/**
 * A real engine on the small trained checkpoint of the goldens: 24 tokens, spelled a … x, an MTP
 * module that predicts well, and kernels of choice.
 */
import { ManualClock } from '../../src/base/clock.ts';
import type { ServingExecutor } from '../../src/executor/executor.ts';
import type { CompiledGrammar, GrammarSpec } from '../../src/grammar/grammar.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type { CacheDType } from '../../src/kernels/latentCache.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import type { Sampling } from '../../src/program/instruction.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { openModel } from '../../src/runtime/openModel.ts';
import { Engine, type EngineOptions } from '../../src/serving/engine.ts';
import type {
  EngineEnd,
  EngineEvent,
  EngineInfo,
  EngineRequest,
  EngineToken,
} from '../../src/serving/engineClient.ts';
import type { TokenBytes } from '../../src/tokenizer/streamDecoder.ts';

export const VOCABULARY = 24;
export const MAX_CONTEXT = 64;

/** Tokens a … x. */
export const letters: TokenBytes = {
  tokenBytes: (id) => new Uint8Array([97 + id]),
  addedToken: () => undefined,
};

export function spell(ids: readonly number[]): string {
  return ids.map((id) => String.fromCharCode(97 + id)).join('');
}

export interface EngineWorldOptions extends Partial<EngineOptions> {
  readonly kernels?: Kernels;
  readonly numBlocks?: number;
  readonly blockSize?: number;
  readonly maxSequences?: number;
  /** f32 when left out. */
  readonly cacheDtype?: CacheDType;
}

export interface EngineWorld {
  readonly engine: Engine;
  readonly info: EngineInfo;
}

export function engineInfo(options: EngineWorldOptions): EngineInfo {
  const { blockSize = 4, maxSequences = 8, numBlocks = 40 } = options;
  return {
    ...{ maxContext: MAX_CONTEXT, vocabSize: VOCABULARY, numMtpModules: 1, numRoutedExperts: 8 },
    ...{ numBlocks, blockSize, maxSequences, description: 'goldens' },
  };
}

/** An engine over any executor. */
export function engineOn(executor: ServingExecutor, options: EngineWorldOptions = {}): EngineWorld {
  const info = engineInfo(options);
  const engine = new Engine({
    ...{ executor, info, tokenBytes: letters, clock: new ManualClock() },
    ...{ endIds: new Set<number>(), tokenBudget: 16, numDrafts: 0, isDeterministic: false },
    compileGrammar: noGrammar,
    ...options,
  });
  return { engine, info };
}

/** The fast kernels where they are built. */
export function quickKernels(): Kernels {
  const loaded = loadAddon();
  return 'reason' in loaded ? createReferenceKernels() : createNativeKernels(loaded.addon, {});
}

export async function localExecutor(options: EngineWorldOptions = {}): Promise<ServingExecutor> {
  const kernels = options.kernels ?? quickKernels();
  const path = new URL('../golden/v3-tiny-trained', import.meta.url).pathname;
  const { model, maxPositions } = await openModel({ path, kernels });
  const { numBlocks, blockSize } = engineInfo(options);
  return new LocalServingExecutor({
    ...{ kernels, model, clock: new ManualClock(), numBlocks, blockSize, maxPositions },
    mtpHidden: 'postNorm',
    cacheDtype: options.cacheDtype ?? 'f32',
    deterministic: options.isDeterministic ?? false,
  });
}

export async function engineWorld(options: EngineWorldOptions = {}): Promise<EngineWorld> {
  return engineOn(await localExecutor(options), options);
}

function noGrammar(spec: GrammarSpec): CompiledGrammar {
  throw new Error(`no grammar of this test: ${JSON.stringify(spec)}`);
}

export const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

export function engineRequest(
  requestId: string,
  promptIds: readonly number[],
  more: Partial<EngineRequest> = {},
): EngineRequest {
  const prompt = Int32Array.from(promptIds);
  return { requestId, promptIds: prompt, maxTokens: 12, sampling: GREEDY, ...more };
}

/** All that was told of a request. */
export interface Told {
  text: string;
  readonly pieces: string[];
  readonly tokens: EngineToken[];
  cachedTokens: number | null;
  end: EngineEnd | null;
}

export class Listener {
  readonly told: Map<string, Told> = new Map();

  hear(events: readonly EngineEvent[]): void {
    for (const { requestId, text, tokens, started, end } of events) {
      const known = this.of(requestId);
      if (known.end !== null) throw new Error(`${requestId} was told after its end`);
      known.text += text;
      if (text !== '') known.pieces.push(text);
      known.tokens.push(...tokens);
      if (started !== undefined) known.cachedTokens = started.cachedTokens;
      known.end = end ?? null;
    }
  }

  of(requestId: string): Told {
    const known = this.told.get(requestId) ?? {
      ...{ text: '', pieces: [], tokens: [], cachedTokens: null, end: null },
    };
    this.told.set(requestId, known);
    return known;
  }
}

/** Steps until nothing is left; `between` comes before each. */
export async function finish(
  engine: Engine,
  listener: Listener,
  between?: (step: number) => void,
): Promise<void> {
  for (let step = 0; step < 3000; step++) {
    between?.(step);
    if (engine.isIdle) return;
    listener.hear(await engine.step());
  }
  throw new Error('the engine does not come to an end');
}
