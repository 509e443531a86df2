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
  /** What the open turn begins with, as the assistant's own words: its control tokens count. */
  readonly continuation?: string;
}

/**
 * The template of models trained here, in DeepSeek-V3's form: system text first, then turns, each
 * answer closed by the end-of-sequence token. Functions stand behind the system text, calls and
 * their outputs between V3's own markers (its published template forgets the closing marker of a
 * single call, and calls beside text; this one does not).
 */
export const DEFAULT_CHAT_TEMPLATE: string =
  '{{ bos_token }}{% set ns = namespace(tools_due=(tools is defined), is_output=false) %}' +
  '{% for message in messages %}' +
  "{% if message['role'] != 'system' and ns.tools_due %}" +
  `{% set ns.tools_due = false %}${toolsText()}{% endif %}` +
  "{% if message['role'] == 'system' %}{{ message['content'] }}" +
  "{% elif message['role'] == 'user' %}{% set ns.is_output = false %}" +
  `{{ '${USER_TOKEN}' + message['content'] }}` +
  "{% elif message['role'] == 'assistant' %}" +
  `{% if not ns.is_output %}{{ '${ASSISTANT_TOKEN}' }}{% endif %}{% set ns.is_output = false %}` +
  "{% if message['content'] %}{{ message['content'] }}{% endif %}" +
  `{% if message['tool_calls'] %}${callsText()}{% endif %}{{ eos_token }}` +
  "{% elif message['role'] == 'tool' %}" +
  "{{ '\n' if ns.is_output else '<｜tool▁outputs▁begin｜>' }}{% set ns.is_output = true %}" +
  "{{ '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}" +
  "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}" +
  "{{ '<｜tool▁outputs▁end｜>' }}{% endif %}" +
  "{% else %}{{ raise_exception('unknown role ' + message['role']) }}{% endif %}{% endfor %}" +
  `{% if add_generation_prompt and not ns.is_output %}{{ '${ASSISTANT_TOKEN}' }}{% endif %}`;

function toolsText(): string {
  return (
    "{{ '\n\n## Tools\n\nYou may call these functions.\n' }}{% for tool in tools %}" +
    "{{ '\n### ' + tool['function']['name'] + '\n' }}" +
    "{% if tool['function']['description'] %}" +
    "{{ 'Description: ' + tool['function']['description'] + '\n' }}{% endif %}" +
    "{% if tool['function']['parameters'] %}" +
    "{{ 'Parameters: ' + (tool['function']['parameters'] | tojson) + '\n' }}{% endif %}" +
    "{% endfor %}{{ '\n' }}"
  );
}

function callsText(): string {
  return (
    "{{ '<｜tool▁calls▁begin｜>' }}{% for call in message['tool_calls'] %}" +
    "{{ '' if loop.first else '\n' }}{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' +" +
    " call['function']['name'] + '\n```json\n' + call['function']['arguments'] +" +
    " '\n```<｜tool▁call▁end｜>' }}{% endfor %}{{ '<｜tool▁calls▁end｜>' }}"
  );
}

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
  const { tools, continuation = '' } = options;
  if (options.controlTokens === 'match') {
    const text = template.render(messages, options) + continuation;
    return tokenizer.encode(text, { addSpecialTokens });
  }
  const mark = unusedMark([messages, tools, continuation]);
  const shield = (value: unknown): unknown =>
    shieldAll(value, (text) => tokenizer.shield(text, mark));
  const shielded = messages.map((message): ChatMessage => {
    const { role, content, ...others } = message;
    const isOwn = role === 'assistant' || typeof content !== 'string';
    return {
      ...(shield(others) as object),
      role,
      content: isOwn ? content : tokenizer.shield(content, mark),
    };
  });
  const text = template.render(shielded, {
    ...options,
    ...(tools === undefined ? {} : { tools: shield(tools) as readonly unknown[] }),
  });
  return tokenizer.encode(text + continuation, { addSpecialTokens, shieldMark: mark });
}

/** Every string in a JSON value, its keys left as they are. */
function shieldAll(value: unknown, shield: (text: string) => string): unknown {
  if (typeof value === 'string') return shield(value);
  if (Array.isArray(value)) return value.map((each) => shieldAll(each, shield));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, shieldAll(each, shield)]),
  );
}

/** A code point that Unicode reserves for uses like this one, and that no message has. */
function unusedMark(values: readonly unknown[]): string {
  const text = JSON.stringify(values);
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
