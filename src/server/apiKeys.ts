/**
 * Who may call: keys, each with a name for logs and limits of its own, compared in constant time.
 *
 * A file has one key a line, `#` begins a comment:
 *
 *     sk-3f9c… name=search requests=8 tokens=100000 rpm=60 tpm=200000
 *
 * Only digests are kept and compared, so that neither time nor memory tells of a key.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { MoebiusError, nearestName } from '../base/errors.ts';
import { type KeyLimits, NO_KEY_LIMITS } from './limits.ts';

export interface ApiKey {
  /** For logs and errors; never the key itself. */
  readonly name: string;
  readonly digest: Buffer;
  readonly limits: KeyLimits;
}

const FIELDS = {
  requests: 'maxRequests',
  tokens: 'maxTokens',
  rpm: 'requestsPerMinute',
  tpm: 'tokensPerMinute',
} as const satisfies Readonly<Record<string, keyof KeyLimits>>;

/** @param limits of keys that say nothing else @throws server.keys */
export function apiKey(secret: string, name: string, limits: KeyLimits = NO_KEY_LIMITS): ApiKey {
  // What a header may hold; a space inside would never match a request's.
  if (!/^[\x21-\x7e]{1,512}$/.test(secret)) {
    throw new MoebiusError('server.keys', `the key of ${name} is empty or has odd characters`, {
      values: { name, length: secret.length },
      hint: 'Use 1 to 512 letters, digits and signs of ASCII, without spaces.',
    });
  }
  return { name, digest: digestOf(secret), limits };
}

/** @throws server.keys with the line that is wrong */
export function parseApiKeys(text: string, limits: KeyLimits = NO_KEY_LIMITS): readonly ApiKey[] {
  return text.split('\n').flatMap((line, index) => {
    const [secret, ...settings] = line
      .replace(/(^|\s)#.*/, '')
      .split(/\s+/)
      .filter(Boolean);
    if (secret === undefined) return [];
    const own: Record<string, number> = {};
    let name = `key-${index + 1}`;
    for (const setting of settings) {
      const [field = '', value = ''] = setting.split('=', 2);
      if (field === 'name' && value !== '') name = value;
      else if (isField(field)) own[FIELDS[field]] = count(value, `${field} in line ${index + 1}`);
      else throw unknownField(field, index + 1);
    }
    return [apiKey(secret, name, { ...limits, ...own })];
  });
}

function isField(field: string): field is keyof typeof FIELDS {
  return Object.hasOwn(FIELDS, field);
}

function count(text: string, what: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new MoebiusError('server.keys', `${what} of the key file is "${text}"`, {
    values: { [what]: text },
    hint: 'Give an integer of at least 1, or leave it out for no limit.',
  });
}

function unknownField(field: string, line: number): MoebiusError {
  const known = ['name', ...Object.keys(FIELDS)];
  return new MoebiusError('server.keys', `the key file has an unknown "${field}"`, {
    values: { line, field },
    hint: `Take ${nearestName(field, known) ?? `one of ${known.join(', ')}`}, as in rpm=60.`,
  });
}

/** The key that a request carries. Every known key is compared, found or not. */
export function findKey(keys: readonly ApiKey[], secret: string): ApiKey | null {
  const digest = digestOf(secret);
  let found: ApiKey | null = null;
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) found = key;
  return found;
}

/** `Authorization: Bearer KEY`, or `x-api-key: KEY` as clients of the messages API send it. */
export function secretOf(headers: Readonly<Record<string, unknown>>): string | null {
  const { authorization, 'x-api-key': plain } = headers;
  const [, bearer] = /^bearer +(\S+)$/i.exec(String(authorization ?? '')) ?? [];
  if (bearer !== undefined) return bearer;
  return typeof plain === 'string' && plain !== '' ? plain : null;
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
