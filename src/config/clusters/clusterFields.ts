/**
 * Every value that a cluster's description has, by its path: what it is, its unit, and what it
 * counts for (one GPU, one NIC, one node), so that a file, `--what-if` and the report speak of the
 * same numbers in the same words. Bandwidths of links say whether they are meant one way or both:
 * data sheets give NVLink both ways and networks one way, and a slip is a factor of two.
 */
import { assert } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { type Dimension, formatQuantity, parseQuantity, withoutUnit } from '../../base/quantity.ts';

type Share = 'gpu' | 'nic' | 'node';

export type ClusterField =
  | { readonly kind: 'text' }
  | { readonly kind: 'choice'; readonly of: readonly (string | number | boolean | null)[] }
  | { readonly kind: 'count'; readonly least: number }
  /** A number without a unit. */
  | { readonly kind: 'factor'; readonly least: number; readonly most: number }
  | { readonly kind: 'list' }
  | {
      readonly kind: 'quantity';
      readonly dimension: Dimension;
      /** What it is one of; a text may say "per node" instead and is divided. */
      readonly per?: Share;
      /** `said`: the text must say "one way" or "both ways". `line`: one way unless it says so. */
      readonly direction?: 'said' | 'line';
      readonly mayBeZero?: true;
      readonly mayBeNull?: true;
    };

const link = { kind: 'quantity', dimension: 'bytesPerSecond' } as const;
const time = { kind: 'quantity', dimension: 'seconds', mayBeZero: true } as const;
const flops = { kind: 'quantity', dimension: 'flopsPerSecond' } as const;
const memory = { kind: 'quantity', dimension: 'bytes' } as const;
const share = { kind: 'factor', least: Number.MIN_VALUE, most: 1 } as const;
const flag = { kind: 'choice', of: [true, false] } as const;

export const clusterFields: Readonly<Record<string, ClusterField>> = {
  name: { kind: 'text' },
  numGpus: { kind: 'count', least: 1 },
  gpusPerNode: { kind: 'count', least: 1 },
  'gpu.name': { kind: 'text' },
  'gpu.numSms': { kind: 'count', least: 1 },
  'gpu.peakFlops.bf16': flops,
  'gpu.peakFlops.fp8': { ...flops, mayBeNull: true },
  'gpu.vectorFlops': flops,
  'gpu.memoryBytes': memory,
  'gpu.memoryBytesPerSecond': link,
  'gpu.fp8Accumulation': { kind: 'choice', of: ['promoted', 'fp32', null] },
  'gpu.launchSeconds': time,
  'scaleUp.kind': { kind: 'choice', of: ['nvlink', 'pcie', 'hccs', 'xgmi'] },
  'scaleUp.domainSize': { kind: 'count', least: 1 },
  'scaleUp.bytesPerSecond': { ...link, per: 'gpu', direction: 'said' },
  'scaleUp.achievableShare': share,
  'scaleUp.latencySeconds': time,
  'scaleOut.kind': {
    kind: 'choice',
    of: ['multi-plane-fat-tree', 'multi-rail-fat-tree', 'fat-tree', 'none'],
  },
  'scaleOut.layers': { kind: 'choice', of: [2, 3] },
  'scaleOut.switchPorts': { kind: 'count', least: 2 },
  'scaleOut.nicsPerNode': { kind: 'count', least: 0 },
  'scaleOut.nicBytesPerSecond': { ...link, per: 'nic', direction: 'line', mayBeZero: true },
  'scaleOut.achievableShare': share,
  'scaleOut.leafLatencySeconds': time,
  'scaleOut.hopLatencySeconds': time,
  'scaleOut.oversubscription': { kind: 'factor', least: 1, most: 1000 },
  'scaleOut.routing': { kind: 'choice', of: ['static', 'ecmp', 'adaptive'] },
  'scaleOut.failedPlanes': { kind: 'list' },
  'scaleOut.failedUplinks': { kind: 'list' },
  'scaleOut.inNetworkMulticast': flag,
  'scaleOut.inNetworkReduce': flag,
  'scaleOut.unifiedScaleUpOut': flag,
  'host.memoryBytes': { ...memory, per: 'node' },
  'host.bytesPerSecond': { ...link, per: 'gpu', direction: 'said' },
  'price.dollarsPerGpuHour': {
    kind: 'quantity',
    dimension: 'dollarsPerHour',
    per: 'gpu',
    mayBeZero: true,
  },
  'price.wattsPerGpu': { kind: 'quantity', dimension: 'watts', per: 'gpu', mayBeZero: true },
  'price.pue': { kind: 'factor', least: 1, most: 10 },
  communicationSms: { kind: 'count', least: 0 },
};

/** How many GPUs and NICs a node has, for texts that say "per node". */
export interface NodeCounts {
  readonly gpusPerNode: number;
  readonly nicsPerNode: number;
}

/**
 * One value as a file or a command line gives it, in the units of `ClusterSpec`.
 *
 * @throws quantity.* and cluster.value, naming the path and how to write it
 */
