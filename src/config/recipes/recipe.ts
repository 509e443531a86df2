/**
 * A recipe turns one dial, the depth, into everything one run needs, and says why for each number.
 * Other dials re-derive what follows from them; `--set` afterwards changes single values.
 */
import { MoebiusError } from '../../base/errors.ts';
import { parseTrainConfig } from '../parseTrainConfig.ts';
import type { TrainConfig } from '../trainConfig.ts';

export interface Dials {
  /** Main layers: sizes the model and, through it, everything else. */
  readonly depth?: number;
  readonly vocabSize?: number;
  /** Tokens per sequence. */
  readonly length?: number;
  readonly steps?: number;
  readonly seed?: number;
}

export interface Recipe {
  readonly name: string;
  /** One line for a list of recipes. */
  readonly summary: string;
  readonly defaultDepth: number;
  readonly derive: (dials: Dials) => Derivation;
}

export interface Derivation {
  readonly config: TrainConfig;
  readonly derived: readonly DerivedRow[];
}

/** A line of the table that is printed before step 1. */
export interface DerivedRow {
  readonly name: string;
  readonly value: number | string;
  readonly reason: string;
}

/**
 * @param recipe decides; dials that are left out take its defaults
 * @throws config.dial when a dial is no positive integer, and what `parseTrainConfig` throws
 */
export function deriveTraining(recipe: Recipe, dials: Dials = {}): Derivation {
  for (const [name, value] of Object.entries(dials)) {
    const least = name === 'seed' ? 0 : 1;
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new MoebiusError('config.dial', `${recipe.name}: ${name} ${value} is no whole number`, {
      values: { [name]: value },
      hint: `Give ${name} as an integer from ${least}.`,
    });
  }
  const { config, derived } = recipe.derive(dials);
  return { config: parseTrainConfig(config, `recipe ${recipe.name}`), derived };
}
