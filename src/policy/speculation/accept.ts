/**
 * Which drafted tokens stand: a draft is accepted while it equals the token that the main model
 * sampled at its position.
 *
 * The target is sampled at *every* position from its own distribution, with one uniform number per
 * (seed, position); a draft only decides how many of those samples are used in one step. So the
 * output has exactly the distribution, and for a fixed seed exactly the tokens, of decoding without
 * drafts, greedy or not (reference semantics, d; DeepSeek-V3 report, 5.4.3 for what it is worth).
 */
export interface Acceptance {
  /** Drafts that stand, from the first. */
  readonly numAccepted: number;
  /** The new tokens: the accepted drafts and the sample after the last of them. */
  readonly tokens: readonly number[];
}

/**
 * @param drafts tokens that were run after the sequence's last one
 * @param sampled what the main model sampled after the last token and after each draft; one longer
 */
export function acceptDrafts(drafts: readonly number[], sampled: readonly number[]): Acceptance {
  let numAccepted = 0;
  while (numAccepted < drafts.length && drafts[numAccepted] === sampled[numAccepted]) numAccepted++;
  return { numAccepted, tokens: sampled.slice(0, numAccepted + 1) };
}
