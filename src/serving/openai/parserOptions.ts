/** How the output of a chat is to be cut, for the model at hand. */
import {
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
  CALLS_BEGIN,
  CALLS_END,
  markerId,
  THINK_BEGIN,
  THINK_END,
  templateTraits,
} from './markers.ts';
import type { ParserOptions } from './outputParser.ts';
import type { ProtocolContext } from './protocol.ts';
import type { ToolUse } from './toolFields.ts';

const MARKERS = [
  THINK_BEGIN,
  THINK_END,
  CALLS_BEGIN,
  CALLS_END,
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
];

export function parserOptions(
  starts: 'thinking' | 'content',
  use: ToolUse,
  { tokenizer, template }: ProtocolContext,
): ParserOptions {
  return {
    starts,
    calls: use.choice === 'none' ? 'none' : templateTraits(template).callForm,
    tokenMarkers: new Set(MARKERS.filter((each) => markerId(tokenizer, each) !== undefined)),
  };
}
