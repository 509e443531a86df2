/**
 * Reads the JSON of a Chrome trace piece by piece, so that a file of hundreds of megabytes never
 * stands in memory as one text or one tree.
 *
 * Only the brackets are followed by hand: a top-level array, or an object whose `traceEvents` is
 * one. The events that end within one piece go to `JSON.parse` together, which is twice as fast as
 * one by one. What else lies at the top of an object (`deviceProperties`, `distributedInfo` …) is
 * kept when it is small.
 */
import { MoebiusError } from '../../base/errors.ts';

export interface TraceScanner {
  /** Takes the next bytes of the file. */
  push(bytes: Uint8Array): void;
  /** @throws trace.malformed where the file ends too early or holds no list of events */
  end(): ScannedTop;
}

export interface ScannedTop {
  readonly numEvents: number;
  /** Small values beside `traceEvents`, by key. */
  readonly properties: Readonly<Record<string, unknown>>;
  /** An array may lack its last bracket: the format allows it for recorders that are killed. */
  readonly isClosed: boolean;
}

/** Longer texts beside the events are not kept. */
const MAX_PROPERTY_BYTES = 1 << 20;
/** No event is this long; a text that is has lost a quotation mark. */
const MAX_EVENT_BYTES = 1 << 25;

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

type Place = 'start' | 'key' | 'colon' | 'value' | 'afterValue' | 'event' | 'afterEvent' | 'done';

/** A JSON value whose end has not been seen yet. */
interface Capture {
  depth: number;
  isString: boolean;
  isEscaped: boolean;
  /** A number or word: ends before a comma, bracket or blank. */
  readonly isWord: boolean;
  readonly pieces: Uint8Array[];
  bytes: number;
}

