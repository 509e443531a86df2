/**
 * The talking checkpoint with what an assistant has: tokens for thinking and for tool calls, and a
 * chat template in V3.1's form that writes tools, calls and results and opens thinking when told
 * to. Its weights are random, so it says nothing; grammars and budgets make it think, call and
 * answer.
 */
import { type TalkingOptions, writeTalkingCheckpoint } from './talkingCheckpoint.ts';

const [USER, ASSISTANT, THINK, THOUGHT] = ['<｜User｜>', '<｜Assistant｜>', '<think>', '</think>'];
const [CALLS, CALLS_END] = ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'];
const [CALL, SEPARATOR, CALL_END] = [
  '<｜tool▁call▁begin｜>',
  '<｜tool▁sep｜>',
  '<｜tool▁call▁end｜>',
];
const [OUTPUT, OUTPUT_END] = ['<｜tool▁output▁begin｜>', '<｜tool▁output▁end｜>'];

const CONTROL_TOKENS: readonly string[] = [
  ...[USER, ASSISTANT, THINK, THOUGHT, CALLS, CALLS_END, CALL, SEPARATOR, CALL_END],
  ...[OUTPUT, OUTPUT_END],
];

const CALL_LIST =
  `${CALLS}{% for c in m.tool_calls %}${CALL}{{ c.function.name }}${SEPARATOR}` +
  '{% if c.function.arguments is string %}{{ c.function.arguments }}' +
  `{% else %}{{ c.function.arguments | tojson }}{% endif %}${CALL_END}{% endfor %}${CALLS_END}`;

const TEMPLATE =
  '{{ bos_token }}' +
  "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}" +
  '{% if tools %}{% for t in tools %}\n{{ t.function | tojson }}{% endfor %}{% endif %}' +
  '{% for m in messages %}' +
  `{% if m.role == 'user' %}${USER}{{ m.content }}` +
  `{% elif m.role == 'tool' %}${OUTPUT}{{ m.content }}${OUTPUT_END}` +
  `{% elif m.role == 'assistant' %}${ASSISTANT}${THOUGHT}` +
  '{% if m.content is string %}{{ m.content }}{% endif %}' +
  `{% if m.tool_calls %}${CALL_LIST}{% endif %}{{ eos_token }}` +
  "{% elif m.role != 'system' %}{{ raise_exception('unknown role ' + m.role) }}{% endif %}" +
  '{% endfor %}' +
  `{% if add_generation_prompt %}${ASSISTANT}{% if thinking %}${THINK}{% else %}${THOUGHT}` +
  '{% endif %}{% endif %}';

/** @returns the folder it was given */
export function writeThinkingCheckpoint(
  folder: string,
  speech: TalkingOptions['speech'] = 'brief',
): Promise<string> {
  return writeTalkingCheckpoint(folder, {
    speech,
    controlTokens: CONTROL_TOKENS,
    chatTemplate: TEMPLATE,
  });
}
