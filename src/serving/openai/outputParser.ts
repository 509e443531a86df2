/**
 * Cuts a model's output into thinking, content and tool calls, as it streams.
 *
 *   <think> REASONING </think> CONTENT <calls> <call>function<sep>NAME\n```json\n{…}\n```</call> …
 *
 * What may yet become a marker or a closing fence is held back, so the parts joined are the same
 * however the text was cut; and every character comes out in exactly one span, hidden ones too, so
 * that tokens can be matched with what is shown.
 */
import { assert } from '../../base/assert.ts';
import type { TextItem } from './alignedText.ts';
import {
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
  CALLS_BEGIN,
  CALLS_END,
  type CallForm,
  isControl,
  THINK_BEGIN,
  THINK_END,
} from './markers.ts';

export type Span =
  | { readonly kind: 'reasoning' | 'content' | 'arguments'; readonly text: string }
  /** Markers, fences, names and the blank lines around thinking. */
  | { readonly kind: 'hidden'; readonly text: string; readonly of: 'thinking' | 'other' }
  | { readonly kind: 'callBegin'; readonly name: string }
  /** `isWhole`: the model ended it, not the end of the output. */
  | { readonly kind: 'callEnd'; readonly isWhole: boolean };

export interface ParserOptions {
  /** Whether the prompt opened the thinking already. */
  readonly starts: 'thinking' | 'content';
  /** `none`: markers of calls are no calls, and are not shown. */
  readonly calls: CallForm | 'none';
  /** Markers that the tokenizer has as one token: only that token counts. */
  readonly tokenMarkers: ReadonlySet<string>;
}

type State = 'start' | 'thinking' | 'content' | 'calls' | 'head' | 'name' | 'fence' | 'arguments';

const CALL_MARKERS = [CALL_BEGIN, CALL_END, CALLS_END];

export class OutputParser {
  readonly #options: ParserOptions;
  #state: State;
  /** The tail of the text that may become a marker. */
  #open = '';
  /** Text of the present state that is not decided. */
  #held = '';
  /** Blank lines are passed over: nothing of this part was shown yet. */
  #trims: boolean;
  /** What stood before a call's separator, or its name so far. */
  #head = '';
  #spans: Span[] = [];

  constructor(options: ParserOptions) {
    this.#options = options;
    this.#state = options.starts === 'thinking' ? 'thinking' : 'start';
    this.#trims = this.#state === 'thinking';
  }

  push(item: TextItem): readonly Span[] {
    const { added, text } = item;
    if (added === null) this.#plain(text);
    else if (this.#isToken(text)) {
      this.#flushOpen();
      if (!this.#mark(text)) this.#hide(text);
    } else if (isControl(added.content, added.isSpecial)) {
      this.#flushOpen();
      this.#hide(text);
    } else this.#plain(text);
    return this.#taken();
  }

  /**
   * The end of the output: what was held back became nothing else.
   *
   * @param how `stop`: the model, or a stop string, ended it, and an open call with it
   */
  end(how: 'stop' | 'cut'): readonly Span[] {
    this.#flushOpen();
    this.#leave(how);
    return this.#taken();
  }

  #taken(): readonly Span[] {
    const spans = this.#spans;
    this.#spans = [];
    return spans;
  }

