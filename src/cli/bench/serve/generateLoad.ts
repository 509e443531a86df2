/**
 * The load itself: requests in a closed loop (so many at once, the next when one ends) or in an
 * open one (they come when they come), each one streamed and written down.
 */
import { Agent } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { MoebiusError } from '../../../base/errors.ts';
import { machineClock } from '../../../runtime/clock.ts';
import {
  type StreamChoice,
  type StreamEvent,
  streamEvents,
} from '../../client/completionStream.ts';
import type { Chunk, RequestRecord, Usage } from './accounting.ts';
import type { Arrivals } from './arrivals.ts';

export interface LoadOptions {
  readonly url: URL;
  readonly apiKey: string | undefined;
  readonly pace: Pace;
  /** It ends after so many requests, or when so many seconds are over and what runs has ended. */
  readonly numRequests: number;
  readonly seconds: number;
  /** The body of a request, by its number: the same ones every time. */
  readonly bodyOf: (index: number) => string;
  readonly onEnded?: (record: RequestRecord, numEnded: number) => void;
}

export type Pace =
  | { readonly kind: 'closed'; readonly concurrency: number }
  | {
      readonly kind: 'open';
      readonly arrivals: Arrivals;
      /** Requests under way at most; those above wait here. */
      readonly maxConcurrency: number;
    };

export async function generateLoad(options: LoadOptions): Promise<RequestRecord[]> {
  const agent = new Agent({ keepAlive: true });
  const records: RequestRecord[] = [];
  const start = machineClock.now();
  const ends = start + options.seconds;
  let numSent = 0;
  const send = async (dueAt: number): Promise<void> => {
    const record = await oneRequest(options, { agent, dueAt, body: options.bodyOf(numSent++) });
    records.push(record);
    options.onEnded?.(record, records.length);
  };
  const mayGoOn = (): boolean => numSent < options.numRequests && machineClock.now() < ends;
  try {
    if (options.pace.kind === 'closed') {
      const worker = async (): Promise<void> => {
        while (mayGoOn()) await send(machineClock.now());
      };
      await Promise.all(Array.from({ length: options.pace.concurrency }, worker));
    } else {
      await openLoop({ ...options, pace: options.pace, start, send, mayGoOn });
    }
  } finally {
    agent.destroy();
  }
  return records;
}

async function openLoop(
  args: LoadOptions & {
    pace: Pace & { kind: 'open' };
    start: number;
    send: (dueAt: number) => Promise<void>;
    mayGoOn: () => boolean;
  },
): Promise<void> {
  const { pace, start, numRequests, seconds } = args;
  const underWay = new Set<Promise<void>>();
  let dueAt = start;
  for (let index = 0; args.mayGoOn(); index++) {
    const progress = Math.max(index / numRequests, (dueAt - start) / seconds);
    dueAt += pace.arrivals.gap(progress);
    if (dueAt >= start + seconds) break;
    const wait = dueAt - machineClock.now();
    if (wait > 0) await setTimeout(wait * 1e3);
    while (underWay.size >= pace.maxConcurrency) await Promise.race(underWay);
    const request: Promise<void> = args.send(dueAt).finally(() => underWay.delete(request));
    underWay.add(request);
  }
  await Promise.all(underWay);
}

async function oneRequest(
  options: LoadOptions,
  { agent, dueAt, body }: { agent: Agent; dueAt: number; body: string },
): Promise<RequestRecord> {
  const { url, apiKey } = options;
  const chunks: Chunk[] = [];
  let usage: Usage | null = null;
  let answerAt: number | null = null;
  const sentAt = machineClock.now();
  let failure: string | null = null;
  let because: string | undefined;
  const onEvent = (event: StreamEvent, at: number): void => {
    const counted = event.usage ? usageOf(event) : null;
    const choice = event.choices?.[0];
    if (choice !== undefined && bringsText(choice)) {
      const now = counted?.completionTokens;
      const before = usage?.completionTokens ?? 0;
      chunks.push({ at, tokens: now === undefined ? tokensIn(choice) : now - before });
      if (answerAt === null && isAnswer(choice)) answerAt = at;
    }
    usage = counted ?? usage;
  };
  try {
    await streamEvents({ url, apiKey, agent, body }, onEvent);
    if (chunks.length === 0) failure = 'no text';
  } catch (error) {
    if (!(error instanceof MoebiusError)) throw error;
    failure = String(error.values.reason ?? error.code);
    because = error.message;
  }
  const endedAt = machineClock.now();
  const why = because === undefined ? {} : { because };
  return { failure, ...why, dueAt, sentAt, endedAt, chunks, answerAt, usage };
}

function bringsText({ text, delta }: StreamChoice): boolean {
  if (text !== undefined) return text !== '';
  if (delta == null) return false;
  const { content, reasoning, reasoning_content, tool_calls } = delta;
  return !!content || !!reasoning || !!reasoning_content || (tool_calls?.length ?? 0) > 0;
}

function isAnswer({ text, delta }: StreamChoice): boolean {
  return text !== undefined || !!delta?.content || (delta?.tool_calls?.length ?? 0) > 0;
}

function tokensIn({ logprobs }: StreamChoice): number | null {
  return logprobs?.content?.length ?? logprobs?.tokens?.length ?? null;
}

function usageOf({ usage }: StreamEvent): Usage {
  const accepted = usage?.completion_tokens_details?.accepted_prediction_tokens ?? 0;
  const rejected = usage?.completion_tokens_details?.rejected_prediction_tokens ?? 0;
  return {
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: usage?.completion_tokens ?? 0,
    drafted: accepted + rejected,
    accepted,
  };
}
