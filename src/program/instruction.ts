/**
 * What a policy may say: two short vocabularies, for training and for serving. A program is one
 * rank's list of instructions, as plain data; an executor, real or simulated, runs it.
 *
 * Everything that varies over time (learning rate, MTP weight, bias speed …) rides on the
 * instruction, so schedules are decided above the seam and an executor keeps no opinion of its own.
 */
import type { MicroBatch, TargetCounts } from './microBatch.ts';

export interface Program<I> {
  readonly rank: number;
  readonly instructions: readonly I[];
}

/** The parts of a block, in forward order; backward runs them from the end. */
export type BlockPart = 'attention' | 'dispatch' | 'experts' | 'combine';

/**
 * A part of a stage: of its blocks, dense ones included, or of the model's ends. `sharedExperts`
 * need no dispatch, so they stand apart; `head` is final norm, heads and losses of every depth.
 */
export type StagePart = BlockPart | 'sharedExperts' | 'denseMlp' | 'embedding' | 'head';

/** A part of one pass on one of a rank's two streams; each stream runs its steps in their order. */
export interface PartStep {
  readonly pass: 'forward' | 'backwardInput' | 'backwardWeight';
  readonly part: StagePart;
  /** Block of the stage, from 0; MTP blocks come last. The ends have 0. */
  readonly layer: number;
  readonly stream: 'compute' | 'communication';
  /** Indices of earlier steps of the same order that must have ended, on either stream. */
  readonly waitsFor: readonly number[];
}

export interface ForwardPass {
  readonly stage: number;
  readonly microBatch: number;
  /** λ of the MTP loss (report, 2.2). */
  readonly mtpWeight: number;
  /** α of the sequence-wise balance loss (report, 2.1.2). */
  readonly balanceCoefficient: number;
  /**
   * What the losses are divided by: the valid targets of the whole step, so that micro-batches with
   * fewer of them weigh less. Balance terms are divided by `numMicroBatches`.
   */
  readonly normalizers: TargetCounts;
  readonly numMicroBatches: number;
  /** Inner order over two streams; left out, parts run one after another. */
  readonly order?: readonly PartStep[];
}

export interface BackwardPass {
  readonly stage: number;
  readonly microBatch: number;
  readonly order?: readonly PartStep[];
}

export type TrainingInstruction =
  | { readonly kind: 'loadMicroBatch'; readonly microBatch: number; readonly batch: MicroBatch }
  | ({ readonly kind: 'forward' } & ForwardPass)
  | ({ readonly kind: 'backward' } & BackwardPass)
  | ({ readonly kind: 'backwardInput' } & BackwardPass)
  | ({ readonly kind: 'backwardWeight' } & BackwardPass)
  | {
      /** Two passes at once; `order` is that of both, theirs stay empty. */
      readonly kind: 'forwardBackward';
      readonly forward: ForwardPass;
      readonly backward: BackwardPass;
      readonly order: readonly PartStep[];
    }
  /**
   * A message between pipeline ranks. Neighbouring sends and receives of a program are one batch
   * and travel together; a send never waits, a receive waits for its message.
   */
  | {
      readonly kind: 'send' | 'recv';
      readonly content: 'activation' | 'gradient';
      /**
       * The stage that made it: an activation goes to the next stage, a gradient to the one before.
       */
      readonly stage: number;
      readonly microBatch: number;
      readonly peer: number;
    }
  /** Sums gradients over ranks, then reports losses, the gradient norm and any fault. All wait. */
  | { readonly kind: 'reduceGradients' }
  | {
      readonly kind: 'optimizerStep';
      /** Counts from 1; bias correction depends on it. */
      readonly step: number;
      readonly learningRate: number;
      readonly weightDecay: number;
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      /** Gradients are scaled by min(1, maxGradientNorm / (norm + 1e-6)). */
      readonly maxGradientNorm: number;
      /** Decay of the weights' moving average; null keeps none. */
      readonly averageDecay: number | null;
    }
  /** Moves router biases by the step's loads and reports both; 0 only reports. */
  | { readonly kind: 'updateBias'; readonly speed: number }
  /** Drops gradients and loads of the step: what a skipped step runs instead of the optimiser. */
  | { readonly kind: 'dropGradients' }
  | {
      readonly kind: 'evaluate';
      readonly batch: MicroBatch;
      readonly weights: 'current' | 'average';
    }
  | { readonly kind: 'saveShard'; readonly checkpoint: CheckpointRequest }
  | { readonly kind: 'loadShard'; readonly directory: string }
  /** Keeps a copy of everything a step changes, in memory; `restore` goes back to it. */
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'restore' };

export interface CheckpointRequest {
  /** Name of the checkpoint's folder inside the run; it appears whole or not at all. */
  readonly name: string;
  /** What the trainer wants back on resume (step, data position, random state), as JSON. */
  readonly trainerState: string;
  /** Small text files to lay beside the weights: `config.json`, `tokenizer.json`, … */
  readonly files: Readonly<Record<string, string>>;
}

export interface Fault {
  readonly what: 'nan' | 'infinity';
  /** Where it comes from: the weights themselves, a pass forward, its loss, or a pass backward. */
  readonly where: 'parameter' | 'activation' | 'loss' | 'gradient';
  /** Layer index, or null outside of layers. */
  readonly layer: number | null;
  /** Tensor as checkpoints name it. */
  readonly tensor: string;
}

export interface LayerRouting {
  readonly layer: number;
  readonly tokensPerExpert: readonly number[];
  readonly bias: readonly number[];
}

