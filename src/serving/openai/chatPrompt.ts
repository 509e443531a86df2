/**
 * The prompt of a chat: rendered, encoded once, with one BOS, and the knowledge of where the answer
 * begins: inside the thinking, when the template or the request opened it, or behind it.
 */
import { type ChatMessage, encodeChat } from '../../tokenizer/chatTemplate.ts';
import { type Message, reasoningOf, templateMessages, textOf } from './chatMessages.ts';
import { markerId, THINK_BEGIN, THINK_END, templateTraits } from './markers.ts';
import { refuseOverlong } from './promptLength.ts';
import type { ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import type { ThinkingWish } from './thinkingFields.ts';
import { type Tool, withToolText } from './toolFields.ts';

export interface ChatPromptRequest {
  readonly messages: readonly Message[];
  readonly tools: readonly Tool[];
  readonly thinking: ThinkingWish;
  /** `lastMessage`: the answer goes on with it; `nothing`: no turn is opened. */
  readonly continues: 'newTurn' | 'lastMessage' | 'nothing';
}

export interface ChatPrompt {
  readonly ids: Int32Array;
  readonly starts: 'thinking' | 'content';
}

/** @throws ProtocolError 400, chat.template */
export function chatPrompt(request: ChatPromptRequest, context: ProtocolContext): ChatPrompt {
  const { messages, thinking, continues } = request;
  const last = messages[messages.length - 1];
  const isContinued = continues === 'lastMessage';
  if (isContinued && last?.role !== 'assistant') {
    throw invalid(
      'messages',
      'the last message is not the assistant’s and cannot be gone on with',
      {
        hint: 'End with the assistant message to go on with.',
      },
    );
  }
  if (isContinued && last?.role === 'assistant' && last.tool_calls?.length) {
    throw invalid('messages', 'a message that is gone on with cannot have tool_calls', {
      hint: 'Continue text, or send the outputs of the calls.',
    });
  }
  const encode = encoder(request, context);
  const ids = encode('');
  const end = endOf(ids, context);
  const hasMarkers = markerId(context.tokenizer, THINK_BEGIN) !== undefined;
  if (isContinued && last !== undefined) {
    const turn = continuedTurn(last, end === THINK_BEGIN);
    if (turn.text === '') return { ids, starts: end === THINK_BEGIN ? 'thinking' : 'content' };
    return { ids: encode(turn.text), starts: turn.starts };
  }
  if (continues === 'nothing') return { ids, starts: 'content' };
  if (thinking.wanted === false && end === THINK_BEGIN) {
    // A template that always opens the thinking: it is closed empty.
    return { ids: encode(`\n${THINK_END}\n\n`), starts: 'content' };
  }
  if (thinking.wanted === true && end !== THINK_BEGIN) {
    if (end === THINK_END || !hasMarkers) {
      throw invalid('thinking', 'this model does not think when it is asked to', {
        hint: 'Leave thinking out, or load a model whose tokenizer and template have <think>.',
      });
    }
    return { ids: encode(`${THINK_BEGIN}\n`), starts: 'thinking' };
  }
  return { ids, starts: end === THINK_BEGIN ? 'thinking' : 'content' };
}

function encoder(
  { messages, tools, thinking, continues }: ChatPromptRequest,
  context: ProtocolContext,
): (continuation: string) => Int32Array {
  const { tokenizer, template } = context;
  // What users say is in every prompt; old thinking and calls need not be.
  const said = messages.flatMap((each) => (each.role === 'user' ? [textOf(each.content)] : []));
  refuseOverlong(said, 'messages', context);
  const traits = templateTraits(template);
  const given = continues === 'lastMessage' ? messages.slice(0, -1) : messages;
  let rendered: readonly ChatMessage[] = templateMessages(given, traits);
  const inTemplate = tools.length > 0 && traits.writesTools;
  if (tools.length > 0 && !inTemplate) rendered = withToolText(rendered, tools);
  return (continuation) =>
    encodeChat(tokenizer, template, rendered, {
      continuation,
      assistantTurn: continues === 'nothing' ? 'none' : 'open',
      variables: thinking.variables,
      ...(inTemplate ? { tools } : {}),
      formatNow: context.formatNow,
    });
}

/** The marker of thinking that the prompt ends with, blank space aside. */
function endOf(ids: Int32Array, { tokenizer }: ProtocolContext): string | null {
  // `</think>` in single bytes, and some blank lines.
  const text = tokenizer.decode(ids.subarray(-16)).trimEnd();
  return [THINK_BEGIN, THINK_END].find((each) => text.endsWith(each)) ?? null;
}

/** What the assistant has said already: its thinking, if any, is over once there is content. */
function continuedTurn(
  message: Message,
  isOpened: boolean,
): { readonly text: string; readonly starts: 'thinking' | 'content' } {
  const reasoning = reasoningOf(message);
  const content = message.role === 'assistant' ? textOf(message.content ?? '') : '';
  const open = reasoning === '' || isOpened ? '' : `${THINK_BEGIN}\n`;
  const isOpen = reasoning !== '' || isOpened;
  if (content === '') {
    const starts = isOpen ? 'thinking' : 'content';
    return { text: open + reasoning, starts };
  }
  const close = isOpen ? `\n${THINK_END}\n\n` : '';
  return { text: open + reasoning + close + content, starts: 'content' };
}
