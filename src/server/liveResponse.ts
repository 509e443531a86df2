/**
 * A response that is written while it is made: over minutes, to readers that may be slow or gone.
 *
 * What is pushed in one turn goes out in one write. What a reader does not take is bounded, in
 * bytes and in seconds, and beyond the bound the reader is dropped: memory never grows with
 * patience. While there is nothing to say, `Heartbeat` keeps the connection alive, because clients
 * and proxies hang up on silence (Node's own fetch after 300 seconds without headers).
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';

export interface LiveOptions {
  readonly raw: ServerResponse;
  readonly clock: Clock;
  readonly bufferedBytes: number;
  readonly stalledSeconds: number;
  /** After so long without a write, `onQuiet` is called. */
  readonly quietSeconds: number;
  readonly onQuiet: () => void;
  /** The reader was dropped. */
  readonly onSlowReader: () => void;
}

export class LiveResponse {
  readonly #options: LiveOptions;
  readonly #raw: ServerResponse;
  #pending = '';
  #isScheduled = false;
  #isEnding = false;
  #wroteAt: number;
  /** When the reader last took something, or there was nothing left to take. */
  #takenAt: number;
  #takenBytes = 0;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#raw = options.raw;
    this.#wroteAt = options.clock.now();
    this.#takenAt = this.#wroteAt;
  }

  get hasHeaders(): boolean {
    return this.#raw.headersSent;
  }

  /** Headers at once, before there is a body. */
  open(status: number, headers: Readonly<Record<string, string | number | string[]>>): void {
    this.#raw.writeHead(status, headers);
    this.#raw.flushHeaders();
    this.#note();
  }

  /** Goes out at the end of this turn, with whatever else is pushed in it. */
  push(text: string): void {
    if (text === '' || this.#isEnding) return;
    this.#pending += text;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  /** The last of it. */
  end(text = ''): void {
    if (this.#isEnding || this.#raw.destroyed) return;
    this.#isEnding = true;
    const rest = this.#pending + text;
    this.#pending = '';
    this.#note();
    this.#raw.end(rest);
  }

  /** Looks at the clock; `Heartbeat` calls it. */
  check(): void {
    if (this.#raw.destroyed) return;
    const { clock, stalledSeconds, quietSeconds, onQuiet } = this.#options;
    const now = clock.now();
    const taken = (this.#raw.socket?.bytesWritten ?? 0) - this.#raw.writableLength;
    if (this.#raw.writableLength === 0 || taken > this.#takenBytes) this.#takenAt = now;
    this.#takenBytes = taken;
    if (now - this.#takenAt >= stalledSeconds) {
      this.#drop();
      return;
    }
    if (!this.#isEnding && now - this.#wroteAt >= quietSeconds) {
      this.#wroteAt = now;
      onQuiet();
    }
  }

  #flush(): void {
    if (this.#pending === '' || this.#isEnding || this.#raw.destroyed) return;
    const text = this.#pending;
    this.#pending = '';
    this.#note();
    this.#write(text);
    if (this.#raw.writableLength > this.#options.bufferedBytes) this.#drop();
  }

  /**
   * As `raw.write`, which gives the socket a chunk in four parts and then a turn of the event loop.
   * In one string it is one call, at little more than half the cost (docs/log.md).
   */
  #write(text: string): void {
    const { socket, chunkedEncoding, headersSent, writableLength } = this.#raw;
    const isBehindNothing = socket !== null && writableLength === socket.writableLength;
    if (!isBehindNothing || !chunkedEncoding || !headersSent) {
      this.#raw.write(text);
      return;
    }
    socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  }

  #note(): void {
    this.#wroteAt = this.#options.clock.now();
    if (this.#raw.writableLength === 0) this.#takenAt = this.#wroteAt;
  }

  #drop(): void {
    this.#isEnding = true;
    this.#options.onSlowReader();
    this.#raw.destroy();
  }
}

/** One timer for all responses under way; none while there are none. */
export class Heartbeat {
  readonly #live = new Set<LiveResponse>();
  readonly #seconds: number;
  #timer: NodeJS.Timeout | null = null;

  /** @param seconds between two looks */
  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  add(response: LiveResponse): void {
    this.#live.add(response);
    this.#timer ??= setInterval(() => {
      for (const each of this.#live) each.check();
    }, this.#seconds * 1000);
  }

  delete(response: LiveResponse): void {
    this.#live.delete(response);
    if (this.#live.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
