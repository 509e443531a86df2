/** What a person means who names a model or a cluster to plan with: a name or a file. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { parse as parseYaml } from 'yaml';
import { MoebiusError } from '../base/errors.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import { findCluster } from '../config/clusters/clusters.ts';
import { parseClusterSpec } from '../config/clusters/parseClusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import { findPlannedModel } from '../config/presets/dense.ts';
import { readModelTarget } from './modelTarget.ts';

/** @throws config.*, file.missing */
export async function readPlannedModel(target: string): Promise<PlannedModel> {
  const isPath = existsSync(target) || /[/\\]|\.json$/.test(target);
  return isPath ? (await readModelTarget(target)).config : findPlannedModel(target);
}

/** @throws cluster.*, file.missing, config.syntax */
export async function readCluster(target: string): Promise<ClusterSpec> {
  if (!existsSync(target) && !/[/\\]|\.(?:ya?ml|json)$/.test(target)) return findCluster(target);
  if (!existsSync(target)) {
    throw new MoebiusError('file.missing', `there is no ${target}`, {
      values: { path: target },
      hint: 'Give a cluster’s name or a YAML file that describes one.',
    });
  }
  const text = await readFile(target, 'utf8');
  let input: unknown;
  try {
    input = parseYaml(text);
  } catch (cause) {
    throw new MoebiusError('config.syntax', `${target} is neither YAML nor JSON`, {
      values: { reason: (cause as Error).message },
      hint: 'Correct the file; it may begin with extends: h800x2048.',
      cause,
    });
  }
  return parseClusterSpec(input, target);
}
