/**
 * A request's body as JSON: UTF-8 that is UTF-8, nested no deeper than code can follow, and without
 * keys that change what an object is. What is wrong with it is told with a 400 and no stack.
 */
import { badBody } from './refusals.ts';

/** Schemas and histories are some tens deep; a stack of frames holds thousands. */
const MAX_DEPTH = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @throws request.body */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw badBody('is empty', 'Send a JSON object.');
  const depth = nestingOf(bytes);
  if (depth > MAX_DEPTH) {
    throw badBody(`nests ${depth} levels deep`, `Nest at most ${MAX_DEPTH} levels.`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw badBody('is not UTF-8', 'Encode it as UTF-8.');
  }
  try {
    // Spread and assignment would each do something else with such a key.
    // The key may be spelled with escapes; a reviver sees it plain.
    return /__proto__|\\u00/.test(text) ? JSON.parse(text, withoutProto) : JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badBody(`is not JSON: ${reason}`, 'Send a JSON object.');
  }
}

function withoutProto(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new Error('it has a key "__proto__"');
  return value;
}

/** Levels of brackets outside of strings; damaged JSON gives some number. */
function nestingOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let isString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) isString = false;
      continue;
    }
    switch (byte) {
      case QUOTE:
        isString = true;
        break;
      case 0x5b: // [
      case 0x7b: // {
        deepest = Math.max(deepest, ++depth);
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return deepest;
}
