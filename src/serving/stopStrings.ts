/**
 * Text that may be shown: everything up to a stop string, and nothing that may yet become one.
 *
 * A stop string can be spread over tokens, so the tail that is a prefix of one is held back until
 * it is decided. What follows a stop string, and the string itself, is never shown.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';
  #stop: string | null = null;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop.length > 0);
  }

  get isStopped(): boolean {
    return this.#stop !== null;
  }

  /** The one that ended the text. */
  get stop(): string | null {
    return this.#stop;
  }

  /** Takes new text and gives what may be shown now. */
  push(text: string): string {
    if (this.#stop !== null) return '';
    const all = this.#held + text;
    const first = firstStop(all, this.#stops);
    if (first !== null) {
      this.#stop = first;
      this.#held = '';
      return all.slice(0, all.indexOf(first));
    }
    const keep = longestOpenPrefix(all, this.#stops);
    this.#held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** The end of the text: what was held back turned out to be no stop string. */
  end(): string {
    const rest = this.isStopped ? '' : this.#held;
    this.#held = '';
    return rest;
  }
}

/**
 * Before which the text ends: the stop string that is complete first, for a stream stops there and
 * never learns whether a longer one was under way. Of two that end together the longer counts.
 */
function firstStop(text: string, stops: readonly string[]): string | null {
  let first: string | null = null;
  let firstIndex = -1;
  let firstEnd = Number.POSITIVE_INFINITY;
  for (const stop of stops) {
    const index = text.indexOf(stop);
    if (index < 0) continue;
    const end = index + stop.length;
    if (end > firstEnd || (end === firstEnd && index > firstIndex)) continue;
    first = stop;
    firstIndex = index;
    firstEnd = end;
  }
  return first;
}

/** Length of the longest tail of the text that begins a stop string. */
function longestOpenPrefix(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
      if (text.endsWith(stop.slice(0, n))) longest = n;
    }
  }
  return longest;
}
