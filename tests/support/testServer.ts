/**
 * A server on a free port of this machine around the engine over a Markov chain, in this process:
 * everything between the socket and the kernels is the real thing.
 */
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { machineClock } from '../../src/runtime/clock.ts';
import { createServer, type Server } from '../../src/server/http.ts';
import { DEFAULT_LIMITS, NO_KEY_LIMITS, type ServerLimits } from '../../src/server/limits.ts';
import type { LogEntry } from '../../src/server/requestLog.ts';
import type { ServerOptions } from '../../src/server/serverOptions.ts';
import type { Tokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { ChatTemplate } from '../../src/tokenizer/chatTemplate.ts';
import { LocalEngineClient, type MarkovEngineOptions, markovEngine } from './markovEngine.ts';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly server: Server;
  readonly engine: LocalEngineClient;
  readonly log: readonly LogEntry[];
  post(path: string, body: unknown, options?: RequestOptions): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
}

interface RequestOptions {
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
}

export interface TestServerOptions {
  readonly engine?: MarkovEngineOptions;
  readonly limits?: Partial<ServerLimits>;
  readonly server?: Partial<ServerOptions>;
  readonly template?: ChatTemplate;
  readonly tokenizer?: Tokenizer;
}

export async function testServer(
  context: TestContext,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const engine = new LocalEngineClient(markovEngine(options.engine));
  const log: LogEntry[] = [];
  const server = await createServer({
    engine,
    model: {
      ...{ modelId: 'markov', aliases: ['chain'], created: 1, maxChoices: 8 },
      ...{ tokenizer: options.tokenizer ?? byteTokenizer(), beginning: 'bos' },
      template: options.template ?? new ChatTemplate(),
      defaults: { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 },
      logProbabilitiesOf: 'model',
    },
    version: '0.0.0-test',
    ...{ keys: [], adminKey: null, openLimits: NO_KEY_LIMITS },
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    ...{ metricsAccess: 'public', metricsCompat: 'vllm', expertMetrics: 'none' },
    ...{ corsOrigins: 'localhost', keepAliveSeconds: 5 },
    log: { write: (entry) => log.push(entry) },
    clock: machineClock,
    settings: {},
    ...options.server,
  });
  context.after(async () => {
    await server.close();
    await engine.close();
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    ...{ url, server, engine, log },
    port: Number(new URL(url).port),
    post: (path, body, { headers = {}, signal } = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      }),
    get: (path, headers = {}) => fetch(`${url}${path}`, { headers }),
  };
}

/** Bytes to a port, and all that comes back until the other side ends the connection. */
export function rawExchange(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.on('error', reject).on('close', () => resolve(text));
  });
}

export const chatBody = (more: object = {}): object => ({
  messages: [{ role: 'user', content: 'tell me more' }],
  seed: 5,
  max_tokens: 24,
  ...more,
});

/** Data of the events of a stream, `[DONE]` as it stands. */
export function streamData(text: string): readonly unknown[] {
  return text
    .split('\n\n')
    .filter((part) => part.startsWith('data: '))
    .map((part) => part.slice('data: '.length))
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)));
}

/** Waits until it is so; the test's own limit ends the wait. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}
