/** From words on a command line to a subject: models and clusters by name or by file. */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import { parseClusterSpec } from '../../config/clusters/parseClusterSpec.ts';
import { parsePlannedModel } from '../../config/parsePlannedModel.ts';
import {
  type NamedModel,
  namedModel,
  type PlanOptions,
  type ResolvedPlan,
  subjectOf,
} from '../../planner/request/planRequest.ts';
import { readJson } from '../../runtime/openModel.ts';
import { parseSettings } from '../parseSettings.ts';
import { measureThisMachine } from './measureThisMachine.ts';

export async function resolveSubject(options: PlanOptions): Promise<ResolvedPlan> {
  const named = await readPlannedModel(options.model);
  return subjectOf(options, named, await readCluster(options.cluster));
}

/** A preset, by the name that published runs know, a config.json, or a checkpoint's folder. */
async function readPlannedModel(target: string): Promise<NamedModel> {
  if (existsSync(target)) {
    const file = statSync(target).isDirectory() ? join(target, 'config.json') : target;
    return { modelName: target, model: parsePlannedModel(await readJson(file), file) };
  }
  if (!/[/\\]|\.json$/.test(target)) {
    return namedModel(target);
  }
  throw missing(target, 'a preset’s name, a config.json or a checkpoint’s folder');
}

async function readCluster(target: string): Promise<ClusterSpec> {
  if (target === 'this-machine') return measureThisMachine();
  if (existsSync(target)) {
    return parseClusterSpec(parseSettings(await readFile(target, 'utf8'), target), target);
  }
  if (!/[/\\]|\.(ya?ml|json)$/.test(target)) return findCluster(target);
  throw missing(target, 'a preset’s name, or a YAML or JSON file');
}

function missing(path: string, what: string): MoebiusError {
  return new MoebiusError('file.missing', `there is no ${path}`, {
    values: { path },
    hint: `Give ${what}.`,
  });
}
