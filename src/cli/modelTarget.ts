/** What a person means who names a model: a preset, a config file, or a checkpoint's folder. */
import { existsSync, statSync } from 'node:fs';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import { findPreset } from '../config/presets/presets.ts';
import { readJson, readModelConfig } from '../runtime/openModel.ts';

export interface ModelTarget {
  readonly kind: 'preset' | 'config' | 'checkpoint';
  readonly config: ModelConfig;
}

/**
 * What is there is read. Of what is not there, a path is a missing file, any other word a preset.
 *
 * @throws file.missing for a path of nothing, config.* for an unknown name or an impossible config
 */
export async function readModelTarget(target: string): Promise<ModelTarget> {
  if (existsSync(target)) {
    if (statSync(target).isDirectory()) {
      return { kind: 'checkpoint', config: await readModelConfig(target) };
    }
    return { kind: 'config', config: parseModelConfig(await readJson(target), target) };
  }
  if (!/[/\\]|\.json$/.test(target)) return { kind: 'preset', config: findPreset(target) };
  throw new MoebiusError('file.missing', `there is no ${target}`, {
    values: { path: target },
    hint: 'Give a checkpoint’s folder, a config.json, or a preset’s name.',
  });
}
