/** What a server is made of, and what it may be told. */
import type { Clock } from '../base/clock.ts';
import type { EngineClient } from '../serving/engineClient.ts';
import type { ProtocolContext } from '../serving/openai/protocol.ts';
import type { ApiKey } from './apiKeys.ts';
import type { KeyLimits, ServerLimits } from './limits.ts';
import type { RequestLog } from './requestLog.ts';

/** Of the protocol's context, what the server does not know by itself. */
export type ModelContext = Omit<
  ProtocolContext,
  'info' | 'now' | 'formatNow' | 'randomId' | 'randomSeed'
>;

export interface ServerOptions {
  readonly engine: EngineClient;
  readonly model: ModelContext;
  readonly version: string;
  /** Empty: whoever reaches the port may call. */
  readonly keys: readonly ApiKey[];
  /** null: the admin endpoints are off. */
  readonly adminKey: ApiKey | null;
  /** Of callers without a key, where none is asked for. */
  readonly openLimits: KeyLimits;
  readonly limits: ServerLimits;
  /** Whether `/metrics` wants a key as well. */
  readonly metricsAccess: 'public' | 'key';
  readonly metricsCompat: 'vllm' | 'none';
  readonly expertMetrics: 'none' | 'balance' | 'counts';
  readonly corsOrigins: CorsOrigins;
  /** Silence after which a comment or a blank line is sent. */
  readonly keepAliveSeconds: number;
  readonly log: RequestLog;
  /** Monotonic. */
  readonly clock: Clock;
  /** Shown by `/server_info`: what was resolved at the start. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Which pages of other origins a browser lets call. */
export type CorsOrigins = 'localhost' | 'all' | 'none' | { readonly list: readonly string[] };
