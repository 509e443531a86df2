/**
 * Who is calling: every request is given an identity by its key before its body is read.
 *
 * The salt of a key keeps cached prefixes of one caller from being felt by another: a prompt that
 * answers faster would tell that somebody has sent it before.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { type ApiKey, apiKey, findKey, secretOf } from './apiKeys.ts';
import { notAdmin, unauthorized } from './refusals.ts';
import type { ServerOptions } from './serverOptions.ts';

/** What an endpoint asks of its callers. */
export type Access = 'public' | 'key' | 'metrics' | 'admin';

export interface RequestCaller {
  readonly key: ApiKey;
  readonly cacheSalt: string;
  readonly arrivedAt: number;
}

export class Callers {
  readonly #options: ServerOptions;
  readonly #open: ApiKey;
  readonly #saltKey = randomBytes(16);
  readonly #salts = new Map<string, string>();
  readonly #known = new WeakMap<FastifyRequest, RequestCaller>();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#open = apiKey('-', 'anyone', options.openLimits);
  }

  /** @throws auth.key 401, auth.admin 401 or 403 */
  identify(request: FastifyRequest, access: Access): void {
    const key = this.#check(request, access);
    const arrivedAt = this.#options.clock.now();
    this.#known.set(request, { key, cacheSalt: this.#saltOf(key.name), arrivedAt });
  }

  /** Of a request that was identified; others have called nothing yet. */
  of(request: FastifyRequest): RequestCaller | undefined {
    return this.#known.get(request);
  }

  #check(request: FastifyRequest, access: Access): ApiKey {
    const { keys, adminKey, metricsAccess } = this.#options;
    const secret = secretOf(request.headers);
    const admin = adminKey === null || secret === null ? null : findKey([adminKey], secret);
    if (access === 'admin') {
      if (admin === null) throw notAdmin(adminKey === null ? 'off' : 'wrong key');
      return admin;
    }
    if (admin !== null) return admin;
    const isOpen = access === 'public' || (access === 'metrics' && metricsAccess === 'public');
    if (isOpen || keys.length === 0) return this.#open;
    const key = secret === null ? null : findKey(keys, secret);
    if (key === null) throw unauthorized();
    return key;
  }

  #saltOf(name: string): string {
    const known = this.#salts.get(name);
    if (known !== undefined) return known;
    const salt = createHmac('sha256', this.#saltKey).update(name).digest('hex').slice(0, 32);
    this.#salts.set(name, salt);
    return salt;
  }
}
