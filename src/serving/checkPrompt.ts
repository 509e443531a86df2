/** What any generation asks of its prompt and its room, whoever runs it. */
import { MoebiusError } from '../base/errors.ts';

export interface PromptDemand {
  readonly promptIds: { readonly length: number };
  readonly maxTokens: number;
  readonly maxContext: number;
}

/** @throws generate.empty, generate.context, generate.maxTokens; nothing is cut silently */
export function checkPrompt({ promptIds, maxTokens, maxContext }: PromptDemand): void {
  if (promptIds.length === 0) {
    throw new MoebiusError('generate.empty', 'the prompt has no tokens', {
      hint: 'Give a prompt, or a tokenizer that starts sequences with a BOS token.',
    });
  }
  if (promptIds.length >= maxContext) {
    throw new MoebiusError('generate.context', 'the prompt fills the whole context', {
      values: { promptTokens: promptIds.length, contextTokens: maxContext },
      hint: `Shorten the prompt to at most ${maxContext - 1} tokens, or raise the context length.`,
    });
  }
  if (!Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new MoebiusError('generate.maxTokens', `maxTokens is ${maxTokens}`, {
      values: { maxTokens },
      hint: 'Ask for one token or more.',
    });
  }
}

/** @throws input.tokenOutOfRange */
export function checkIds(ids: Iterable<number>, vocabSize: number): void {
  for (const id of ids) {
    if (id >= 0 && id < vocabSize) continue;
    throw new MoebiusError('input.tokenOutOfRange', `${id} is no token of the model`, {
      values: { id, vocabSize },
      hint: `Use ids from 0 to ${vocabSize - 1}.`,
    });
  }
}
