/**
 * The spellings with which a model marks its thinking and its tool calls, and how its chat template
 * uses them. DeepSeek-V3's; a tokenizer that has them as tokens is asked for those, and words that
 * merely spell one stay words.
 */
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { ChatTemplate } from '../../tokenizer/chatTemplate.ts';

export const THINK_BEGIN = '<think>';
export const THINK_END = '</think>';
export const CALLS_BEGIN = '<｜tool▁calls▁begin｜>';
export const CALLS_END = '<｜tool▁calls▁end｜>';
export const CALL_BEGIN = '<｜tool▁call▁begin｜>';
export const CALL_END = '<｜tool▁call▁end｜>';
export const CALL_SEPARATOR = '<｜tool▁sep｜>';

/**
 * `fenced` (V3, R1): `function<sep>NAME\n` and the arguments in a JSON fence; `bare` (V3.1):
 * `NAME<sep>` and the arguments.
 */
export type CallForm = 'fenced' | 'bare';

/** What a template does, found out by trying it. */
export interface TemplateTraits {
  readonly callForm: CallForm;
  /** Whether tools reach the prompt; V3's own first template passes them over. */
  readonly writesTools: boolean;
  /** Whether an assistant's message keeps its calls where it has text too; V3's does not. */
  readonly keepsCallsBesideText: boolean;
}

const known = new WeakMap<ChatTemplate, TemplateTraits>();

export function templateTraits(template: ChatTemplate): TemplateTraits {
  let traits = known.get(template);
  if (traits === undefined) {
    traits = findTraits(template);
    known.set(template, traits);
  }
  return traits;
}

/** Names that no template has of its own. */
const TRIED = 'moebius_tried_function';

function findTraits(template: ChatTemplate): TemplateTraits {
  const tool = {
    type: 'function',
    function: { name: TRIED, description: 'none', parameters: { type: 'object', properties: {} } },
  };
  const call = { id: 'a', type: 'function', function: { name: TRIED, arguments: '{}' } };
  const user = { role: 'user', content: 'a' };
  const answer = { role: 'tool', content: 'a', tool_call_id: 'a' };
  const withCall = (content: string | null): string =>
    tried(template, [user, { role: 'assistant', content, tool_calls: [call] }, answer]);
  const called = withCall(null);
  return {
    callForm: called.includes(`${TRIED}${CALL_SEPARATOR}`) ? 'bare' : 'fenced',
    writesTools: tried(template, [user], [tool]).includes(TRIED),
    keepsCallsBesideText: withCall('text').includes(TRIED) || !called.includes(TRIED),
  };
}

type Messages = Parameters<ChatTemplate['render']>[0];

/** Empty where the template refuses: then it does nothing of the kind. */
function tried(template: ChatTemplate, messages: Messages, tools?: readonly unknown[]): string {
  try {
    return template.render(messages, {
      formatNow: () => '',
      ...(tools === undefined ? {} : { tools }),
    });
  } catch {
    return '';
  }
}

/** The id of a marker that is one token. */
export function markerId(tokenizer: Tokenizer, marker: string): number | undefined {
  const id = tokenizer.tokenToId(marker);
  return id !== undefined && tokenizer.addedToken(id) !== undefined ? id : undefined;
}

/** Tokens that steer and are never text, whether or not their file calls them special. */
export function isControl(content: string, isSpecial: boolean): boolean {
  return isSpecial || /^<[|｜].*[|｜]>$/u.test(content);
}
