/**
 * From whatever a YAML or JSON file held to a `ClusterSpec`:
 *
 *     extends: h800x2048
 *     numGpus: 1024
 *     scaleUp: { bytesPerSecond: 900 GB/s both ways }
 *     price: { dollarsPerGpuHour: $16/h per node }
 *
 * Every quantity carries its unit, every key is known, and what the file sets is marked as such
 * beside the origins of the numbers that it keeps.
 */
import { z } from 'zod';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { clusterFields, readField, writeField } from './clusterFields.ts';
import { findCluster, withNumGpus } from './clusters.ts';
import { validateCluster } from './validateCluster.ts';

type Tree = Readonly<Record<string, unknown>>;

const index = z.int().nonnegative();

const PLANES = z.array(index);
const UPLINKS = z.array(z.strictObject({ leaf: index, spine: index }));
const SOURCES: z.ZodType<ClusterSpec['sources']> = z.record(
  z.string(),
  z.strictObject({ kind: z.enum(['datasheet', 'measured', 'assumed']), note: z.string() }),
);

/** What a file may leave out when it extends nothing. */
const DEFAULTS: Tree = {
  'scaleOut.failedPlanes': [],
  'scaleOut.failedUplinks': [],
  'scaleOut.inNetworkMulticast': false,
  'scaleOut.inNetworkReduce': false,
  'scaleOut.unifiedScaleUpOut': false,
};

/** Read first: texts that say "per node" need them. */
const COUNTS = ['numGpus', 'gpusPerNode', 'scaleOut.nicsPerNode'];

/**
 * @param input the parsed file
 * @param source its name, for messages
 * @throws config.type, config.unknownKey, config.missingKey, quantity.*, cluster.*
 */
export function parseClusterSpec(input: unknown, source: string): ClusterSpec {
  if (!isTree(input)) {
    throw new MoebiusError('config.type', `${source}: a cluster is an object`, {
      hint: 'Begin with extends: h800x2048 and change what differs.',
    });
  }
  const { extends: parent, sources: origins, ...rest } = input;
  const given = new Map<string, unknown>();
  collect(rest, '', given, source);
  const base = parent === undefined ? undefined : findParent(parent, source);
  const kept = base === undefined ? DEFAULTS : flatten(resized(base, given));
  const values = new Map(Object.entries(kept));
  refuseMissing([...values.keys(), ...given.keys()], source);

  for (const path of [...COUNTS, ...given.keys()]) {
    if (given.has(path)) values.set(path, readField(path, given.get(path), nodeOf(values)));
  }
  if (base !== undefined && !given.has('name')) values.set('name', `${base.name} (${source})`);

  const cluster = assemble(
    values,
    {
      ...(base === undefined ? {} : markSet(base.sources, given, source)),
      ...checked(SOURCES, origins ?? {}, 'sources', source),
    },
    source,
  );
  validateCluster(cluster, source);
  return cluster;
}

/** As a file would say it, units and all: `parseClusterSpec` reads it back unchanged. */
export function serializeClusterSpec(cluster: ClusterSpec): Record<string, unknown> {
  const file: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(flatten(cluster))) {
    put(file, path, writeField(path, value));
  }
  return { ...file, sources: cluster.sources };
}

/** Values by path, in the order of `clusterFields`. */
export function flatten(cluster: ClusterSpec): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  for (const path of Object.keys(clusterFields)) {
    let node: unknown = cluster;
    for (const step of path.split('.')) node = (node as Tree)[step];
    flat[path] = node;
  }
  return flat;
}

/** From values by path that `readField` has checked. */
export function assemble(
  values: ReadonlyMap<string, unknown>,
  sources: ClusterSpec['sources'],
  source: string,
): ClusterSpec {
  const tree: Record<string, unknown> = { sources };
  for (const [path, value] of values) put(tree, path, value);
  const { scaleOut } = tree as { scaleOut: Tree };
  checked(PLANES, scaleOut.failedPlanes, 'scaleOut.failedPlanes', source);
  checked(UPLINKS, scaleOut.failedUplinks, 'scaleOut.failedUplinks', source);
  return tree as unknown as ClusterSpec;
}

