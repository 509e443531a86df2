/** Which model a server serves: the first of `/v1/models`, or the one that was asked for. */
import { MoebiusError } from '../../base/errors.ts';
import { getJson } from './completionStream.ts';

export interface ServedModel {
  readonly name: string;
  /** null where the server does not say it. */
  readonly vocabSize: number | null;
  /** What paths as `v1/models` are relative to. */
  readonly base: URL;
}

/**
 * @param server its address, with or without `/v1`
 * @throws client.noModel, client.connection, client.refused, client.noJson
 */
export async function servedModel(server: {
  readonly url: URL;
  readonly apiKey?: string | undefined;
  readonly name?: string | undefined;
}): Promise<ServedModel> {
  const base = new URL(`${server.url.href.replace(/\/+$/, '').replace(/\/v1$/, '')}/`);
  const listed = await getJson(new URL('v1/models', base), server.apiKey);
  const { data } = (listed ?? {}) as { data?: unknown };
  const models: readonly unknown[] = Array.isArray(data) ? data : [];
  const names = models.map((model) => (model as { id?: unknown } | null)?.id);
  const name = server.name ?? names.find((each) => typeof each === 'string');
  if (name === undefined) {
    throw new MoebiusError('client.noModel', `${server.url.href} lists no model`, {
      values: { url: server.url.href },
      hint: 'Give its name with --name.',
    });
  }
  return { name, vocabSize: await vocabSizeOf(base, server.apiKey), base };
}

/** Only ours say it, at an address that others do not have. */
async function vocabSizeOf(base: URL, apiKey: string | undefined): Promise<number | null> {
  try {
    const info = await getJson(new URL('server_info', base), apiKey);
    const { engine } = (info ?? {}) as { engine?: { vocabSize?: unknown } | null };
    return typeof engine?.vocabSize === 'number' ? engine.vocabSize : null;
  } catch (error) {
    if (error instanceof MoebiusError) return null;
    throw error;
  }
}

/** @throws client.url */
export function serverUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new MoebiusError('client.url', `"${text}" is no address of a server`, {
    values: { url: text },
    hint: 'Write it as http://127.0.0.1:8000.',
  });
}
