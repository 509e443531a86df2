/** What a server lets in, for each key and in total. null is no limit. */

export interface KeyLimits {
  /** Sequences under way at once; each choice of a request is one. */
  readonly maxRequests: number | null;
  /** Prompts and allowed outputs of what is under way. */
  readonly maxTokens: number | null;
  readonly requestsPerMinute: number | null;
  /** Prompts when they come in, outputs when they are done. */
  readonly tokensPerMinute: number | null;
}

export interface ServerLimits {
  /** Sequences and their tokens under way, waiting ones included. */
  readonly maxRequests: number | null;
  readonly maxTokens: number | null;
  /** Those that wait for their first step, once as many as fit are running. */
  readonly maxQueuedRequests: number;
  readonly maxQueuedTokens: number | null;
  /** Of a request's body. */
  readonly bodyBytes: number;
  /** Of all bodies that are being read. */
  readonly incomingBytes: number;
  /** Written and not yet taken by the reader. */
  readonly bufferedBytes: number;
  /** A reader that takes nothing for so long is dropped. */
  readonly stalledSeconds: number;
}

export const NO_KEY_LIMITS: KeyLimits = {
  maxRequests: null,
  maxTokens: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
};

export const DEFAULT_LIMITS: ServerLimits = {
  maxRequests: null,
  maxTokens: null,
  maxQueuedRequests: 256,
  maxQueuedTokens: null,
  bodyBytes: 16 * 2 ** 20,
  incomingBytes: 64 * 2 ** 20,
  bufferedBytes: 2 ** 20,
  stalledSeconds: 60,
};
