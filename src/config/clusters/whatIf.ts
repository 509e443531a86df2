/**
 * `--what-if scaleUp.bytesPerSecond=900 GB/s both ways` and `--what-if gpu.memoryBytes*=2`: one
 * number of a finished cluster, changed, under the same rules of units as a file.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { clusterFields, readField } from './clusterFields.ts';
import { assemble, flatten, nearestPath, nodeOf } from './parseClusterSpec.ts';
import { validateCluster } from './validateCluster.ts';

/** Shorter names of what is most often asked about. */
const ALIASES: Readonly<Record<string, string>> = {
  'gpu.nvlinkBytesPerSecond': 'scaleUp.bytesPerSecond',
  'gpu.nicBytesPerSecond': 'scaleOut.nicBytesPerSecond',
  'gpu.bf16Flops': 'gpu.peakFlops.bf16',
  'gpu.fp8Flops': 'gpu.peakFlops.fp8',
};

/**
 * @param settings `path=value` with its unit, `path*=factor` or `path/=factor`; later ones win
 * @throws cluster.whatIf, config.unknownKey with the nearest path, quantity.*, cluster.*
 */
export function applyWhatIf(cluster: ClusterSpec, settings: readonly string[]): ClusterSpec {
  let changed = cluster;
  for (const setting of settings) changed = applyOne(changed, setting);
  return changed;
}

/** Every path that `applyWhatIf` takes. */
const whatIfPaths: readonly string[] = Object.keys(clusterFields);

function applyOne(cluster: ClusterSpec, setting: string): ClusterSpec {
  const [, left = '', operator = '', right = ''] = /^([^=*/]+)([*/]?=)(.*)$/.exec(setting) ?? [];
  const typed = left.trim();
  const path = Object.hasOwn(ALIASES, typed) ? (ALIASES[typed] ?? typed) : typed;
  const text = right.trim();
  if (operator === '' || text === '') {
    throw new MoebiusError('cluster.whatIf', `--what-if ${setting} is not PATH=VALUE`, {
      values: { setting },
      hint: 'Write it as in --what-if "scaleUp.bytesPerSecond=900 GB/s both ways", or with *=2.',
    });
  }
  if (!Object.hasOwn(clusterFields, path)) throw unknownPath(path);
  const values = new Map(Object.entries(flatten(cluster)));
  values.set(
    path,
    operator === '='
      ? readField(path, parsed(text, path), nodeOf(values))
      : scaled(values.get(path), { path, text, operator }),
  );
  if (path !== 'name') values.set('name', `${cluster.name} + ${path}${operator}${text}`);
  const sources = {
    ...cluster.sources,
    [path]: { kind: 'assumed', note: `what if: ${setting}` } as const,
  };
  const changed = assemble(values, sources, '--what-if');
  validateCluster(changed, `--what-if ${setting}`);
  return changed;
}

/** Text from a command line as a file would hold it: numbers and lists where those belong. */
function parsed(text: string, path: string): unknown {
  const kind = clusterFields[path]?.kind;
  if (kind === 'text' || kind === 'quantity') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function scaled(
  value: unknown,
  { path, text, operator }: { path: string; text: string; operator: string },
): unknown {
  const factor = Number(text);
  if (typeof value !== 'number') {
    throw new MoebiusError('cluster.whatIf', `${path} is ${String(value)}: nothing to scale`, {
      values: { path, value },
      hint: `Set it instead, with ${path}=.`,
    });
  }
  if (!(factor > 0 && Number.isFinite(factor))) {
    throw new MoebiusError('cluster.whatIf', `${path}${operator}${text}: not a number above 0`, {
      values: { path, factor: text },
      hint: `Give a number above 0, as in ${path}*=2.`,
    });
  }
  const product = operator === '*=' ? value * factor : value / factor;
  const field = clusterFields[path];
  const isNumber = field?.kind === 'quantity';
  // Counts and shares keep their own limits: half of three NICs is refused like 1.5 in a file.
  return isNumber ? product : readField(path, product, { gpusPerNode: 0, nicsPerNode: 0 });
}

function unknownPath(path: string): MoebiusError {
  const nearest = nearestPath(path);
  return new MoebiusError('config.unknownKey', `--what-if: a cluster has no ${path}`, {
    values: { path, nearest },
    hint:
      nearest === undefined ? `Use one of ${whatIfPaths.join(', ')}.` : `Did you mean ${nearest}?`,
  });
}
