/**
 * A prompt that is only looked at, as a program: chunk after chunk through the model, each as many
 * rows as a step may have, and no token sampled behind them.
 */
import type { ServingInstruction } from '../../program/instruction.ts';

export function compileRoutes(
  prompt: {
    readonly sequenceId: number;
    readonly ids: readonly number[];
    /** They cover all of its positions. */
    readonly blocks: readonly number[];
  },
  tokenBudget: number,
): ServingInstruction[] {
  const { sequenceId, ids, blocks } = prompt;
  const instructions: ServingInstruction[] = [];
  for (let first = 0; first < ids.length; first += tokenBudget) {
    const chunk = ids.slice(first, first + tokenBudget);
    const sequence = { sequenceId, ids: chunk, firstPosition: first, blocks: [...blocks] };
    instructions.push({ kind: 'route', sequence });
  }
  return instructions;
}
