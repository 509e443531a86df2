/** Asks this page's own server, and says in one error what went wrong. */
import { MoebiusError } from '../../src/base/errors.ts';

/** On the page's own origin, whatever folder the page is in. */
export const API: string = '/studio/api';

export async function fetchJson<T>(path: string, init: RequestInit = {}): Promise<T> {
  const response = await fetchAnswer(path, init);
  return (await response.json()) as T;
}

/** @throws studio.server with the server's own words, when it refuses */
export async function fetchAnswer(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(`${API}/${path}`, init);
  if (response.ok) return response;
  const said = await response.text();
  throw new MoebiusError('studio.server', messageOf(said) ?? `HTTP ${response.status}`, {
    values: { path, status: response.status },
  });
}

/** Our routes answer with `{ error: { message } }`, what lies before them may answer anything. */
function messageOf(said: string): string | undefined {
  try {
    const { error } = JSON.parse(said) as { error?: { message?: unknown } };
    return typeof error?.message === 'string' ? error.message : undefined;
  } catch {
    return undefined;
  }
}
