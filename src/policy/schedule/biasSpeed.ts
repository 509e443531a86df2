/**
 * γ, how far a router's bias moves per step (DeepSeek-V3 report, 2.1.2 and 4.2): 0.001 for the
 * first 14.3T tokens, 0 for the last 500B, so that routing is settled when training ends.
 */
export interface BiasSpeedSchedule {
  readonly speed: number;
  /** Tokens after which the biases stand still. */
  readonly freezeTokens: number;
}

export const V3_BIAS_SPEED: BiasSpeedSchedule = { speed: 0.001, freezeTokens: 14.3e12 };

/** @param tokens seen before the step */
export function biasSpeedAt(schedule: BiasSpeedSchedule, tokens: number): number {
  return tokens < schedule.freezeTokens ? schedule.speed : 0;
}
