/**
 * The address is the state: `#/timeline?pp=8&microBatches=20` names a view and what it shows, so a
 * link is all one needs to send. A view declares its parameters with types, reads them out of the
 * text of an address, and writes only what differs from the defaults:
 *
 *     const shape = { pp: integer({ fallback: 8, least: 1, most: 64 }), name: text('') };
 *     const { pp } = readParameters(shape, parameters);
 *     setParameters(writeParameters(shape, { pp: 16 }));
 *
 * An address may have been typed by hand: what makes no sense reads as the default.
 */

export type ViewName = 'runs' | 'experts' | 'chat' | 'timeline' | 'planner';

export const VIEWS: readonly ViewName[] = ['runs', 'experts', 'chat', 'timeline', 'planner'];

/** As they stand in an address. */
export type Parameters = Readonly<Record<string, string>>;

/** Changes to an address: a key with undefined, or the empty text, leaves it. */
export type ParameterChanges = Readonly<Record<string, string | undefined>>;

export interface Route {
  readonly view: ViewName;
  readonly parameters: Parameters;
}

/** What the shell gives each view. */
export interface ViewProperties {
  readonly parameters: Parameters;
  /** Merges into the address without a new entry in the history, so it may follow a slider. */
  readonly setParameters: (changes: ParameterChanges) => void;
}

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = splitOnce(hash.replace(/^#?\/?/, ''), '?');
  const view = VIEWS.find((each) => each === path) ?? 'runs';
  return { view, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

export function formatRoute({ view, parameters }: Route): string {
  const query = new URLSearchParams(parameters).toString();
  return `#/${view}${query === '' ? '' : `?${query}`}`;
}

export function changeParameters(parameters: Parameters, changes: ParameterChanges): Parameters {
  const entries = Object.entries({ ...parameters, ...changes });
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  );
}

/** One typed parameter. `read` gives undefined for what makes no sense. */
export interface Parameter<T> {
  readonly fallback: T;
  readonly read: (written: string) => T | undefined;
  readonly write: (value: T) => string;
}

export function readParameters<T extends object>(shape: Shape<T>, parameters: Parameters): T {
  const values: Partial<T> = {};
  for (const key of Object.keys(shape) as (keyof T & string)[]) {
    const written = parameters[key];
    const value = written === undefined ? undefined : shape[key].read(written);
    values[key] = value ?? shape[key].fallback;
  }
  return values as T;
}

/** Changes for an address; a value that is the default is left out of it. */
export function writeParameters<T extends object>(
  shape: Shape<T>,
  values: Partial<T>,
): ParameterChanges {
  const changes: Record<string, string | undefined> = {};
  for (const key of Object.keys(values) as (keyof T & string)[]) {
    const { write, fallback } = shape[key];
    const value = values[key] as T[keyof T & string] | undefined;
    const written = value === undefined ? undefined : write(value);
    changes[key] = written === write(fallback) ? undefined : written;
  }
  return changes;
}

export type Shape<T> = { readonly [Key in keyof T]: Parameter<T[Key]> };

export interface NumberBounds {
  readonly fallback: number;
  readonly least?: number;
  readonly most?: number;
}

export function integer(bounds: NumberBounds): Parameter<number> {
  return { ...number(bounds), read: (written) => readNumber(written, bounds, Number.isInteger) };
}

export function number(bounds: NumberBounds): Parameter<number> {
  return {
    fallback: bounds.fallback,
    read: (written) => readNumber(written, bounds, Number.isFinite),
    write: String,
  };
}

export function text(fallback: string): Parameter<string> {
  return { fallback, read: (written) => written, write: (value) => value };
}

export function choice<T extends string>(choices: readonly T[], fallback: T): Parameter<T> {
  return {
    fallback,
    read: (written) => choices.find((each) => each === written),
    write: (value) => value,
  };
}

/** Names with commas between them; a comma inside a name is escaped. */
export function list(fallback: readonly string[]): Parameter<readonly string[]> {
  return {
    fallback,
    read: (written) =>
      written === '' ? [] : written.split(',').map((part) => part.replaceAll('%2C', ',')),
    write: (value) => value.map((part) => part.replaceAll(',', '%2C')).join(','),
  };
}

function readNumber(
  written: string,
  { least = -Infinity, most = Infinity }: NumberBounds,
  isOfKind: (value: number) => boolean,
): number | undefined {
  const value = written.trim() === '' ? Number.NaN : Number(written);
  return isOfKind(value) && value >= least && value <= most ? value : undefined;
}

function splitOnce(whole: string, separator: string): readonly [string, string] {
  const index = whole.indexOf(separator);
  return index < 0 ? [whole, ''] : [whole.slice(0, index), whole.slice(index + 1)];
}
