/** What a person typed (a recipe's name or a file, and settings) as the config of one run. */
import { existsSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { parseTrainConfig } from '../config/parseTrainConfig.ts';
import { type DerivedRow, type Dials, deriveTraining } from '../config/recipes/recipe.ts';
import { findRecipe } from '../config/recipes/recipes.ts';
import { applySettings } from '../config/settings.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import { parseSettings } from './parseSettings.ts';

export interface ResolvedTraining {
  readonly config: TrainConfig;
  /** What was derived from the recipe's dial, and why, then what was set by hand. */
  readonly derived: readonly DerivedRow[];
}

const DIALS: readonly (keyof Dials)[] = ['depth', 'vocabSize', 'length', 'steps', 'seed'];

/**
 * Settings named like a dial (`depth=6`) turn it, so that everything else is derived again; the
 * others change single values afterwards.
 *
 * @throws config.* when the file, the recipe or a setting is not known
 */
export function resolveTraining(
  recipeOrFile: string,
  settings: readonly string[] = [],
): ResolvedTraining {
  const isFile = ['.yaml', '.yml', '.json'].includes(extname(recipeOrFile));
  if (isFile || existsSync(recipeOrFile)) {
    const config = parseTrainConfig(readSettingsFile(recipeOrFile), recipeOrFile);
    return { config: applySettings(config, settings), derived: settings.map(setByHand) };
  }
  const dials: Record<string, number> = {};
  const rest: string[] = [];
  for (const setting of settings) {
    const [name = '', value = ''] = setting.split('=', 2);
    const isDial = (DIALS as readonly string[]).includes(name.trim());
    if (isDial && setting.includes('=')) dials[name.trim()] = Number(value);
    else rest.push(setting);
  }
  const { config, derived } = deriveTraining(findRecipe(recipeOrFile), dials);
  return { config: applySettings(config, rest), derived: [...derived, ...rest.map(setByHand)] };
}

/** Shown behind what was derived, which it may contradict. */
function setByHand(setting: string): DerivedRow {
  const equals = setting.indexOf('=');
  return { name: setting.slice(0, equals), value: setting.slice(equals + 1), reason: '--set' };
}

/** A YAML or JSON file as plain data. @throws file.missing, config.syntax */
function readSettingsFile(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MoebiusError('file.missing', `there is no ${path}`, {
      values: { path },
      hint: 'Give a settings file, or a recipe by name (moebius config recipes lists them).',
      cause,
    });
  }
  return parseSettings(text, path);
}