export function scanTrace(onEvent: (event: unknown, index: number) => void): TraceScanner {
  const decoder = new TextDecoder();
  const properties: Record<string, unknown> = Object.create(null);
  let place: Place = 'start';
  let isArray = false;
  let hasEvents = false;
  let key = '';
  let numEvents = 0;
  let offset = 0;
  let capture: Capture | null = null;
  /** Where whole events of the piece at hand begin and end, not parsed yet. */
  const waiting: number[] = [];

  function refuse(message: string, hint = HINT): never {
    throw new MoebiusError('trace.malformed', message, {
      values: { byte: offset, events: numEvents },
      hint,
    });
  }

  function parse(text: string, what: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new MoebiusError('trace.malformed', `${what} is no JSON`, {
        values: { text: text.slice(0, 200), reason: (cause as Error).message },
        hint: HINT,
        cause,
      });
    }
  }

  /** Parses the events that wait: between them are commas and blanks, as in an array. */
  function flush(bytes: Uint8Array): void {
    if (waiting.length === 0) return;
    const first = numEvents - waiting.length / 2;
    const text = decoder.decode(bytes.subarray(waiting[0], waiting.at(-1)));
    let events: readonly unknown[];
    try {
      events = JSON.parse(`[${text}]`) as unknown[];
    } catch {
      // One of them is wrong: which one is found by asking for each.
      events = Array.from({ length: waiting.length / 2 }, (_, index) => {
        const one = bytes.subarray(waiting[2 * index], waiting[2 * index + 1]);
        return parse(decoder.decode(one), `event ${first + index}`);
      });
    }
    waiting.length = 0;
    for (let index = 0; index < events.length; index++) onEvent(events[index], first + index);
  }

  /** A value is whole. */
  function finish(text: string): void {
    if (place === 'event') {
      onEvent(parse(text, `event ${numEvents}`), numEvents);
      numEvents++;
      place = 'afterEvent';
    } else if (place === 'key') {
      key = String(parse(text, 'a key at the top of the file'));
      place = 'colon';
    } else {
      if (text.length > 0) properties[key] = parse(text, `the value of "${key}"`);
      place = 'afterValue';
    }
  }

  /** Goes on with an open value; gives the index after the last byte that belongs to it. */
  function follow(bytes: Uint8Array, from: number, open: Capture): number {
    let { depth, isString, isEscaped } = open;
    let i = from;
    let isWhole = false;
    for (; i < bytes.length && !isWhole; i++) {
      let byte = bytes[i];
      if (isString) {
        // Most bytes are letters within quotation marks.
        while (!isEscaped && byte !== QUOTE && byte !== BACKSLASH && i + 1 < bytes.length) {
          byte = bytes[++i];
        }
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH) isEscaped = true;
        else if (byte === QUOTE) {
          isString = false;
          isWhole = depth === 0;
        }
      } else if (open.isWord) {
        if (byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_ARRAY || isBlank(byte)) {
          isWhole = true;
          break;
        }
      } else if (byte === QUOTE) isString = true;
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) isWhole = --depth === 0;
    }
    open.depth = depth;
    open.isString = isString;
    open.isEscaped = isEscaped;
    open.bytes += i - from;
    const isKept = place === 'event' || open.bytes <= MAX_PROPERTY_BYTES;
    if (!isKept) open.pieces.length = 0;
    else if (place === 'event' && open.bytes > MAX_EVENT_BYTES) {
      refuse(`event ${numEvents} has no end within ${MAX_EVENT_BYTES} bytes`);
    }
    if (isWhole) {
      capture = null;
      if (place === 'event' && open.pieces.length === 0) {
        waiting.push(from, i);
        numEvents++;
        place = 'afterEvent';
      } else if (!isKept) finish('');
      else if (open.pieces.length === 0) finish(decoder.decode(bytes.subarray(from, i)));
      else finish(decoder.decode(joined([...open.pieces, bytes.subarray(from, i)])));
    } else if (isKept) open.pieces.push(bytes.slice(from, i));
    return i;
  }

  function beginsValue(byte: number): void {
    capture = {
      depth: 0,
      isString: false,
      isEscaped: false,
      isWord: byte !== QUOTE && byte !== OPEN_OBJECT && byte !== OPEN_ARRAY,
      pieces: [],
      bytes: 0,
    };
  }

  /** A byte between values; true where it is the first of one. */
  function step(byte: number): boolean {
    switch (place) {
      case 'start':
        isArray = byte === OPEN_ARRAY;
        if (!isArray && byte !== OPEN_OBJECT) {
          refuse(`a trace begins with [ or {, not with ${shown(byte)}`);
        }
        hasEvents = isArray;
        place = isArray ? 'event' : 'key';
        return false;
      case 'key':
        if (byte === CLOSE_OBJECT) place = 'done';
        else if (byte === QUOTE) return true;
        else refuse(`a key should follow, not ${shown(byte)}`);
        return false;
      case 'colon':
        if (byte !== COLON) refuse(`a colon should follow the key "${key}", not ${shown(byte)}`);
        place = 'value';
        return false;
      case 'value':
        if (key !== 'traceEvents') return true;
        if (hasEvents) refuse('"traceEvents" is there twice');
        if (byte !== OPEN_ARRAY) refuse(`"traceEvents" is no array: it begins with ${shown(byte)}`);
        hasEvents = true;
        place = 'event';
        return false;
      case 'afterValue':
        if (byte === COMMA) place = 'key';
        else if (byte === CLOSE_OBJECT) place = 'done';
        else refuse(`a comma should follow the value of "${key}", not ${shown(byte)}`);
        return false;
      case 'event':
        // A comma before the last bracket is wrong JSON, and what some recorders write.
        if (byte === CLOSE_ARRAY) place = isArray ? 'done' : 'afterValue';
        else if (byte === OPEN_OBJECT) return true;
        else refuse(`event ${numEvents} is no object: it begins with ${shown(byte)}`);
        return false;
      case 'afterEvent':
        if (byte === COMMA) place = 'event';
        else if (byte === CLOSE_ARRAY) place = isArray ? 'done' : 'afterValue';
        else refuse(`a comma should follow event ${numEvents - 1}, not ${shown(byte)}`);
        return false;
      case 'done':
        return refuse(`${shown(byte)} follows the end of the trace`);
      default:
        return place satisfies never;
    }
  }

  return {
    push: (bytes) => {
      const before = offset;
      let i = before === 0 && bytes[0] === 0xef && bytes[1] === 0xbb ? 3 : 0;
      try {
        while (i < bytes.length) {
          if (capture === null) {
            const byte = bytes[i] ?? 0;
            offset = before + i;
            if (isBlank(byte) || !step(byte)) {
              i++;
              continue;
            }
            beginsValue(byte);
          }
          if (capture !== null) i = follow(bytes, i, capture);
        }
      } finally {
        // What is wrong with an event is told before what is wrong behind it.
        flush(bytes);
      }
      offset = before + bytes.length;
    },
    end: () => {
      if (offset === 0 || place === 'start') refuse('the trace is empty', EMPTY_HINT);
      if (capture !== null && place === 'event') refuse(`the file ends inside event ${numEvents}`);
      const isOpenArray = isArray && (place === 'event' || place === 'afterEvent');
      if (place !== 'done' && !isOpenArray) refuse('the file ends before its last bracket');
      if (!hasEvents) {
        throw new MoebiusError('trace.malformed', 'the file has no "traceEvents"', {
          values: { keys: Object.keys(properties) },
          hint: 'Give a Chrome trace: an array of events, or an object with "traceEvents".',
        });
      }
      return { numEvents, properties, isClosed: !isOpenArray };
    },
  };
}

const HINT = 'Record or export the trace again; this file is cut or damaged.';
const EMPTY_HINT = 'Give a Chrome trace, as PyTorch’s profiler or `moebius plan train` writes it.';

function shown(byte: number): string {
  return JSON.stringify(String.fromCharCode(byte));
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
