/**
 * One event of a Chrome trace, checked: numbers are numbers, and what is wrong is named by the
 * event's index and key. Which keys mean what: the Trace Event Format; PyTorch's additions
 * (`correlation`, `External id`, `grid`) are those of its profiler (Kineto).
 */
import { MoebiusError } from '../../base/errors.ts';

export type Json = Readonly<Record<string, unknown>>;

/** Checks keys of one event and names them where they are wrong. */
export interface EventReader {
  readonly index: number;
  readonly phase: string;
  readonly args: Json;
  text(key: string): string;
  /** Of `pid`, `tid` and flow ids, which may be numbers or texts. */
  id(key: string): string;
  /** @throws trace.event when it is absent or no finite number */
  number(key: string): number;
  /** A duration, not negative; null where the key is absent. */
  duration(): number | null;
  /** A number below `args`, null where it is absent. */
  argument(key: string): number | null;
}

/** @throws trace.event when it has no phase or arguments that are no object */
export function readEvent(event: unknown, index: number): EventReader {
  return new CheckedEvent(event as Json, index);
}

const NO_ARGUMENTS: Json = {};

/** A class, for a trace has a million events and a closure for each of seven keys is slow. */
class CheckedEvent implements EventReader {
  readonly index: number;
  readonly phase: string;
  readonly args: Json;
  readonly #fields: Json;

  constructor(fields: Json, index: number) {
    this.index = index;
    this.#fields = fields;
    const { args, ph } = fields;
    const isObject = typeof args === 'object' && args !== null && !Array.isArray(args);
    if (args !== undefined && args !== null && !isObject) this.#refuse('args', 'is no object');
    if (typeof ph !== 'string') this.#refuse('ph', ph === undefined ? 'is missing' : 'is no text');
    this.phase = String(ph);
    this.args = isObject ? (args as Json) : NO_ARGUMENTS;
  }

  text(key: string): string {
    const value = this.#fields[key];
    if (typeof value === 'string') return value;
    if (value === undefined || value === null) return '';
    return this.#refuse(key, 'is no text');
  }

  id(key: string): string {
    const value = this.#fields[key];
    if (value === undefined || value === null) return '';
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    return this.#refuse(key, 'is neither a number nor a text');
  }

  number(key: string): number {
    const value = this.#fields[key];
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    return this.#refuse(key, value === undefined ? 'is missing' : 'is no finite number');
  }

  duration(): number | null {
    const { dur } = this.#fields;
    if (dur === undefined || dur === null) return null;
    const value = this.number('dur');
    return value < 0 ? this.#refuse('dur', 'is negative') : value;
  }

  argument(key: string): number | null {
    const value = this.args[key];
    if (value === undefined || value === null) return null;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    return refuseEvent(this.index, `args.${key}`, { value, message: 'is no finite number' });
  }

  #refuse(key: string, message: string): never {
    return refuseEvent(this.index, key, { value: this.#fields[key], message });
  }
}

function refuseEvent(
  index: number,
  key: string,
  { value, message }: { readonly value: unknown; readonly message: string },
): never {
  throw new MoebiusError('trace.event', `event ${index}: "${key}" ${message}`, {
    values: { event: index, key, value },
    hint: 'Record the trace again, or take this event out of the file.',
  });
}

/** Blocks of a kernel's grid, null where there is none. */
export function blocksOf({ args, index }: EventReader): number | null {
  const { grid } = args;
  if (grid === undefined || grid === null) return null;
  const isGrid = Array.isArray(grid) && grid.every((each) => Number.isInteger(each) && each > 0);
  if (!isGrid) {
    throw new MoebiusError('trace.event', `event ${index}: "args.grid" is no list of counts`, {
      values: { event: index, key: 'args.grid', value: grid },
      hint: 'Record the trace again, or take this event out of the file.',
    });
  }
  return (grid as number[]).reduce((product, each) => product * each, 1);
}