export type TrainingOutcome =
  | {
      /** From `reduceGradients`: means over the step's valid targets, in nats. */
      readonly kind: 'losses';
      readonly total: number;
      readonly main: number;
      /** Mean over depths. */
      readonly mtp: number;
      readonly mtpPerDepth: readonly number[];
      /** Unscaled, summed over layers, averaged over micro-batches. */
      readonly balance: number;
    }
  | { readonly kind: 'gradients'; readonly norm: number; readonly fault: Fault | null }
  | { readonly kind: 'routing'; readonly layers: readonly LayerRouting[] }
  | {
      readonly kind: 'evaluation';
      /** Sum over valid targets, in nats. */
      readonly negativeLogLikelihood: number;
      readonly numTargets: number;
    }
  | { readonly kind: 'saved'; readonly directory: string; readonly bytes: number }
  | { readonly kind: 'loaded'; readonly trainerState: string };

/**
 * How the next token is drawn; one uniform per (seed, position), so speculation changes nothing.
 */
export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
}

/** New tokens of one sequence, at consecutive positions from `firstPosition`. */
export interface SequenceTokens {
  readonly sequenceId: number;
  readonly ids: readonly number[];
  readonly firstPosition: number;
  /** The sequence's cache blocks, in order of position; they cover all of its positions. */
  readonly blocks: readonly number[];
  /**
   * Of a sequence that begins behind blocks which another one filled: positions from 0 on for which
   * the caches of the MTP modules hold their entries too. 0 when left out.
   */
  readonly draftedPositions?: number;
}

/**
 * What a policy does to the logits of one position before a token is drawn: a grammar's mask,
 * penalties, biases. As plain data, so that it crosses the seam.
 */
export interface LogitAdjustment {
  /** Bit v mod 32 of word ⌊v / 32⌋ is set where token v may come; null: all may. */
  readonly allowed: Uint32Array | null;
  /** Tokens whose logits change: z becomes (z > 0 ? z / factor : z · factor) + addend. */
  readonly ids: readonly number[];
  readonly factors: readonly number[];
  readonly addends: readonly number[];
}

export interface SampleRequest {
  readonly sequenceId: number;
  /** The last rows that were just run for the sequence; a token is drawn behind each. */
  readonly positions: number;
  readonly sampling: Sampling;
  readonly numDrafts: number;
  /** One per position, null where nothing changes; left out: nowhere. */
  readonly adjustments?: readonly (LogitAdjustment | null)[];
  /** The likeliest tokens to report of every position; left out: none. */
  readonly numTop?: number;
  /**
   * Of which logits probabilities are reported: the model's own (the default), or those after
   * adjustments and temperature.
   */
  readonly probabilitiesOf?: 'model' | 'sampler';
}

export type ServingInstruction =
  /**
   * Runs prompts, or chunks of them, and fills the cache. A chunk attends to what the cache holds
   * of the positions before it.
   */
  | { readonly kind: 'prefill'; readonly sequences: readonly SequenceTokens[] }
  /** Runs each sequence's last token and the drafts that follow it. */
  | { readonly kind: 'decode'; readonly sequences: readonly SequenceTokens[] }
  /**
   * For chunks just run whose next tokens are known and not sampled: fills the MTP modules' caches
   * over them. Module k wants the token k places on, so `nextIds` has one per module.
   */
  | {
      readonly kind: 'fillDrafts';
      readonly sequences: readonly {
        readonly sequenceId: number;
        readonly nextIds: readonly number[];
      }[];
    }
  /**
   * Samples at the last `positions` rows that were just run for each sequence (a draft is accepted
   * while it equals the sample before it) and drafts `numDrafts` tokens past the last accepted one.
   */
  | { readonly kind: 'sample'; readonly sequences: readonly SampleRequest[] }
  /** Drops what the executor remembers of sequences; their blocks belong to others from now on. */
  | { readonly kind: 'forget'; readonly sequenceIds: readonly number[] }
  /**
   * Runs a prompt, or a chunk of one, as `prefill` does, and reports which experts its rows chose.
   * Nothing can be sampled behind it.
   */
  | { readonly kind: 'route'; readonly sequence: SequenceTokens }
  /** Reports how many rows chose each expert since the last reset; counted in the kernel. */
  | { readonly kind: 'reportExperts'; readonly then: 'reset' | 'goOn' };

export interface TopTokens {
  readonly ids: readonly number[];
  /** Natural logarithms, falling. */
  readonly logProbabilities: readonly number[];
}

export interface TokensOutcome {
  readonly kind: 'tokens';
  readonly sequenceId: number;
  /** One per sampled position, in order. */
  readonly sampled: readonly number[];
  /** Natural log of each sampled token's probability, by `probabilitiesOf`. */
  readonly logProbabilities: readonly number[];
  readonly drafts: readonly number[];
  /** One per sampled position where `numTop` asked for them. */
  readonly top?: readonly TopTokens[];
}

export interface ExpertLoadsOutcome {
  readonly kind: 'expertLoads';
  readonly layers: readonly {
    readonly layer: number;
    readonly tokensPerExpert: readonly number[];
    /** What the gate adds to each expert's score when it chooses; left out where none is known. */
    readonly bias?: readonly number[];
  }[];
}

/** The experts of every MoE layer of the main model that rows went to. */
export interface RoutesOutcome {
  readonly kind: 'routes';
  readonly sequenceId: number;
  readonly layers: readonly LayerRoutes[];
}

export interface LayerRoutes {
  readonly layer: number;
  /** `[rows, K]`, each row's by falling choice value. */
  readonly experts: Int32Array;
  /** `[rows, K]`: what each expert's output is multiplied by. */
  readonly weights: Float32Array;
}

export type ServingOutcome = TokensOutcome | ExpertLoadsOutcome | RoutesOutcome;
