/**
 * Reads requests' bodies, each within its bound and all that are being read within theirs: clients
 * that send slowly, or stop in the middle, hold memory for as long as a request may take, and a
 * bound for each would be none for all of them.
 *
 * Bytes that came are counted, not those that were announced: who announces much and sends nothing
 * keeps nobody out. Room for a body doubles, so memory is at most twice the bytes.
 */
import type { IncomingMessage } from 'node:http';
import { bodiesFull, bodyCutOff, bodyTooLarge } from './refusals.ts';

export interface BodyLimits {
  /** Of one body. */
  readonly bodyBytes: number;
  /** Of all that are being read. */
  readonly incomingBytes: number;
}

/** Room for the first bytes of a body; most have no more. */
const FIRST_BYTES = 4096;

export class BodyReader {
  readonly #limits: BodyLimits;
  /** Of bodies whose end has not come. */
  #heldBytes = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** @throws request.tooLarge 413, limit.bodies 503, request.http 400 where its end never came */
  async read(request: IncomingMessage): Promise<Uint8Array> {
    const announced = Number(request.headers['content-length'] ?? 0);
    const refusal = this.#refusal(announced, this.#heldBytes + announced);
    if (refusal !== null) throw refusal;
    const most = announced > 0 ? announced : this.#limits.bodyBytes;
    const body = new GrowingBytes({ first: Math.min(most, FIRST_BYTES), most });
    const end = Promise.withResolvers<void>();
    const onData = (chunk: Uint8Array): void => {
      const refusal = this.#refusal(body.length + chunk.length, this.#heldBytes + chunk.length);
      if (refusal !== null) {
        end.reject(refusal);
        return;
      }
      this.#heldBytes += chunk.length;
      body.append(chunk);
    };
    const onEnd = (): void => end.resolve();
    const onError = (): void => end.reject(bodyCutOff());
    request.on('data', onData).on('end', onEnd).on('error', onError);
    try {
      await end.promise;
      return body.bytes;
    } finally {
      // What else comes of a refused body runs into nothing.
      request.off('data', onData).off('end', onEnd).off('error', onError);
      this.#heldBytes -= body.length;
    }
  }

  #refusal(bytes: number, allBytes: number): Error | null {
    const { bodyBytes, incomingBytes } = this.#limits;
    if (bytes > bodyBytes) return bodyTooLarge(bodyBytes);
    return allBytes > incomingBytes ? bodiesFull(incomingBytes) : null;
  }
}

class GrowingBytes {
  #room: Uint8Array;
  readonly #most: number;
  #length = 0;

  constructor({ first, most }: { readonly first: number; readonly most: number }) {
    this.#room = new Uint8Array(first);
    this.#most = most;
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return this.#room.subarray(0, this.#length);
  }

  append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#room.length) {
      const twice = Math.min(this.#most, 2 * this.#room.length);
      const larger = new Uint8Array(Math.max(needed, twice));
      larger.set(this.bytes);
      this.#room = larger;
    }
    this.#room.set(chunk, this.#length);
    this.#length = needed;
  }
}
