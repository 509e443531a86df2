/**
 * What a server asks of an engine, wherever it runs: in this thread, in another one, or simulated.
 *
 * Requests and events are plain data. The engine knows tokens, texts, stop strings and grammars; it
 * knows nothing of HTTP, chats or JSON.
 */
import type { GrammarSpec } from '../grammar/grammar.ts';
import type { LayerRoutes, Sampling, TopTokens } from '../program/instruction.ts';
import type { Span } from '../program/span.ts';

export interface EngineRequest {
  /** Unique among the requests under way. */
  readonly requestId: string;
  readonly promptIds: Int32Array;
  readonly maxTokens: number;
  /** End tokens do not end it, nor may they come, before this many. */
  readonly minTokens?: number;
  readonly sampling: Sampling;
  readonly penalties?: Penalties;
  readonly logitBias?: readonly { readonly id: number; readonly bias: number }[];
  /** The text ends before the first of these. */
  readonly stop?: readonly string[];
  /** These tokens end the text like end tokens do. */
  readonly stopIds?: readonly number[];
  readonly ignoresEnd?: boolean;
  readonly logProbabilities?: {
    readonly of: 'model' | 'sampler';
    /** Likeliest tokens reported beside the sampled one. */
    readonly numTop: number;
  };
  readonly grammar?: {
    readonly spec: GrammarSpec;
    /** It begins behind this token (the end of thinking); null: at once. */
    readonly afterId: number | null;
  };
  /** Forces `closeIds` once so many tokens were thought; `endId` ends thinking by itself. */
  readonly thinking?: {
    readonly budget: number;
    readonly endId: number;
    readonly closeIds: readonly number[];
  };
  /** Drafts a step; `auto`, the default, leaves it to the policy. */
  readonly numDrafts?: number | 'auto';
  /** Lower goes first; 0 by default. */
  readonly priority?: number;
  /** Requests share cached prefixes only with those of the same salt. */
  readonly cacheSalt?: string;
  /** Special tokens are text too. */
  readonly showsSpecial?: boolean;
}

export interface Penalties {
  /** Off each logit of a token that came already. */
  readonly presence: number;
  /** Off it once more for each time it came. */
  readonly frequency: number;
  /** Divides positive logits and multiplies negative ones of tokens that came; 1: none. */
  readonly repetition: number;
}

/** A decided token. */
export interface EngineToken {
  readonly id: number;
  /** Natural logarithm; NaN where none was asked for. */
  readonly logProbability: number;
  readonly top?: TopTokens;
  readonly isDrafted: boolean;
}

/** What a step did for one request. */
export interface EngineEvent {
  readonly requestId: string;
  /** What may be shown now; a stop string and what may become one is never in it. */
  readonly text: string;
  /** The tokens that begin in `text`, or inside it (half characters); those cut off never come. */
  readonly tokens: readonly EngineToken[];
  /** Set exactly once, in the last event. */
  readonly end?: EngineEnd;
  /** Set once, when the prompt was taken from the queue: positions that came from the cache. */
  readonly started?: { readonly cachedTokens: number };
}

export interface EngineEnd {
  readonly reason: 'stop' | 'length' | 'abort' | 'error';
  /** The stop string or token that ended it; null for end tokens and all else. */
  readonly stop: string | number | null;
  readonly error?: EngineFailure;
  readonly usage: EngineUsage;
}

/** As `MoebiusError` gives it. */
export interface EngineFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly values?: Readonly<Record<string, unknown>>;
}

export interface EngineUsage {
  readonly promptTokens: number;
  /** Of the prompt, taken from the prefix cache. */
  readonly cachedTokens: number;
  /** All that were decided, stop tokens included. */
  readonly completionTokens: number;
  readonly drafted: number;
  readonly accepted: number;
  /** Times that a draft at each place (first, second …) was run, and that it stood. */
  readonly draftedPerPosition: readonly number[];
  readonly acceptedPerPosition: readonly number[];
  readonly preemptions: number;
  /** Seconds waited for, spent on the prompt until the first token, and on the rest. */
  readonly queueSeconds: number;
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
}

