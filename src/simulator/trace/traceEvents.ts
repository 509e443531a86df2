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

export function readEvent(event: unknown, index: number): EventReader {
  const refuse = (key: string, value: unknown, message: string): never => {
    throw new MoebiusError('trace.event', `event ${index}: "${key}" ${message}`, {
      values: { event: index, key, value },
      hint: 'Record the trace again, or take this event out of the file.',
    });
  };
  const fields = event as Json;
  const args = fields.args;
  const isObject = typeof args === 'object' && args !== null && !Array.isArray(args);
  if (args !== undefined && args !== null && !isObject) refuse('args', args, 'is no object');
  const { ph } = fields;
  if (typeof ph !== 'string') refuse('ph', ph, ph === undefined ? 'is missing' : 'is no text');
  const number = (key: string): number => {
    const value = fields[key];
    if (value === undefined) return refuse(key, value, 'is missing');
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      return refuse(key, value, 'is no finite number');
    }
    return value;
  };
  return {
    index,
    phase: String(ph),
    args: (isObject ? args : {}) as Json,
    text: (key) => {
      const value = fields[key];
      if (value === undefined || value === null) return '';
      return typeof value === 'string' ? value : refuse(key, value, 'is no text');
    },
    id: (key) => {
      const value = fields[key];
      if (value === undefined || value === null) return '';
      if (typeof value === 'string' || typeof value === 'number') return String(value);
      return refuse(key, value, 'is neither a number nor a text');
    },
    number,
    duration: () => {
      if (fields.dur === undefined || fields.dur === null) return null;
      const value = number('dur');
      return value < 0 ? refuse('dur', value, 'is negative') : value;
    },
    argument: (key) => {
      const value = (isObject ? (args as Json) : {})[key];
      if (value === undefined || value === null) return null;
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      return refuse(`args.${key}`, value, 'is no finite number');
    },
  };
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
