/**
 * `--set a.b=c`: one value of a finished config, named by its path, replaced by text from a command
 * line. The value that stands there says which type the text has; the whole config is checked again
 * afterwards, so a setting can no more break a run than a file can.
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import { parseTrainConfig } from './parseTrainConfig.ts';
import type { TrainConfig } from './trainConfig.ts';

/**
 * @param settings `path=value` each; later ones win. `null` is null; where a list stands, JSON, or
 *   one bare element
 * @throws config.setting for text without `=` or of the wrong type, config.unknownKey with the
 *   nearest path, and what `parseTrainConfig` throws
 */
export function applySettings(config: TrainConfig, settings: readonly string[]): TrainConfig {
  if (settings.length === 0) return config;
  const tree = structuredClone(config) as unknown as Tree;
  for (const setting of settings) applyOne(tree, setting);
  return parseTrainConfig(tree, '--set');
}

/** Every path a setting can name, with its present value: `config print --flat`, completion. */
export function settingPaths(config: TrainConfig): readonly (readonly [string, unknown])[] {
  const paths: [string, unknown][] = [];
  collect(config as unknown as Tree, '', paths);
  return paths;
}

type Tree = Record<string, unknown>;

function applyOne(tree: Tree, setting: string): void {
  const equals = setting.indexOf('=');
  if (equals <= 0) {
    throw new MoebiusError('config.setting', `--set ${setting} is not PATH=VALUE`, {
      values: { setting },
      hint: 'Write it as in --set batch.length=512.',
    });
  }
  const path = setting.slice(0, equals).trim();
  const text = setting.slice(equals + 1).trim();
  const steps = path.split('.');
  const last = steps.pop() ?? '';
  let node: unknown = tree;
  for (const step of steps) node = isTree(node) && Object.hasOwn(node, step) ? node[step] : null;
  if (!isTree(node) || !Object.hasOwn(node, last)) throw unknownPath(tree, path);
  node[last] = parsedValue(text, node[last], path);
}

/** Objects and arrays alike: `data.sources.0.path` names an element's value. */
function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null;
}

function parsedValue(text: string, present: unknown, path: string): unknown {
  if (text === 'null') return null;
  switch (typeof present) {
    case 'string':
      return text;
    case 'number': {
      const value = Number(text);
      if (text === '' || Number.isNaN(value)) throw wrongType(path, text, 'a number');
      return value;
    }
    case 'boolean': {
      if (text === 'true') return true;
      if (text === 'false') return false;
      throw wrongType(path, text, 'true or false');
    }
    default:
      break;
  }
  const value = parsedOrText(text);
  if (Array.isArray(present)) return Array.isArray(value) ? value : [value];
  if (present !== null && !isTree(value)) throw wrongType(path, text, 'a JSON object');
  return value;
}

function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function wrongType(path: string, text: string, wanted: string): MoebiusError {
  return new MoebiusError('config.setting', `--set ${path}=${text}: ${path} is ${wanted}`, {
    values: { path, text },
    hint: `Give ${wanted}.`,
  });
}

function unknownPath(tree: Tree, path: string): MoebiusError {
  const known: [string, unknown][] = [];
  collect(tree, '', known);
  const names = known.map(([name]) => name);
  const leaf = path.slice(path.lastIndexOf('.') + 1);
  // `hiddenSize=64` means model.hiddenSize; a slip of the keyboard means the nearest path.
  const sameLeaf = names.find((name) => name.endsWith(`.${leaf}`));
  const nearest = sameLeaf ?? nearestName(path, names);
  return new MoebiusError('config.unknownKey', `--set: there is no ${path}`, {
    values: { path, nearest },
    hint:
      nearest === undefined ? 'Run config print to see every path.' : `Did you mean ${nearest}?`,
  });
}

/** Leaves and the objects and lists above them. */
function collect(node: Tree, prefix: string, into: [string, unknown][]): void {
  for (const [key, value] of Object.entries(node)) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    into.push([path, value]);
    if (isTree(value)) collect(value, path, into);
  }
}