export function readField(path: string, given: unknown, node: NodeCounts): unknown {
  const field = clusterFields[path];
  assert(field !== undefined, `${path} is no field of a cluster`);
  switch (field.kind) {
    case 'text':
      if (typeof given === 'string' && given !== '') return given;
      throw refused(path, given, 'is a name', `Give ${path} a text.`);
    case 'choice': {
      const value = given === 'none' && field.of.includes(null) ? null : given;
      if (field.of.some((each) => each === value)) return value;
      const words = field.of.map((each) => each ?? 'none').join(', ');
      throw refused(path, given, `is one of ${words}`, `Choose ${path} among ${words}.`);
    }
    case 'count':
      return readCount(path, given, field.least);
    case 'factor':
      return readFactor(path, given, field);
    case 'list':
      if (Array.isArray(given)) return given;
      throw refused(path, given, 'is a list', `Write ${path} as a list, [] when it is empty.`);
    case 'quantity':
      return readQuantity(path, given, field, node);
    default:
      field satisfies never;
      return undefined;
  }
}

/** The text that `readField` reads back to the same value; counts, names and lists as they are. */
export function writeField(path: string, value: unknown): unknown {
  const field = clusterFields[path];
  if (field?.kind !== 'quantity' || typeof value !== 'number') return value;
  const text = formatQuantity(value, field.dimension);
  return field.direction === undefined ? text : `${text} one way`;
}

function readCount(path: string, given: unknown, least: number): number {
  if (typeof given === 'number' && Number.isSafeInteger(given) && given >= least) return given;
  throw refused(
    path,
    given,
    `is a whole number of at least ${least}`,
    `Give ${path} a whole number of at least ${least}, without a unit.`,
  );
}

function readFactor(
  path: string,
  given: unknown,
  { least, most }: { least: number; most: number },
): number {
  const value =
    typeof given === 'string' && given.includes('%')
      ? parseQuantity(given, 'share', path)
      : typeof given === 'number'
        ? given
        : Number.NaN;
  if (value >= least && value <= most) return value;
  const range = least >= 1 ? `from ${least} to ${most}` : `above 0 and at most ${most}`;
  throw refused(path, given, `is a number ${range}`, `Give ${path} a number ${range}.`);
}

type Quantity = Extract<ClusterField, { kind: 'quantity' }>;

const QUALIFIER = /[\s,]*\b(both ways|one way|per gpu|per nic|per node)\b(?!-)/gi;

function readQuantity(path: string, given: unknown, field: Quantity, node: NodeCounts): unknown {
  if (field.mayBeNull && (given === null || given === 'none')) return null;
  if (typeof given !== 'string') throw withoutUnit(given, field.dimension, path);
  const words = [...given.matchAll(QUALIFIER)].map(([, word = '']) => word.toLowerCase());
  const value = parseQuantity(given.replaceAll(QUALIFIER, ''), field.dimension, path);
  if (value < 0 || (value === 0 && !field.mayBeZero)) {
    throw refused(path, given, 'is above zero', `Give ${path} a value above zero.`);
  }
  return (
    value *
    directionFactor(path, given, field, words) *
    shareFactor(path, given, field, {
      words,
      node,
    })
  );
}

function directionFactor(
  path: string,
  given: string,
  { direction }: Quantity,
  words: readonly string[],
): number {
  const isBoth = words.includes('both ways');
  const isOne = words.includes('one way');
  if (direction === undefined && (isBoth || isOne)) {
    throw refused(path, given, 'has no direction', 'Leave "one way" or "both ways" out.');
  }
  if (isBoth && isOne) throw refused(path, given, 'goes one way or both', 'Keep one of the two.');
  if (direction === 'said' && !isBoth && !isOne) {
    throw refused(
      path,
      given,
      'must say whether it is meant one way or both ways',
      `Write "${given} both ways" (as NVLink's data sheets mean it) or "${given} one way".`,
    );
  }
  return isBoth ? 0.5 : 1;
}

function shareFactor(
  path: string,
  given: string,
  { per }: Quantity,
  { words, node }: { words: readonly string[]; node: NodeCounts },
): number {
  const said = words.filter((word) => word.startsWith('per '));
  if (said.length === 0) return 1;
  const of = said[0]?.slice(4) as Share;
  if (per === undefined || said.length > 1) {
    throw refused(path, given, 'counts for one GPU', `Leave "${said.join(' ')}" out.`);
  }
  const numOf = { gpu: node.gpusPerNode, nic: node.nicsPerNode, node: 1 };
  if (numOf[of] === 0 || numOf[per] === 0) {
    throw refused(path, given, 'has nothing to be divided by', 'Set scaleOut.nicsPerNode.');
  }
  return numOf[of] / numOf[per];
}

function refused(path: string, given: unknown, rule: string, hint: string): MoebiusError {
  const shown = JSON.stringify(given) ?? String(given);
  return new MoebiusError('cluster.value', `${path} is ${shown}; it ${rule}`, {
    values: { [path]: given },
    hint,
  });
}
