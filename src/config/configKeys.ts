/** The keys of a published `config.json`: read, known to be left alone, or refused by name. */
import type { z } from 'zod';
import { MoebiusError, nearestName } from '../base/errors.ts';
import { isIgnoredKey } from './ignoredKeys.ts';

export type RawConfig = Readonly<Record<string, unknown>>;

/** @throws config.type: not a JSON object; the hint names what to point to */
export function requireConfigObject(json: unknown, source: string, hint: string): RawConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new MoebiusError('config.type', `${source}: a model config is a JSON object`, { hint });
  }
  return json as RawConfig;
}

/**
 * @param known keys that somebody looks at
 * @param effect what an unknown one may do: "it may change what the model computes"
 * @throws config.unknownKey
 */
export function refuseUnknownKeys(
  raw: RawConfig,
  { source, known, effect }: { source: string; known: readonly string[]; effect: string },
): void {
  for (const key of Object.keys(raw)) {
    if (known.includes(key) || isIgnoredKey(key)) continue;
    const near = nearestName(key, known);
    throw new MoebiusError('config.unknownKey', `${source}: unknown key ${JSON.stringify(key)}`, {
      values: { key, nearest: near },
      hint:
        near === undefined ? `Remove ${JSON.stringify(key)}: ${effect}.` : `Did you mean ${near}?`,
    });
  }
}

/** @throws config.missingKey, config.type: the first value of another type */
export function readConfigKeys<T>(schema: z.ZodType<T>, raw: RawConfig, source: string): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const missing = result.error.issues
    .map((issue) => String(issue.path[0]))
    .filter((key) => !(key in raw));
  if (missing.length > 0) throw missingKeys(missing, source);
  const issue = result.error.issues[0];
  const key = String(issue?.path[0]);
  throw new MoebiusError(
    'config.type',
    `${source}: ${key} is ${JSON.stringify(raw[key])}: ${issue?.message ?? 'not understood'}`,
    { values: { key, value: raw[key] }, hint: `Correct ${key}.` },
  );
}

/** For keys that are absent or null although the others need them. */
export function missingKeys(keys: readonly string[], source: string): MoebiusError {
  return new MoebiusError('config.missingKey', `${source}: missing ${keys.join(', ')}`, {
    values: { keys },
    hint: 'Take the whole config.json of the model; no default is safe for these.',
  });
}

/** What the error about an unknown `model_type` adds for a model inside another. */
export function nestedConfigHint(raw: RawConfig): string {
  return 'text_config' in raw ? ' Its text_config may be one: pass that object alone.' : '';
}
