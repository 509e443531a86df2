/**
 * Chat templates: a Jinja program, shipped in `tokenizer_config.json`, that writes a conversation
 * as the text a model was trained on.
 *
 * Two well-known mistakes are made impossible here. *Double BOS*: most templates write BOS, and an
 * encoder that adds it too shifts every position by one (vLLM 38187, SGLang 3728); `encodeChat`
 * adds it only where the template has not. *Forged turns*: words in a message that spell a control
 * token (`<｜Assistant｜>`) would become that token; they stay text, unless the caller asks
 * otherwise.
 */
import { Template } from '@huggingface/jinja';
import { MoebiusError } from '../base/errors.ts';
import type { Tokenizer } from './byteLevelBpe.ts';
import { ASSISTANT_TOKEN, BOS_TOKEN, EOS_TOKEN, USER_TOKEN } from './specialTokens.ts';
import type { TokenizerConfig } from './tokenizerConfig.ts';

/** One message; fields beyond these (`tool_calls`, `name`, …) reach the template as they are. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string | null;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** Whether to open the assistant's turn at the end; `open` by default. */
  readonly assistantTurn?: 'open' | 'none';
  readonly tools?: readonly unknown[];
  /**
   * Answers a template that asks for the date (`strftime_now('%d %b %Y')`). Time is passed in: a
   * template that asks without it is refused.
   */
  readonly formatNow?: (format: string) => string;
  /** Further variables of the template (`enable_thinking`, …). */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export interface EncodeChatOptions extends RenderOptions {
  /**
   * Control tokens spelled in messages: `text` (the default) keeps them text in every message but
   * the assistant's, whose own history may hold tool markers; `match` makes them tokens everywhere.
   */
  readonly controlTokens?: 'text' | 'match';
}

/**
 * The template of models trained here, in DeepSeek-V3's form: system text first, then turns, each
 * answer closed by the end-of-sequence token.
 */
export const DEFAULT_CHAT_TEMPLATE: string =
  '{{ bos_token }}{% for message in messages %}' +
  "{% if message['role'] == 'system' %}{{ message['content'] }}" +
  `{% elif message['role'] == 'user' %}{{ '${USER_TOKEN}' + message['content'] }}` +
  "{% elif message['role'] == 'assistant' %}" +
  `{{ '${ASSISTANT_TOKEN}' + message['content'] + eos_token }}` +
  "{% else %}{{ raise_exception('unknown role ' + message['role']) }}{% endif %}{% endfor %}" +
  `{% if add_generation_prompt %}{{ '${ASSISTANT_TOKEN}' }}{% endif %}`;

export class ChatTemplate {
  readonly #template: Template;
  readonly #config: TokenizerConfig;

  /**
   * @param config of `readTokenizerConfig`; without a template in it, the default one is taken
   * @throws chat.template when the template is no Jinja
   */
  constructor(config: TokenizerConfig = {}) {
    this.#config = config;
    const source = config.chatTemplate ?? DEFAULT_CHAT_TEMPLATE;
    // Jinja's own strftime_now reads the clock of this machine; it gives way to the caller's. (The
    // line break is the one that a block swallows.)
    const prelude = source.includes('strftime_now') ? '{% set strftime_now = format_now %}\n' : '';
    try {
      this.#template = new Template(prelude + source);
    } catch (cause) {
      throw templateError('cannot be read', cause, 'Correct chat_template in its config.');
    }
  }

  /**
   * The conversation as text.
   *
   * @throws chat.template when the template refuses the messages (an unknown role, a bad order)
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    try {
      return this.#template.render({
        ...options.variables,
        format_now: options.formatNow ?? refuseTime,
        messages,
        ...(options.tools === undefined ? {} : { tools: options.tools }),
        bos_token: this.#config.bosToken ?? BOS_TOKEN,
        eos_token: this.#config.eosToken ?? EOS_TOKEN,
        add_generation_prompt: (options.assistantTurn ?? 'open') === 'open',
      });
    } catch (cause) {
      throw templateError('refuses these messages', cause, 'Check roles, order and contents.');
    }
  }

  /** Whether a text begins with BOS although the template did not write it (`add_bos_token`). */
  get addsBos(): boolean {
    return this.#config.addBosToken ?? false;
  }
}

/** The ids of a conversation: rendered, control tokens matched, and one BOS at most. */
export function encodeChat(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: EncodeChatOptions = {},
): Int32Array {
  const addSpecialTokens = template.addsBos ? 'bos' : 'none';
  if (options.controlTokens === 'match') {
    return tokenizer.encode(template.render(messages, options), { addSpecialTokens });
  }
  const mark = unusedMark(messages);
  const shielded = messages.map((message) =>
    message.role === 'assistant' || typeof message.content !== 'string'
      ? message
      : { ...message, content: tokenizer.shield(message.content, mark) },
  );
  return tokenizer.encode(template.render(shielded, options), {
    addSpecialTokens,
    shieldMark: mark,
  });
}

/** A code point that Unicode reserves for uses like this one, and that no message has. */
function unusedMark(messages: readonly ChatMessage[]): string {
  const text = JSON.stringify(messages);
  for (let point = 0xfdd0; point <= 0xfdef; point++) {
    const mark = String.fromCharCode(point);
    if (!text.includes(mark)) return mark;
  }
  throw new MoebiusError('chat.content', 'the messages use all of U+FDD0 … U+FDEF', {
    hint: 'Take these code points, which are no characters, out of the messages.',
  });
}

function refuseTime(): never {
  throw new Error('it asks for the time, and no formatNow was given');
}

function templateError(what: string, cause: unknown, hint: string): MoebiusError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MoebiusError('chat.template', `the chat template ${what}: ${reason}`, { hint, cause });
}
