/** Recipes by name: what `moebius train NAME` accepts in place of a config file. */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { deepRecipe } from './deep.ts';
import type { Recipe } from './recipe.ts';
import { startRecipe } from './start.ts';
import { tinyRecipe } from './tiny.ts';
import { v3MiniRecipe } from './v3Mini.ts';

export const recipes: readonly Recipe[] = [startRecipe, tinyRecipe, deepRecipe, v3MiniRecipe];

/** @throws config.unknownRecipe naming the nearest one */
export function findRecipe(name: string): Recipe {
  const recipe = recipes.find((one) => one.name === name);
  if (recipe !== undefined) return recipe;
  const known = recipes.map((one) => one.name);
  const near = nearestName(name, known);
  throw new MoebiusError('config.unknownRecipe', `there is no recipe ${JSON.stringify(name)}`, {
    values: { name, known },
    hint: near === undefined ? `Use one of: ${known.join(', ')}.` : `Did you mean ${near}?`,
  });
}