export function nodeOf(values: ReadonlyMap<string, unknown>): {
  gpusPerNode: number;
  nicsPerNode: number;
} {
  return {
    gpusPerNode: Number(values.get('gpusPerNode') ?? 0),
    nicsPerNode: Number(values.get('scaleOut.nicsPerNode') ?? 0),
  };
}

/** The path that was meant: the same last word elsewhere, or the nearest spelling. */
export function nearestPath(path: string): string | undefined {
  const paths = Object.keys(clusterFields);
  const leaf = path.slice(path.lastIndexOf('.') + 1);
  const sameLeaf = paths.filter((each) => each === leaf || each.endsWith(`.${leaf}`));
  const found = nearestName(path, sameLeaf.length > 0 ? sameLeaf : paths) ?? sameLeaf[0];
  if (found !== undefined) return found;
  const last = nearestName(leaf, paths.map(lastWord));
  return paths.find((each) => lastWord(each) === last);
}

function lastWord(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

function findParent(parent: unknown, source: string): ClusterSpec {
  if (typeof parent === 'string') return findCluster(parent);
  throw new MoebiusError('config.type', `${source}: extends is ${JSON.stringify(parent)}`, {
    values: { extends: parent },
    hint: 'Name a preset, as in extends: h800x2048.',
  });
}

/** A larger fat tree than the parent's gets the layers it needs, unless the file says how many. */
function resized(base: ClusterSpec, given: ReadonlyMap<string, unknown>): ClusterSpec {
  const numGpus = given.get('numGpus');
  const isSimple =
    typeof numGpus === 'number' &&
    numGpus >= base.gpusPerNode &&
    numGpus % base.gpusPerNode === 0 &&
    !given.has('gpusPerNode') &&
    !given.has('scaleOut.layers');
  return isSimple ? withNumGpus(base, numGpus) : base;
}

/** Leaves by path; every key known. */
function collect(tree: Tree, prefix: string, into: Map<string, unknown>, source: string): void {
  for (const [key, value] of Object.entries(tree)) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const isBranch = Object.keys(clusterFields).some((each) => each.startsWith(`${path}.`));
    if (Object.hasOwn(clusterFields, path)) into.set(path, value);
    else if (isBranch && isTree(value)) collect(value, path, into, source);
    else if (isBranch) throw notAnObject(path, value, source);
    else throw unknownKey(path, source);
  }
}

function notAnObject(path: string, value: unknown, source: string): MoebiusError {
  return new MoebiusError('config.type', `${source}: ${path} is ${JSON.stringify(value)}`, {
    values: { [path]: value },
    hint: `Write ${path} as an object of its own keys.`,
  });
}

function unknownKey(path: string, source: string): MoebiusError {
  const nearest = nearestPath(path);
  return new MoebiusError('config.unknownKey', `${source}: unknown key ${path}`, {
    values: { key: path, nearest },
    hint: nearest === undefined ? `Remove ${path}.` : `Did you mean ${nearest}?`,
  });
}

function refuseMissing(known: readonly string[], source: string): void {
  const missing = Object.keys(clusterFields).filter((path) => !known.includes(path));
  if (missing.length === 0) return;
  throw new MoebiusError('config.missingKey', `${source}: missing ${missing.join(', ')}`, {
    values: { keys: missing },
    hint: 'Add them, or begin with extends: and the preset that is most like it.',
  });
}

/** Origins of what the file sets give way to the file itself. */
function markSet(
  sources: ClusterSpec['sources'],
  given: ReadonlyMap<string, unknown>,
  source: string,
): ClusterSpec['sources'] {
  const marked = { ...sources };
  for (const [path, value] of given) {
    if (path !== 'name') marked[path] = { kind: 'assumed', note: `${source}: ${String(value)}` };
  }
  return marked;
}

function checked<T>(schema: z.ZodType<T>, value: unknown, path: string, source: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = [path, ...(issue?.path ?? [])].join('.');
  throw new MoebiusError('cluster.value', `${source}: ${where}: ${issue?.message}`, {
    values: { [path]: value },
    hint: `Correct ${where}.`,
  });
}

function put(tree: Record<string, unknown>, path: string, value: unknown): void {
  const steps = path.split('.');
  const last = steps.pop() ?? '';
  let node = tree;
  for (const step of steps) {
    const below = (node[step] ?? {}) as Record<string, unknown>;
    node[step] = below;
    node = below;
  }
  node[last] = value;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
