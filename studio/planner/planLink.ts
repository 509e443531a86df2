/**
 * A plan is a link: everything that was asked stands in the address, under the names of the command
 * line, and what is the first plan's is left out.
 *
 *     #/planner?cluster=h100x1024&layout=any  ◄──►  { model: 'deepseek-v3', cluster: 'h100x1024' }
 *
 * A link may have been typed by hand or cut short on its way: what it cannot mean is refused by
 * name, because a plan of something else than what was sent would look just as right.
 */
import { MoebiusError, nearestName } from '../../src/base/errors.ts';
import type { ParameterChanges, Parameters } from '../app/router.ts';
import { firstRequest, type PlanRequest } from './planRequest.ts';

type Key = keyof PlanRequest;

/** How one option is written; reading throws what `refuse` makes. */
interface Written {
  readonly key: Key;
  readonly read: (text: string, name: string) => unknown;
  readonly write: (value: unknown) => string;
}

/** What an option that the first plan has, and this one has not, is written as. */
const OPEN = 'any';

const word: Pick<Written, 'read' | 'write'> = { read: (text) => text, write: String };

const flag: Pick<Written, 'read' | 'write'> = {
  read: (text, name) => {
    if (text === 'yes' || text === 'no') return text === 'yes';
    throw refuse(name, text, 'is yes or no', `Write ${name}=yes or ${name}=no.`);
  },
  write: (value) => (value === true ? 'yes' : 'no'),
};

function amount(least: number): Pick<Written, 'read' | 'write'> {
  return {
    read: (text, name) => {
      const value = text.trim() === '' ? Number.NaN : Number(text);
      if (Number.isFinite(value) && value >= least) return value;
      const wanted = `is a number of at least ${least}`;
      throw refuse(name, text, wanted, `Give ${name} a number of at least ${least}.`);
    },
    write: String,
  };
}

function count(least: number): Pick<Written, 'read' | 'write'> {
  return {
    read: (text, name) => {
      const value = amount(least).read(text, name) as number;
      if (Number.isSafeInteger(value)) return value;
      throw refuse(name, text, 'is a whole number', `Give ${name} a whole number.`);
    },
    write: String,
  };
}

function listOf(
  one: Pick<Written, 'read' | 'write'>,
  separator: string,
): Pick<Written, 'read' | 'write'> {
  return {
    read: (text, name) => text.split(separator).map((part) => one.read(part.trim(), name)),
    write: (value) => (value as readonly unknown[]).map(one.write).join(separator),
  };
}

/** Every option, by its name in a link. */
const written: Readonly<Record<string, Written>> = {
  model: { key: 'model', ...word },
  cluster: { key: 'cluster', ...word },
  gpus: { key: 'gpus', ...listOf(count(1), ',') },
  layout: { key: 'layout', ...word },
  search: { key: 'search', ...flag },
  schedule: { key: 'schedule', ...word },
  chunks: { key: 'chunks', ...count(2) },
  batch: { key: 'globalBatch', ...count(1) },
  microBatch: { key: 'microBatch', ...count(1) },
  length: { key: 'sequenceLength', ...count(2) },
  precision: { key: 'precision', ...word },
  recompute: { key: 'recompute', ...word },
  mtp: { key: 'mtp', ...flag },
  tokens: { key: 'tokens', ...amount(1) },
  imbalance: { key: 'imbalance', ...amount(1) },
  deadlineDays: { key: 'deadlineDays', ...amount(0) },
  budgetDollars: { key: 'budgetDollars', ...amount(0) },
  // Settings hold commas and equals signs, but never a semicolon.
  whatIf: { key: 'whatIf', ...listOf(word, ';') },
  ideas: { key: 'ideas', ...flag },
};

const names: readonly string[] = Object.keys(written);

/**
 * @throws planLink.unknown for a parameter that no plan has, naming the nearest; planLink.value for
 * one that cannot mean anything. Names of models, clusters and layouts are the planner's to refuse.
 */
export function readPlanLink(parameters: Parameters): PlanRequest {
  const request: Partial<Record<Key, unknown>> = { ...firstRequest };
  for (const [name, text] of Object.entries(parameters)) {
    const how = Object.hasOwn(written, name) ? written[name] : undefined;
    if (how === undefined) throw unknown(name);
    if (text === OPEN && !isRequired(how.key)) delete request[how.key];
    else request[how.key] = how.read(text, name);
  }
  return request as PlanRequest;
}

/** Changes for an address: every option, so that nothing of another plan stays behind. */
export function writePlanLink(request: PlanRequest): ParameterChanges {
  return Object.fromEntries(
    Object.entries(written).map(([name, { key, write }]) => {
      const [value, first] = [request[key], firstRequest[key]];
      if (value === undefined) return [name, first === undefined ? undefined : OPEN];
      if (Array.isArray(value) && value.length === 0) return [name, undefined];
      const text = write(value);
      return [name, first !== undefined && text === write(first) ? undefined : text];
    }),
  );
}

function isRequired(key: Key): boolean {
  return key === 'model' || key === 'cluster' || key === 'mtp';
}

function unknown(name: string): MoebiusError {
  const near = nearestName(name, names);
  return new MoebiusError('planLink.unknown', `a plan has no "${name}"`, {
    values: { name },
    hint: near === undefined ? `Use some of: ${names.join(', ')}.` : `Did you mean "${near}"?`,
  });
}

function refuse(name: string, text: string, wanted: string, hint: string): MoebiusError {
  return new MoebiusError('planLink.value', `${name}=${text}: ${name} ${wanted}`, {
    values: { [name]: text },
    hint,
  });
}
