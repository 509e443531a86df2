/**
 * Reads a body by a schema: a field nobody knows is refused with the nearest name, a wrong value
 * with the path to it. The first complaint is the answer; clients show one.
 */
import { z } from 'zod';
import { nearestName } from '../../base/errors.ts';
import { invalid, type ProtocolError } from './protocolError.ts';

/** A field that may be left out, or null, which says the same. */
export type Maybe<T> = T | null | undefined;

/** The schema of every field. */
export type FieldSchemas<T> = { readonly [K in keyof T]: z.ZodType<T[K]> };

/** Reads bodies with exactly these fields; what it gives throws ProtocolError 400. */
export function bodyReader<T>(fields: FieldSchemas<T>): (body: unknown) => T {
  const schema = z.strictObject(fields);
  const names = Object.keys(fields);
  return (body) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw invalid('', 'the body is no JSON object', { hint: 'Send a JSON object.' });
    }
    const read = schema.safeParse(body);
    if (!read.success) throw complaint(read.error.issues, names);
    // Strict and exactly these fields, which the compiler cannot follow through the mapped type.
    return read.data as T;
  };
}

/** A field that is known and cannot be honoured; null and absence are fine. */
export function refused(why: string): z.ZodType<null | undefined> {
  return z.never({ error: why }).nullish();
}

/** A field that may say anything, and changes nothing. */
export const ignored: z.ZodType<unknown> = z.unknown().optional();

function complaint(issues: readonly z.core.$ZodIssue[], fields: readonly string[]): ProtocolError {
  const [issue] = issues.map(deepest).sort((a, b) => rank(a) - rank(b));
  if (issue === undefined) return invalid('', 'the body is not as expected');
  const path = pathOf(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    const near = issue.path.length === 0 ? nearestName(key, fields) : undefined;
    const name = path === '' ? key : `${path}.${key}`;
    return invalid(name, `unknown field ${name}`, {
      apiCode: 'unknown_parameter',
      hint: near === undefined ? 'Take it out.' : `Take it out, or did you mean ${near}?`,
    });
  }
  return invalid(path, `${path === '' ? 'the body' : path}: ${issue.message}`, {
    hint: 'Correct this field.',
    ...(issue.code === 'invalid_type' ? { apiCode: 'invalid_type' } : {}),
  });
}

/** Of a union's branches the complaint that got furthest: the branch that was meant. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  let best: z.core.$ZodIssue | undefined;
  for (const branch of issue.errors) {
    for (const inner of branch) {
      const found = deepest(inner);
      if (found.path.length > (best?.path.length ?? 0)) best = found;
    }
  }
  if (best !== undefined) return { ...best, path: [...issue.path, ...best.path] };
  return { ...issue, message: `${issue.message}${expectedOf(issue)}` };
}

/** What the branches of a union wanted: `, expected string or array`. */
function expectedOf(issue: z.core.$ZodIssue & { readonly code: 'invalid_union' }): string {
  const wanted = issue.errors
    .flat()
    .flatMap((inner) => (inner.code === 'invalid_type' ? [inner.expected] : []));
  return wanted.length === 0 ? '' : `, expected ${[...new Set(wanted)].join(' or ')}`;
}

/** Wrong values before unknown names: those often follow from a wrong kind. */
function rank(issue: z.core.$ZodIssue): number {
  return issue.code === 'unrecognized_keys' ? 1 : 0;
}

/** `messages[0].content` */
export function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}
