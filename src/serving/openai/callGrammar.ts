/**
 * The grammar of tool calls: markers as control tokens, arguments by the functions' schemas.
 *
 * A required call follows it from the first token; with `strict` tools and a free choice it begins
 * behind the marker that opens the calls, so the choice stays the model's own and the arguments
 * still fit.
 */
import type { GrammarSpec } from '../../grammar/grammar.ts';
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import {
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
  CALLS_BEGIN,
  CALLS_END,
  type CallForm,
  markerId,
} from './markers.ts';
import type { Tool, ToolUse } from './toolFields.ts';

export interface CallGrammar {
  readonly spec: GrammarSpec;
  /** It begins behind this token; null: where the answer begins. */
  readonly afterId: number | null;
}

export interface CallLanguage {
  readonly tokenizer: Tokenizer;
  readonly form: CallForm;
}

/** The grammar that calls must follow, or null where they are free. */
export function callGrammar(use: ToolUse, language: CallLanguage): CallGrammar | null {
  const { tools, choice } = use;
  if (choice === 'none') return null;
  if (choice !== 'auto') return { spec: grammarOf(use, language, 'whole'), afterId: null };
  const beginId = markerId(language.tokenizer, CALLS_BEGIN);
  if (beginId === undefined || !tools.some((tool) => tool.function.strict)) return null;
  return { spec: grammarOf(use, language, 'behindBegin'), afterId: beginId };
}

/** Either an answer in its form, or calls: the model chooses. */
export function answerOrCalls(
  answer: GrammarSpec,
  use: ToolUse,
  language: CallLanguage,
): GrammarSpec {
  const parts = { answer, calls: grammarOf(use, language, 'whole') };
  return { kind: 'ebnf', text: 'root ::= answer | calls', parts };
}

function grammarOf(
  { tools, choice, isParallel }: ToolUse,
  { tokenizer, form }: CallLanguage,
  where: 'whole' | 'behindBegin',
): GrammarSpec {
  const offered =
    typeof choice === 'string' ? tools : tools.filter((tool) => tool.function.name === choice.name);
  const marker = (text: string): string =>
    markerId(tokenizer, text) === undefined ? literal(text) : `<[${text}]>`;
  const begin = where === 'whole' ? `${marker(CALLS_BEGIN)} ` : '';
  const more = isParallel ? ' ("\\n" call)*' : '';
  const rules = offered.map(({ function: { name } }, i) => {
    const before = form === 'bare' ? literal(name) : literal('function');
    const inside = form === 'bare' ? `arguments${i}` : fenced(name, `arguments${i}`);
    const separator = marker(CALL_SEPARATOR);
    return `${marker(CALL_BEGIN)} ${before} ${separator} ${inside} ${marker(CALL_END)}`;
  });
  return {
    kind: 'ebnf',
    text: [
      `root ::= ${begin}call${more} ${marker(CALLS_END)}`,
      `call ::= ${rules.map((_, i) => `call${i}`).join(' | ')}`,
      ...rules.map((rule, i) => `call${i} ::= ${rule}`),
    ].join('\n'),
    parts: Object.fromEntries(
      offered.map((tool, i) => [`arguments${i}`, argumentsOf(tool, choice)]),
    ),
  };
}

/** Tools that are not strict get any object where the call itself is free. */
function argumentsOf({ function: tool }: Tool, choice: ToolUse['choice']): GrammarSpec {
  return tool.parameters && (tool.strict || choice !== 'auto')
    ? { kind: 'jsonSchema', schema: tool.parameters }
    : { kind: 'jsonObject' };
}

function fenced(name: string, rule: string): string {
  return `${literal(`${name}\n\`\`\`json\n`)} ${rule} ${literal('\n```')}`;
}

function literal(text: string): string {
  return JSON.stringify(text);
}
