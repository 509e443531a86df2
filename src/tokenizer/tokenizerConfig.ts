/**
 * `tokenizer_config.json`: the names of the BOS, EOS and padding tokens and the chat template. The
 * other keys describe Python classes and are passed over; `clean_up_tokenization_spaces` too, since
 * it would delete spaces from decoded text and `decode` is exact.
 */
import { asArray, asFlag, asObject, asString, parseJsonObject, wrongShape } from './jsonFields.ts';
import { BOS_TOKEN, EOS_TOKEN, PAD_TOKEN } from './specialTokens.ts';

export interface TokenizerConfig {
  readonly bosToken?: string;
  readonly eosToken?: string;
  readonly padToken?: string;
  /** Whether the model was trained with BOS in front of every text. */
  readonly addBosToken?: boolean;
  /** Jinja source of the chat template. */
  readonly chatTemplate?: string;
}

/** Reads the text of `tokenizer_config.json`. @throws tokenizer.notJson, tokenizer.shape */
export function readTokenizerConfig(text: string): TokenizerConfig {
  const file = parseJsonObject(text, 'tokenizer_config.json');
  const bosToken = readToken(file.bos_token, 'bos_token');
  const eosToken = readToken(file.eos_token, 'eos_token');
  const padToken = readToken(file.pad_token, 'pad_token');
  const chatTemplate = readTemplate(file.chat_template);
  return {
    ...(bosToken === undefined ? {} : { bosToken }),
    ...(eosToken === undefined ? {} : { eosToken }),
    ...(padToken === undefined ? {} : { padToken }),
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    addBosToken: asFlag(file.add_bos_token, 'add_bos_token', false),
  };
}

/** The text of a `tokenizer_config.json` for a tokenizer trained here. */
export function saveTokenizerConfig(config: TokenizerConfig): string {
  const file = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: config.bosToken ?? BOS_TOKEN,
    eos_token: config.eosToken ?? EOS_TOKEN,
    pad_token: config.padToken ?? PAD_TOKEN,
    unk_token: null,
    add_bos_token: config.addBosToken ?? true,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    ...(config.chatTemplate === undefined ? {} : { chat_template: config.chatTemplate }),
  };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** `"<s>"`, or `{"content": "<s>", …}`, or null. */
function readToken(value: unknown, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  return asString(asObject(value, path).content, `${path}.content`);
}

/** One template, or a list of named ones of which `default` is taken. */
function readTemplate(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  const templates = asArray(value, 'chat_template').map((entry, i) =>
    asObject(entry, `chat_template[${i}]`),
  );
  const chosen = templates.find((entry) => entry.name === 'default');
  if (chosen === undefined) throw wrongShape(value, 'chat_template', 'a list with a default');
  return asString(chosen.template, 'chat_template default');
}