/** What does not change while an engine lives. */
export interface EngineInfo {
  /** Positions of prompt and output together. */
  readonly maxContext: number;
  readonly vocabSize: number;
  readonly numMtpModules: number;
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly maxSequences: number;
  readonly numRoutedExperts: number;
  readonly description: string;
}

/** Now, and since the start. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** Tokens of prompts and allowed outputs of all requests that wait. */
  readonly waitingTokens: number;
  readonly usedBlocks: number;
  readonly cachedBlocks: number;
  readonly prefixQueriedTokens: number;
  readonly prefixHitTokens: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly numSteps: number;
  readonly stepSeconds: number;
  readonly preemptions: number;
  readonly drafted: number;
  readonly accepted: number;
  readonly draftedPerPosition: readonly number[];
  readonly acceptedPerPosition: readonly number[];
}

export interface ExpertLoads {
  readonly layers: readonly {
    readonly layer: number;
    readonly tokensPerExpert: readonly number[];
    /** What the gate adds to each expert's score when it chooses; left out where none is known. */
    readonly bias?: readonly number[];
  }[];
}

/** Which experts every token of a prompt went to, layer by layer. */
export interface PromptRoutes {
  readonly expertsPerToken: number;
  readonly layers: readonly LayerRoutes[];
}

/** One step of the engine: what ran when, and when it would have on described hardware. */
export interface ServedStep {
  /** Counted from 1. */
  readonly step: number;
  readonly real: readonly Span[];
  /** On a clock of its own; empty where nothing is known of the machine's limits. */
  readonly simulated: readonly Span[];
}

/** Which block of the latent cache belongs to whom; a block of a shared prefix to several. */
export interface CacheMap {
  readonly numBlocks: number;
  /** Positions of a block. */
  readonly blockSize: number;
  /** Of requests under way, in order of position. */
  readonly requests: readonly { readonly requestId: string; readonly blocks: readonly number[] }[];
  /** Nobody's, with tokens that a prompt may begin with; the longest unused first. */
  readonly unused: readonly number[];
}

/** What became of a request and when, in seconds of the engine's clock. */
export interface RequestTimes {
  readonly requestId: string;
  /** Rises in the order of arrival. */
  readonly number: number;
  readonly arrived: number;
  /** Taken from the queue for the first time; null: it never was, so far. */
  readonly started: number | null;
  readonly firstToken: number | null;
  /** null while it is under way. */
  readonly ended: number | null;
  readonly reason: EngineEnd['reason'] | null;
  readonly usage: EngineUsage;
}

/** What an engine has inside, for eyes. */
export interface EngineInside {
  /** The last that computed something, in their order; none where nobody records them. */
  readonly steps: readonly ServedStep[];
  readonly cache: CacheMap;
  /** Those under way, and of those that ended the last, in the order of arrival. */
  readonly requests: readonly RequestTimes[];
  /** On the clock of `requests`. */
  readonly now: number;
}

/** `starting` while weights load, `failed` when it cannot come back. */
export type EngineState =
  | { readonly kind: 'starting'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: EngineFailure };

export interface EngineClient {
  readonly state: EngineState;
  /** @throws engine.starting before it is known */
  readonly info: EngineInfo;
  /** The last that was told. */
  readonly stats: EngineStats;
  /**
   * Events of a request come in order; the last has `end`. What is wrong with a request comes as an
   * end with an error, never as an exception.
   */
  submit(request: EngineRequest, onEvent: (event: EngineEvent) => void): void;
  /** Within a step; the end event comes still. Unknown ones are ignored. */
  abort(requestId: string): void;
  /** Forgets cached prefixes that nobody uses; @returns blocks given back */
  flushCache(): Promise<number>;
  expertLoads(then: 'reset' | 'goOn'): Promise<ExpertLoads>;
  /**
   * Runs a prompt by itself, between two steps, and tells where its tokens were sent; nothing of it
   * stays in the cache.
   *
   * @throws generate.empty, generate.context, input.tokenOutOfRange, routes.tooLong, routes.busy
   */
  routePrompt(promptIds: Int32Array): Promise<PromptRoutes>;
  /** Between two steps. */
  lookInside(): Promise<EngineInside>;
  /** Ends what runs, then the engine. */
  close(): Promise<void>;
}
