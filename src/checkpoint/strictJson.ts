/**
 * JSON from a file that nobody vouches for: bytes that are not UTF-8, text that is not JSON, and
 * keys given twice (of which `JSON.parse` keeps the last and says nothing) are all refused. Two
 * readers that disagree on which of two entries counts would load different weights.
 */
import { MoebiusError } from '../base/errors.ts';

/** @throws checkpoint.notJson, checkpoint.duplicateKey */
export function parseStrictJson(bytes: Uint8Array, source: string): unknown {
  const text = decodeText(bytes, source);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw notJson(source, cause);
  }
  const twice = findDuplicateKey(text);
  if (twice !== undefined) {
    throw new MoebiusError('checkpoint.duplicateKey', `${source} gives "${twice}" twice`, {
      values: { key: twice },
      hint: 'Write the file again: each name may stand for one thing only.',
    });
  }
  return json;
}

function decodeText(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw notJson(source, cause);
  }
}

function notJson(source: string, cause: unknown): MoebiusError {
  return new MoebiusError('checkpoint.notJson', `${source} is not JSON`, {
    values: { reason: cause instanceof Error ? cause.message : String(cause) },
    hint: 'Download or write the file again; it is damaged or of another kind.',
    cause,
  });
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Of text that `JSON.parse` took: only strings, braces and colons matter any more. */
function findDuplicateKey(text: string): string | undefined {
  const objects: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '{') objects.push(new Set());
    else if (char === '[') objects.push(null);
    else if (char === '}' || char === ']') objects.pop();
    else if (char === '"') {
      const end = endOfString(text, i + 1);
      if (isKey(text, end + 1)) {
        const key = JSON.parse(text.slice(i, end + 1)) as string;
        const keys = objects.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
      }
      i = end;
    }
  }
  return undefined;
}

function endOfString(text: string, from: number): number {
  let i = from;
  while (text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i;
}

/** Whether the next character that counts is a colon. */
function isKey(text: string, from: number): boolean {
  let i = from;
  while (text.charCodeAt(i) <= 0x20) i++;
  return text[i] === ':';
}