  #isToken(text: string): boolean {
    return this.#options.tokenMarkers.has(text);
  }

  /** Text in which markers may be spelled, where the tokenizer has no tokens for them. */
  #plain(text: string): void {
    this.#open += text;
    while (true) {
      const markers = this.#awaited().filter((marker) => !this.#isToken(marker));
      const found = firstOf(this.#open, markers);
      if (found === null) {
        const keep = openTail(this.#open, markers);
        const sure = this.#open.slice(0, this.#open.length - keep);
        this.#open = this.#open.slice(sure.length);
        if (sure !== '') this.#text(sure);
        // The text may have led to a state with other markers.
        if (keep === 0 || sure === '') return;
        continue;
      }
      const before = this.#open.slice(0, found.at);
      this.#open = this.#open.slice(found.at);
      if (before !== '') {
        this.#text(before);
        continue;
      }
      this.#open = this.#open.slice(found.marker.length);
      assert(this.#mark(found.marker), `a marker that is awaited counts: ${found.marker}`);
    }
  }

  #flushOpen(): void {
    const text = this.#open;
    this.#open = '';
    if (text !== '') this.#text(text);
  }

  /** Markers that mean something now. */
  #awaited(): readonly string[] {
    const calls = this.#options.calls === 'none' ? [] : [CALLS_BEGIN];
    switch (this.#state) {
      case 'start':
        return [THINK_BEGIN, ...calls];
      case 'content':
        return calls;
      case 'thinking':
        return [THINK_END];
      case 'calls':
        return [CALL_BEGIN, CALLS_END];
      case 'head':
        return [CALL_SEPARATOR, ...CALL_MARKERS];
      case 'name':
      case 'fence':
      case 'arguments':
        return CALL_MARKERS;
      default:
        return this.#state satisfies never;
    }
  }

  /** Goes on behind a marker; false where it means nothing. */
  #mark(marker: string): boolean {
    if (!this.#awaited().includes(marker)) return false;
    this.#leave('marker');
    const of = marker === THINK_BEGIN || marker === THINK_END ? 'thinking' : 'other';
    this.#spans.push({ kind: 'hidden', text: marker, of });
    this.#trims = true;
    switch (marker) {
      case THINK_BEGIN:
        this.#state = 'thinking';
        return true;
      case THINK_END:
      case CALLS_END:
        this.#state = 'content';
        return true;
      case CALLS_BEGIN:
      case CALL_END:
        this.#state = 'calls';
        return true;
      case CALL_BEGIN:
        this.#state = 'head';
        this.#head = '';
        return true;
      default: {
        const isFenced = this.#options.calls === 'fenced' && this.#head.trim() === 'function';
        if (!isFenced) this.#beginCall();
        else {
          this.#state = 'name';
          this.#head = '';
        }
        return true;
      }
    }
  }

  #beginCall(): void {
    this.#spans.push({ kind: 'callBegin', name: this.#head.trim() });
    this.#state = 'fence';
  }

  /** A control token that means nothing here. */
  #hide(text: string): void {
    // What is held comes first, or the order of characters is lost.
    const held = this.#release();
    if (this.#state === 'fence') this.#hidden(held);
    else this.#show(held);
    if (this.#state === 'start' && held !== '') this.#state = 'content';
    this.#hidden(text);
  }

  #release(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #text(text: string): void {
    switch (this.#state) {
      case 'start': {
        // White space before `<think>` is not content.
        this.#held += text;
        if (this.#held.trim() === '') return;
        this.#state = 'content';
        this.#trims = false;
        this.#show(this.#release());
        return;
      }
      case 'thinking': {
        const all = this.#trimmed(this.#release() + text, /^\n*/);
        const shown = all.replace(/\n+$/, '');
        this.#held = all.slice(shown.length);
        this.#show(shown);
        return;
      }
      case 'content':
        this.#show(this.#trimmed(text, /^\n*/));
        return;
      case 'calls':
        this.#show(this.#trimmed(text, /^\s*/));
        return;
      case 'head':
        this.#head += text;
        this.#hidden(text);
        return;
      case 'name':
        this.#name(text);
        return;
      case 'fence':
        this.#fence(text);
        return;
      case 'arguments':
        this.#arguments(text);
        return;
      default:
        this.#state satisfies never;
    }
  }

  #trimmed(text: string, blank: RegExp): string {
    if (!this.#trims) return text;
    const length = blank.exec(text)?.[0].length ?? 0;
    this.#hidden(text.slice(0, length));
    if (length < text.length) this.#trims = false;
    return text.slice(length);
  }

  #name(text: string): void {
    const end = text.search(/[\n{`]/);
    const part = end < 0 ? text : text.slice(0, end);
    this.#head += part;
    this.#hidden(part);
    if (end < 0) return;
    this.#beginCall();
    this.#fence(text.slice(end));
  }

  /** Blank space and the opening fence, up to the end of its line. */
  #fence(text: string): void {
    this.#held += text;
    const start = this.#held.trimStart();
    if ('```'.startsWith(start)) return;
    const fence = /^```[A-Za-z]*/.exec(start)?.[0] ?? '';
    const body = start.slice(fence.length).trimStart();
    if (body === '') return;
    const all = this.#release();
    this.#hidden(all.slice(0, all.length - body.length));
    this.#state = 'arguments';
    this.#arguments(body);
  }

  #arguments(text: string): void {
    const all = this.#release() + text;
    const end = closingFence(all);
    this.#held = all.slice(end);
    this.#show(all.slice(0, end));
  }

  /** Decides what is held when its state is over. */
  #leave(why: 'marker' | 'stop' | 'cut'): void {
    const held = this.#release();
    switch (this.#state) {
      case 'start':
      case 'thinking':
        if (why === 'marker') this.#hidden(held);
        else this.#show(held);
        return;
      case 'name':
        if (why === 'cut') return;
        this.#beginCall();
        this.#spans.push({ kind: 'callEnd', isWhole: true });
        return;
      case 'fence':
        this.#hidden(held);
        this.#spans.push({ kind: 'callEnd', isWhole: why !== 'cut' });
        return;
      case 'arguments':
        // Cut off inside the arguments: blank space may be part of a string.
        if (why === 'cut' && !held.includes('`')) this.#show(held);
        else this.#hidden(held);
        this.#spans.push({ kind: 'callEnd', isWhole: why !== 'cut' });
        return;
      case 'content':
      case 'calls':
      case 'head':
        return;
      default:
        this.#state satisfies never;
    }
  }

  #hidden(text: string): void {
    const of = this.#state === 'thinking' ? 'thinking' : 'other';
    if (text !== '') this.#spans.push({ kind: 'hidden', text, of });
  }

  #show(text: string): void {
    if (this.#state === 'thinking') this.#spans.push(...spansOf('reasoning', text));
    else if (this.#state === 'arguments') this.#spans.push(...spansOf('arguments', text));
    else this.#spans.push(...spansOf('content', text));
  }
}

function spansOf(kind: 'reasoning' | 'content' | 'arguments', text: string): readonly Span[] {
  return text === '' ? [] : [{ kind, text }];
}

function firstOf(
  text: string,
  markers: readonly string[],
): { readonly marker: string; readonly at: number } | null {
  let first: { marker: string; at: number } | null = null;
  for (const marker of markers) {
    const at = text.indexOf(marker);
    if (at >= 0 && (first === null || at < first.at)) first = { marker, at };
  }
  return first;
}

/** Length of the longest tail that begins one of the markers. */
function openTail(text: string, markers: readonly string[]): number {
  let longest = 0;
  for (const marker of markers) {
    for (let n = Math.min(marker.length - 1, text.length); n > longest; n--) {
      if (text.endsWith(marker.slice(0, n))) longest = n;
    }
  }
  return longest;
}

/** Where a tail begins that may close the fence: blanks, up to three ticks, blanks. */
function closingFence(text: string): number {
  let at = text.trimEnd().length;
  for (let ticks = 0; ticks < 3 && text[at - 1] === '`'; ticks++) at--;
  return text.slice(0, at).trimEnd().length;
}
