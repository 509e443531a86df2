/**
 * The generation loop: one sequence from its prompt to its end, decide, run, note.
 *
 * Each step runs the last token and the drafts behind it; the executor samples at every one of
 * those positions; the accepted part becomes output (`policy/speculation/accept.ts`) and the
 * executor's new drafts ride on the next step. Without drafts the same loop decodes plainly, and
 * for one seed both give the same tokens.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ServingExecutor } from '../executor/executor.ts';
import type { BlockManager } from '../policy/cache/blockManager.ts';
import { acceptDrafts } from '../policy/speculation/accept.ts';
import type { Sampling, ServingInstruction, TokensOutcome } from '../program/instruction.ts';
import { checkPrompt } from './checkPrompt.ts';

export interface GenerationRequest {
  readonly sequenceId: number;
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly sampling: Sampling;
  /** Generation ends when one of these is sampled; it is not part of the output. */
  readonly endIds: ReadonlySet<number>;
  /** Tokens drafted per step by the MTP modules; 0 decodes plainly. */
  readonly numDrafts: number;
  /** Positions the sequence may take, prompt included. */
  readonly maxContext: number;
}

export interface GeneratedToken {
  readonly id: number;
  /** Under the model itself, before temperature and cuts; natural logarithm. */
  readonly logProbability: number;
  /** Whether an MTP module had drafted it. */
  readonly isDrafted: boolean;
  /** Counts so far, this token included. */
  readonly counts: GenerationCounts;
}

export interface GenerationCounts {
  readonly numTokens: number;
  /** Passes of the main model after the prompt's. */
  readonly numPasses: number;
  readonly numDrafted: number;
  readonly numAccepted: number;
}

export interface GenerationSummary extends GenerationCounts {
  readonly finishReason: 'end' | 'length' | 'stopped';
}

/** Share of drafts that stood; 0 where none were made. */
export function acceptanceRate(summary: GenerationCounts): number {
  return summary.numDrafted === 0 ? 0 : summary.numAccepted / summary.numDrafted;
}

/**
 * @yields tokens as they are decided; returning early from the loop frees the cache
 * @throws generate.context when the prompt leaves no room for a token; nothing is cut silently
 */
export async function* generateTokens(
  executor: ServingExecutor,
  cache: BlockManager,
  request: GenerationRequest,
): AsyncGenerator<GeneratedToken, GenerationSummary> {
  checkPrompt(request);
  const { sequenceId, promptIds, maxContext, endIds } = request;
  const room = Math.min(request.maxTokens, maxContext - promptIds.length);
  const count = { numTokens: 0, numPasses: 0, numDrafted: 0, numAccepted: 0 };
  try {
    let ids: readonly number[] = promptIds;
    let position = 0;
    let drafts: readonly number[] = [];
    while (true) {
      const remaining = room - count.numTokens;
      const blocks = cache.reserve(sequenceId, position + ids.length);
      const numDrafts = Math.max(0, Math.min(request.numDrafts, remaining - 2));
      const tokens = { sequenceId, ids, firstPosition: position, blocks: [...blocks] };
      const program: ServingInstruction[] = [
        { kind: position === 0 ? 'prefill' : 'decode', sequences: [tokens] },
        {
          kind: 'sample',
          sequences: [
            { sequenceId, positions: drafts.length + 1, sampling: request.sampling, numDrafts },
          ],
        },
      ];
      const result = await executor.run([{ rank: 0, instructions: program }]);
      const outcome = result.outcomes.find((each) => each.kind === 'tokens');
      const step = noted(outcome, drafts, sequenceId);
      if (position > 0) count.numPasses++;
      count.numDrafted += drafts.length;
      count.numAccepted += step.numAccepted;
      for (const [i, token] of step.tokens.entries()) {
        if (endIds.has(token.id)) return { finishReason: 'end', ...count };
        count.numTokens++;
        yield { ...token, isDrafted: i < step.numAccepted, counts: { ...count } };
        if (count.numTokens >= room) return { finishReason: 'length', ...count };
      }
      position += ids.length - drafts.length + step.numAccepted;
      const last = step.tokens[step.tokens.length - 1];
      drafts = step.drafts;
      ids = [last?.id ?? 0, ...drafts];
    }
  } finally {
    cache.release(sequenceId);
  }
}

function noted(
  outcome: TokensOutcome | undefined,
  drafts: readonly number[],
  sequenceId: number,
): {
  numAccepted: number;
  tokens: { id: number; logProbability: number }[];
  drafts: readonly number[];
} {
  if (outcome === undefined || outcome.sampled.length !== drafts.length + 1) {
    throw new MoebiusError('generate.outcome', 'the executor sampled too few tokens', {
      values: { sequenceId, wanted: drafts.length + 1, got: outcome?.sampled.length ?? 0 },
      hint: 'Report this: the executor and the policy disagree about a step.',
    });
  }
  const { numAccepted, tokens } = acceptDrafts(drafts, outcome.sampled);
  return {
    numAccepted,
    tokens: tokens.map((id, i) => ({ id, logProbability: outcome.logProbabilities[i] ?? 0 })),
    drafts: outcome.drafts,
  };
}
