/** A prompt whose tokens are followed through the gates: what is refused, and chunks joined. */
import { MoebiusError } from '../base/errors.ts';
import type { LayerRoutes, ServingOutcome } from '../program/instruction.ts';
import { checkIds, checkPrompt } from './checkPrompt.ts';
import type { EngineInfo, PromptRoutes } from './engineClient.ts';

/** Of a prompt: others wait while it runs, and what it gives is for eyes. */
export const MAX_ROUTED_TOKENS = 512;

/** @throws generate.empty, generate.context, input.tokenOutOfRange, routes.tooLong */
export function checkRoutedPrompt(
  promptIds: Int32Array,
  { maxContext, vocabSize }: EngineInfo,
): void {
  checkPrompt({ promptIds, maxTokens: 1, maxContext });
  checkIds(promptIds, vocabSize);
  if (promptIds.length <= MAX_ROUTED_TOKENS) return;
  throw new MoebiusError('routes.tooLong', 'the prompt has too many tokens to be followed', {
    values: { promptTokens: promptIds.length, most: MAX_ROUTED_TOKENS },
    hint: `Shorten it to ${MAX_ROUTED_TOKENS} tokens.`,
  });
}

/** Layers of all chunks, in order of their rows. */
export function joinRoutes(outcomes: readonly ServingOutcome[], numTokens: number): PromptRoutes {
  const byLayer = new Map<number, LayerRoutes[]>();
  for (const outcome of outcomes) {
    if (outcome.kind !== 'routes') continue;
    for (const part of outcome.layers) {
      byLayer.set(part.layer, [...(byLayer.get(part.layer) ?? []), part]);
    }
  }
  const layers = [...byLayer].map(([layer, parts]) => ({
    layer,
    experts: Int32Array.from(parts.flatMap(({ experts }) => [...experts])),
    weights: Float32Array.from(parts.flatMap(({ weights }) => [...weights])),
  }));
  return { expertsPerToken: (layers[0]?.experts.length ?? 0) / numTokens, layers };
}
