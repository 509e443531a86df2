/**
 * Reading fields of a foreign JSON file: each reader returns the value in its type, or throws one
 * `tokenizer.shape` error that names the place (`model.merges[12]`) and what stood there.
 */
import { MoebiusError } from '../base/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** The text of a JSON object file. */
export function parseJsonObject(text: string, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MoebiusError('tokenizer.notJson', `${file} is not JSON`, {
      values: { file, characters: text.length },
      hint: 'Fetch the file again: it may be truncated, or a pointer to a large file elsewhere.',
      cause,
    });
  }
  return asObject(value, file);
}

export function asObject(value: unknown, path: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw wrongShape(value, path, 'an object');
}

export function asArray(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrongShape(value, path, 'an array');
}

export function asString(value: unknown, path: string): string {
  if (typeof value === 'string') return value;
  throw wrongShape(value, path, 'a string');
}

/** `undefined` and `null` give the default, as Hugging Face files leave either. */
export function asFlag(value: unknown, path: string, otherwise: boolean): boolean {
  if (value === undefined || value === null) return otherwise;
  if (typeof value === 'boolean') return value;
  throw wrongShape(value, path, 'true or false');
}

export function wrongShape(value: unknown, path: string, wanted: string): MoebiusError {
  return new MoebiusError('tokenizer.shape', `${path} must be ${wanted}, not ${describe(value)}`, {
    values: { path, wanted },
    hint: 'Check that this is the file a Hugging Face tokenizer was saved to.',
  });
}

/** A part of the file that this reader knows of but does not implement. */
export function unsupported(what: string, path: string, hint: string): MoebiusError {
  return new MoebiusError('tokenizer.unsupported', `${path}: ${what} is not supported`, {
    values: { path, what },
    hint,
  });
}

function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
