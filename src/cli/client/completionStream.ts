/**
 * A client of one call: posts a body to an OpenAI-compatible server and gives its events as they
 * come. What a benchmark and a chat need and no more; on a machine where it shares cores with the
 * server, each chunk costs it one read, one pass of the parser and one `JSON.parse`.
 *
 * It waits for a first byte as long as it takes: a CPU may think for more than the five minutes
 * after which `fetch` gives up.
 */
import { type Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createParser } from 'eventsource-parser';
import { MoebiusError } from '../../base/errors.ts';
import { machineClock } from '../../runtime/clock.ts';

export interface StreamCall {
  readonly url: URL;
  /** JSON. */
  readonly body: string;
  readonly apiKey?: string | undefined;
  readonly agent?: Agent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A chunk of a chat or of a completion, as far as it is read here. */
export interface StreamEvent {
  readonly choices?: readonly StreamChoice[] | null;
  readonly usage?: StreamUsage | null;
  readonly error?: { readonly message?: string; readonly code?: string | null };
}

export interface StreamChoice {
  readonly text?: string;
  readonly delta?: StreamDelta | null;
  readonly finish_reason?: string | null;
  readonly logprobs?: {
    readonly content?: readonly unknown[];
    readonly tokens?: readonly unknown[];
  };
}

/** Servers spell thinking in one of two ways, ours in both. */
export interface StreamDelta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
  readonly tool_calls?: readonly unknown[];
}

export interface StreamUsage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  readonly completion_tokens_details?: {
    readonly accepted_prediction_tokens?: number;
    readonly rejected_prediction_tokens?: number;
  } | null;
}

/**
 * Ends with the stream.
 *
 * @param onEvent with the time, in seconds of the machine's clock, at which the bytes were there
 * @throws client.refused (an HTTP status), client.failed (an error within the stream), client.cut
 * (no end), client.connection; `values.reason` says it in a word or two. An abort’s reason.
 */
export async function streamEvents(
  call: StreamCall,
  onEvent: (event: StreamEvent, at: number) => void,
): Promise<void> {
  const response = await ask(call);
  response.setEncoding('utf8');
  if (response.statusCode !== 200) throw await refusal(response, call);
  let isDone = false;
  let failure: StreamEvent['error'];
  let at = 0;
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') {
        isDone = true;
        return;
      }
      const event = eventOf(data, call);
      failure ??= event.error;
      onEvent(event, at);
    },
  });
  await new Promise<void>((resolve, reject) => {
    response.on('data', (text: string) => {
      at = machineClock.now();
      try {
        parser.feed(text);
      } catch (cause) {
        response.destroy(cause as Error);
      }
    });
    response.on('end', resolve);
    response.on('error', (cause) => reject(endedBy(call, cause)));
  });
  if (failure !== undefined) {
    const { message = 'no reason given', code } = failure;
    throw new MoebiusError('client.failed', `the server failed: ${message}`, {
      values: { reason: `stream ${code ?? 'error'}` },
      hint: 'Look at the server’s log.',
    });
  }
  if (!isDone) {
    throw new MoebiusError('client.cut', 'the server’s answer ended before its end', {
      values: { reason: 'cut off' },
      hint: 'Look at the server’s log.',
    });
  }
}

/** @throws client.connection, client.refused, client.noJson */
export async function getJson(url: URL, apiKey?: string): Promise<unknown> {
  const response = await ask({ url, apiKey, body: null });
  response.setEncoding('utf8');
  if (response.statusCode !== 200) throw await refusal(response, { url });
  const text = await readAll(response);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MoebiusError('client.noJson', `${url.href} gives no JSON`, {
      values: { url: url.href, begins: text.slice(0, 80) },
      hint: 'Give the address of an OpenAI-compatible server.',
      cause,
    });
  }
}

function ask(
  call: Omit<StreamCall, 'body'> & { readonly body: string | null },
): Promise<IncomingMessage> {
  const { url, body, apiKey, agent, signal } = call;
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const request = send(url, {
      method: body === null ? 'GET' : 'POST',
      headers: {
        ...(body === null ? {} : { 'content-type': 'application/json' }),
        ...(body === null ? {} : { 'content-length': Buffer.byteLength(body) }),
        ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
      },
      ...(agent === undefined ? {} : { agent }),
      ...(signal === undefined ? {} : { signal }),
    });
    request.setNoDelay(true);
    request.on('response', resolve);
    request.on('error', (cause) => reject(endedBy(call, cause)));
    request.end(body ?? undefined);
  });
}

async function refusal(
  response: IncomingMessage,
  { url }: { readonly url: URL },
): Promise<MoebiusError> {
  const text = await readAll(response);
  const status = response.statusCode ?? 0;
  return new MoebiusError('client.refused', `the server refuses: ${messageIn(text)}`, {
    values: { url: url.href, status, reason: `http ${status}` },
    hint: status === 401 ? 'Give its key with --api-key.' : 'Change what it names, or ask later.',
  });
}

/** @throws client.noEvent */
function eventOf(data: string, { url }: Pick<StreamCall, 'url'>): StreamEvent {
  const event = jsonOf(data);
  if (typeof event === 'object' && event !== null) return event as StreamEvent;
  throw new MoebiusError('client.noEvent', `${url.host} sends what is no event`, {
    values: { url: url.href, reason: 'no event', begins: data.slice(0, 80) },
    hint: 'Give the address of an OpenAI-compatible server.',
  });
}

/** undefined where it is none. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageIn(text: string): string {
  const { error } = (jsonOf(text) ?? {}) as { error?: { message?: unknown } | string | null };
  const message = typeof error === 'string' ? error : error?.message;
  if (typeof message === 'string') return message;
  // A page: in one line.
  return text.trim().replace(/\s+/g, ' ').slice(0, 200) || 'no reason given';
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response) text += part as string;
  return text;
}

/** The abort's own reason, where the caller wanted it so; else a lost connection. */
function endedBy(call: Pick<StreamCall, 'url' | 'signal'>, cause: Error): unknown {
  const { url, signal } = call;
  if (signal?.aborted === true) return signal.reason;
  if (cause instanceof MoebiusError) return cause;
  const code = 'code' in cause ? String(cause.code) : cause.message;
  return new MoebiusError('client.connection', `no answer from ${url.host}: ${code}`, {
    values: { url: url.href, reason: code },
    hint: 'Start a server with moebius serve, or correct --url.',
    cause,
  });
}
