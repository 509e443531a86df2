/**
 * The control tokens of a tokenizer trained here: DeepSeek-V3's own names, so that its chat
 * template, its FIM format (report, 4.1) and any tool that knows them work unchanged. The bars are
 * U+FF5C and the low blocks U+2581: no text a person types spells one by accident.
 */
export const BOS_TOKEN = '<｜begin▁of▁sentence｜>';
export const EOS_TOKEN = '<｜end▁of▁sentence｜>';
export const PAD_TOKEN = '<｜▁pad▁｜>';
export const FIM_BEGIN_TOKEN = '<｜fim▁begin｜>';
export const FIM_HOLE_TOKEN = '<｜fim▁hole｜>';
export const FIM_END_TOKEN = '<｜fim▁end｜>';
export const USER_TOKEN = '<｜User｜>';
export const ASSISTANT_TOKEN = '<｜Assistant｜>';

/** In id order: BOS is 0, EOS 1, padding 2, as in DeepSeek-V3. */
export const DEFAULT_SPECIAL_TOKENS: readonly string[] = [
  BOS_TOKEN,
  EOS_TOKEN,
  PAD_TOKEN,
  FIM_BEGIN_TOKEN,
  FIM_HOLE_TOKEN,
  FIM_END_TOKEN,
  USER_TOKEN,
  ASSISTANT_TOKEN,
];
