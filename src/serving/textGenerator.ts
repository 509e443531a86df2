/**
 * Text in, text out: a tokenizer around the generation loop. Pieces come as soon as they are
 * decided; half a character or what may become a stop string waits.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ServingExecutor } from '../executor/executor.ts';
import type { BlockManager } from '../policy/cache/blockManager.ts';
import type { Sampling } from '../program/instruction.ts';
import type { Tokenizer } from '../tokenizer/byteLevelBpe.ts';
import { StreamDecoder } from '../tokenizer/streamDecoder.ts';
import { type GeneratedToken, type GenerationSummary, generateTokens } from './generate.ts';
import { StopStrings } from './stopStrings.ts';

export interface TextGeneratorOptions {
  readonly executor: ServingExecutor;
  readonly cache: BlockManager;
  readonly tokenizer: Tokenizer;
  /** Tokens that end a sequence. */
  readonly endIds: ReadonlySet<number>;
  readonly maxContext: number;
  /** MTP modules the model has; without any there are no drafts. */
  readonly numMtpModules: number;
  /** What stands before a prompt: BOS, or what the tokenizer's own file says. */
  readonly beginning: 'bos' | 'template';
}

export interface TextRequest {
  /** Text, which gets its beginning unless it spells one; or ids, which are taken as they are. */
  readonly prompt: string | Int32Array;
  readonly maxTokens: number;
  readonly sampling: Sampling;
  readonly stop?: readonly string[];
  /** Tokens drafted per step; 0 decodes plainly. */
  readonly numDrafts?: number;
  readonly ignoresEnd?: boolean;
  /** Ends the text after the token under way. */
  readonly signal?: AbortSignal;
}

export interface TextPiece {
  readonly token: GeneratedToken;
  /** What may be shown now; often empty. */
  readonly text: string;
}

export interface TextSummary extends GenerationSummary {
  /** Text that was held back to the end. */
  readonly rest: string;
  readonly numPromptTokens: number;
}

export class TextGenerator {
  readonly #options: TextGeneratorOptions;
  #nextSequenceId = 0;

  constructor(options: TextGeneratorOptions) {
    this.#options = options;
  }

  /** A text's ids, with what stands before it. */
  encodePrompt(prompt: string): Int32Array {
    const { tokenizer, beginning } = this.#options;
    return tokenizer.encode(prompt, { addSpecialTokens: beginning });
  }

  /** @throws generate.noMtp when drafts are asked of a model without MTP modules */
  async *generate(request: TextRequest): AsyncGenerator<TextPiece, TextSummary> {
    const { executor, cache, tokenizer, endIds, maxContext, numMtpModules } = this.#options;
    const { prompt } = request;
    const numDrafts = request.numDrafts ?? 0;
    if (numDrafts > 0 && numMtpModules === 0) {
      throw new MoebiusError('generate.noMtp', 'the model has no MTP module to draft with', {
        values: { numDrafts },
        hint: 'Leave speculation off, or load a checkpoint that has its MTP layers.',
      });
    }
    const promptIds = typeof prompt === 'string' ? this.encodePrompt(prompt) : prompt;
    const tokens = generateTokens(executor, cache, {
      sequenceId: this.#nextSequenceId++,
      promptIds: [...promptIds],
      maxTokens: request.maxTokens,
      sampling: request.sampling,
      endIds: request.ignoresEnd === true ? new Set() : endIds,
      numDrafts,
      maxContext,
    });
    const decoder = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
    const stops = new StopStrings(request.stop ?? []);
    let summary: GenerationSummary;
    try {
      let next = await tokens.next();
      for (; next.done !== true; next = await tokens.next()) {
        yield { token: next.value, text: stops.push(decoder.push(next.value.id)) };
        if (stops.isStopped || request.signal?.aborted === true) break;
      }
      summary = next.done === true ? next.value : { finishReason: 'stopped', ...next.value.counts };
    } finally {
      await tokens.return({ finishReason: 'stopped', ...noTokens });
    }
    const rest = stops.push(decoder.end()) + stops.end();
    return { ...summary, rest, numPromptTokens: promptIds.length };
  }
}

const noTokens = { numTokens: 0, numPasses: 0, numDrafted: 0, numAccepted: 0 };
