/**
 * Events on their way out of the kernel thread: what begins or ends goes at once, and a text that
 * is under way is told of so often that nobody sees it jump.
 *
 * A message costs the thread that speaks HTTP some half a millisecond on a core that the kernels
 * are using. Of a step of 5 ms that is a tenth, of one of 1 ms half. Nobody reads 50 tokens a
 * second, so texts that grow faster may as well grow by several at a time.
 */
import type { EngineEvent } from '../../serving/engineClient.ts';

export class EventOutbox {
  readonly #seconds: number;
  /** By request, in the order in which they came. */
  readonly #held = new Map<string, EngineEvent>();
  /** Requests that were told of tokens already. */
  readonly #begun = new Set<string>();
  #hasNews = false;
  #takenAt = Number.NEGATIVE_INFINITY;

  /** @param seconds between two messages that only go on with texts; 0: each step has its own */
  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** Something begins or ends. */
  get hasNews(): boolean {
    return this.#hasNews;
  }

  add(events: readonly EngineEvent[]): void {
    for (const event of events) {
      const { requestId } = event;
      const held = this.#held.get(requestId);
      this.#held.set(requestId, held === undefined ? event : joined(held, event));
      if (this.#isNews(event)) this.#hasNews = true;
    }
  }

  /** Whether it is time: no event is held longer, unless a step takes longer. */
  isDue(now: number): boolean {
    return !this.isEmpty && (this.#hasNews || now - this.#takenAt >= this.#seconds);
  }

  take(now: number): readonly EngineEvent[] {
    const events = [...this.#held.values()];
    this.#held.clear();
    this.#hasNews = false;
    this.#takenAt = now;
    return events;
  }

  #isNews({ requestId, tokens, started, end }: EngineEvent): boolean {
    if (end !== undefined) {
      this.#begun.delete(requestId);
      return true;
    }
    const isFirst = tokens.length > 0 && !this.#begun.has(requestId);
    if (isFirst) this.#begun.add(requestId);
    return isFirst || started !== undefined;
  }
}

/** Two events of one request, as if one step had done both. */
function joined(first: EngineEvent, second: EngineEvent): EngineEvent {
  const text = first.text + second.text;
  return { ...first, ...second, text, tokens: [...first.tokens, ...second.tokens] };
}
