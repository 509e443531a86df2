/**
 * Who may come in now: limits for each key (429) and for the whole server (503), and the books of
 * what is under way. Every count is given back exactly once, by the ticket that took it.
 *
 * Waiting requests are counted here and not asked of the engine, whose numbers are a step old: a
 * burst between two steps meets the same caps as any other.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { ApiKey } from './apiKeys.ts';
import type { KeyLimits, ServerLimits } from './limits.ts';
import { overKeyLimit, serverFull } from './refusals.ts';
import { TokenBucket } from './tokenBucket.ts';

export interface Demand {
  readonly requestId: string;
  /** Of the prompt and the output that is allowed. */
  readonly tokens: number;
  readonly promptTokens: number;
}

/** The place of one call; each of its sequences leaves the queue, then ends. */
export interface Ticket {
  started(requestId: string): void;
  ended(requestId: string, used: { readonly completionTokens: number }): void;
}

export interface Load {
  readonly requests: number;
  readonly tokens: number;
  readonly queuedRequests: number;
  readonly queuedTokens: number;
}

interface Account {
  readonly limits: KeyLimits;
  readonly requestRate: TokenBucket | null;
  readonly tokenRate: TokenBucket | null;
  requests: number;
  tokens: number;
}

/** What of the last waits is left in their mean after each new one. */
const WAIT_DECAY = 0.9;

export class Admission {
  readonly #limits: ServerLimits;
  readonly #clock: Clock;
  readonly #accounts = new Map<string, Account>();
  readonly #total = { requests: 0, tokens: 0, queuedRequests: 0, queuedTokens: 0 };
  #meanWait = 0;

  constructor({ limits, clock }: { readonly limits: ServerLimits; readonly clock: Clock }) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get load(): Load {
    return this.#total;
  }

  /** Whether a small request would be let in. */
  isOpen(maxSequences: number): boolean {
    return this.#fullReason([{ requestId: '', tokens: 1, promptTokens: 1 }], maxSequences) === null;
  }

  /**
   * All sequences of a call, or none.
   *
   * @param maxSequences that the engine runs at once; only beyond them is anybody queued
   * @throws limit.key 429, limit.server 503, both with `retryAfterSeconds`
   */
  admit(key: ApiKey, demands: readonly Demand[], maxSequences: number): Ticket {
    const account = this.#account(key);
    this.#checkKey(account, demands);
    const full = this.#fullReason(demands, maxSequences);
    if (full !== null) throw serverFull({ ...full, retryAfter: this.#patience() });
    account.requestRate?.take(1);
    const waiting = new Map<string, number>();
    const open = new Map<string, Demand>();
    for (const demand of demands) {
      this.#count(account, { requests: 1, tokens: demand.tokens });
      this.#queue(1, demand.tokens);
      account.tokenRate?.take(demand.promptTokens);
      waiting.set(demand.requestId, this.#clock.now());
      open.set(demand.requestId, demand);
    }
    const started = (requestId: string): void => {
      const since = waiting.get(requestId);
      const demand = open.get(requestId);
      if (since === undefined || demand === undefined) return;
      waiting.delete(requestId);
      this.#queue(-1, -demand.tokens);
      const wait = this.#clock.now() - since;
      this.#meanWait = WAIT_DECAY * this.#meanWait + (1 - WAIT_DECAY) * wait;
    };
    return {
      started,
      ended: (requestId, { completionTokens }) => {
        const demand = open.get(requestId);
        assert(demand !== undefined, `${requestId} ended twice`);
        started(requestId);
        open.delete(requestId);
        this.#count(account, { requests: -1, tokens: -demand.tokens });
        account.tokenRate?.take(completionTokens);
      },
    };
  }

  #checkKey(account: Account, demands: readonly Demand[]): void {
    const { limits, requestRate, tokenRate } = account;
    const requests = account.requests + demands.length;
    if (limits.maxRequests !== null && requests > limits.maxRequests) {
      const values = { requests, maxRequests: limits.maxRequests };
      throw overKeyLimit({ what: 'requests at once', values, retryAfter: this.#patience() });
    }
    const tokens = account.tokens + tokensOf(demands);
    if (limits.maxTokens !== null && tokens > limits.maxTokens) {
      const values = { tokens, maxTokens: limits.maxTokens };
      throw overKeyLimit({ what: 'tokens at once', values, retryAfter: this.#patience() });
    }
    const requestWait = requestRate?.secondsUntil(1) ?? 0;
    if (requestWait > 0) {
      const values = { requestsPerMinute: limits.requestsPerMinute ?? 0 };
      const retryAfter = Math.ceil(requestWait);
      throw overKeyLimit({ what: 'requests a minute', values, retryAfter });
    }
    // What the output will be is not known yet: it is enough that nothing is owed.
    const tokenWait = tokenRate?.secondsUntil(1) ?? 0;
    if (tokenWait > 0) {
      const values = { tokensPerMinute: limits.tokensPerMinute ?? 0 };
      const retryAfter = Math.ceil(tokenWait);
      throw overKeyLimit({ what: 'tokens a minute', values, retryAfter });
    }
  }

  #fullReason(
    demands: readonly Demand[],
    maxSequences: number,
  ): { what: string; values: Record<string, number> } | null {
    const { maxRequests, maxTokens, maxQueuedRequests, maxQueuedTokens } = this.#limits;
    const total = this.#total;
    const requests = total.requests + demands.length;
    if (maxRequests !== null && requests > maxRequests) {
      return { what: 'requests', values: { requests, maxRequests } };
    }
    const tokens = total.tokens + tokensOf(demands);
    if (maxTokens !== null && tokens > maxTokens) {
      return { what: 'tokens under way', values: { tokens, maxTokens } };
    }
    if (requests <= maxSequences) return null;
    const queuedRequests = total.queuedRequests + demands.length;
    if (queuedRequests > maxQueuedRequests) {
      return { what: 'waiting requests', values: { queuedRequests, maxQueuedRequests } };
    }
    const queuedTokens = total.queuedTokens + tokensOf(demands);
    if (maxQueuedTokens !== null && queuedTokens > maxQueuedTokens) {
      return { what: 'waiting tokens', values: { queuedTokens, maxQueuedTokens } };
    }
    return null;
  }

  /** Whole seconds, from 1 to a minute: as long as others waited lately. */
  #patience(): number {
    return Math.min(60, Math.max(1, Math.ceil(this.#meanWait)));
  }

  #account(key: ApiKey): Account {
    const known = this.#accounts.get(key.name);
    if (known !== undefined) return known;
    const { limits } = key;
    const bucket = (perMinute: number | null): TokenBucket | null =>
      perMinute === null ? null : new TokenBucket({ perMinute, clock: this.#clock });
    const account = {
      limits,
      requestRate: bucket(limits.requestsPerMinute),
      tokenRate: bucket(limits.tokensPerMinute),
      requests: 0,
      tokens: 0,
    };
    this.#accounts.set(key.name, account);
    return account;
  }

  #count(account: Account, by: { readonly requests: number; readonly tokens: number }): void {
    for (const books of [account, this.#total]) {
      books.requests += by.requests;
      books.tokens += by.tokens;
    }
  }

  #queue(requests: number, tokens: number): void {
    this.#total.queuedRequests += requests;
    this.#total.queuedTokens += tokens;
  }
}

function tokensOf(demands: readonly Demand[]): number {
  return demands.reduce((sum, { tokens }) => sum + tokens, 0);
}
