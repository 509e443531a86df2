/** Models by name: what `inspect`, `plan` and `train` accept in place of a config file. */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { ModelConfig } from '../modelConfig.ts';
import { deepseekV2, deepseekV2Lite } from './deepseekV2.ts';
import { deepseekR1, deepseekV3, deepseekV31 } from './deepseekV3.ts';
import { kimiK2, moonlight16bA3b } from './moonshot.ts';
import { v3Mini, v3Small } from './small.ts';

export const presets: ReadonlyMap<string, ModelConfig> = new Map([
  ['deepseek-v3', deepseekV3],
  ['deepseek-r1', deepseekR1],
  ['deepseek-v3.1', deepseekV31],
  ['deepseek-v2', deepseekV2],
  ['deepseek-v2-lite', deepseekV2Lite],
  ['moonlight-16b-a3b', moonlight16bA3b],
  ['kimi-k2', kimiK2],
  ['v3-mini', v3Mini],
  ['v3-small', v3Small],
]);

export const presetNames: readonly string[] = [...presets.keys()];

/** @throws config.unknownPreset naming the nearest one */
export function findPreset(name: string): ModelConfig {
  const preset = presets.get(name);
  if (preset !== undefined) return preset;
  const near = nearestName(name, presetNames);
  throw new MoebiusError('config.unknownPreset', `there is no preset "${name}"`, {
    values: { name, known: presetNames },
    hint: near === undefined ? `Use one of: ${presetNames.join(', ')}.` : `Did you mean "${near}"?`,
  });
}
