/** `moebius config`: what would run, without running it. */
import { stringify } from 'yaml';
import { presetNames } from '../../config/presets/presets.ts';
import { recipes } from '../../config/recipes/recipes.ts';
import { settingPaths } from '../../config/settings.ts';
import { formatTable, print, printResult } from '../output.ts';
import { resolveTraining } from '../resolveTraining.ts';

export interface PrintConfigOptions {
  readonly set?: readonly string[];
  readonly json?: boolean;
}

/** Every setting of a run as YAML (a file that `train` accepts), what was derived, and why. */
export function printConfig(recipeOrFile: string, options: PrintConfigOptions): void {
  const { config, derived } = resolveTraining(recipeOrFile, options.set);
  if (derived.length > 0) {
    const rows = derived.map(({ name, value, reason }) => [name, String(value), reason]);
    print(commented(formatTable(rows, ['derived', 'value', 'because'])));
  }
  print(commented(`--set reaches ${settingPaths(config).length} settings by their path`));
  printResult(options, { table: stringify(config).trimEnd(), json: { config, derived } });
}

/** So that the output as a whole stays a YAML file. */
function commented(text: string): string {
  return text
    .split('\n')
    .map((line) => `# ${line}`.trimEnd())
    .join('\n');
}

export function printRecipes(options: { readonly json?: boolean }): void {
  const rows = recipes.map(({ name, summary, defaultDepth }) => [name, defaultDepth, summary]);
  const table = [
    formatTable(rows, ['recipe', 'depth', 'what']),
    '',
    `presets: ${presetNames.join(', ')}`,
  ].join('\n');
  const json = {
    recipes: recipes.map(({ name, summary, defaultDepth }) => ({ name, summary, defaultDepth })),
    presets: presetNames,
  };
  printResult(options, { table, json });
}
