/**
 * λ, the weight of the multi-token prediction loss (DeepSeek-V3 report, 2.2 and 4.2): 0.3 for the
 * first 10T tokens, 0.1 for the remaining 4.8T. The executor divides by the number of depths.
 */
export interface MtpWeightSchedule {
  readonly initial: number;
  readonly final: number;
  /** Tokens after which `final` holds. */
  readonly switchTokens: number;
}

export const V3_MTP_WEIGHT: MtpWeightSchedule = { initial: 0.3, final: 0.1, switchTokens: 10e12 };

/** @param tokens seen before the step */
export function mtpWeightAt(schedule: MtpWeightSchedule, tokens: number): number {
  return tokens < schedule.switchTokens ? schedule.initial : schedule.final;
}
