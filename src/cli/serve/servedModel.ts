/**
 * The model that is served, as both threads find it by its name: a checkpoint's folder, or made-up
 * weights in a model's true shape, for measuring. Nothing of it is weights yet.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import type { WeightDType } from '../../model/parameters.ts';
import { readJson, readModelConfig } from '../../runtime/openModel.ts';
import type { GenerationDefaults } from '../../serving/openai/protocol.ts';
import { loadTokenizer, type Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import { syntheticVocabulary } from '../../tokenizer/syntheticVocabulary.ts';
import type { TokenizerConfig } from '../../tokenizer/tokenizerConfig.ts';
import { saveTokenizerJson } from '../../tokenizer/tokenizerFile.ts';
import { readModelTarget } from '../modelTarget.ts';
import { openTokenizer } from '../openGenerator.ts';

/** Plain data: it crosses threads. */
export type ServedSource =
  | { readonly kind: 'checkpoint'; readonly path: string }
  | { readonly kind: 'random'; readonly config: string; readonly dtype: WeightDType };

export interface ServedModel {
  readonly name: string;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly tokenizerConfig: TokenizerConfig;
  readonly defaults: GenerationDefaults;
  /** What of the defaults stands in `generation_config.json`. */
  readonly fromFile: readonly string[];
}

const NO_DEFAULTS: GenerationDefaults = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
};

export async function readServedModel(source: ServedSource): Promise<ServedModel> {
  if (source.kind === 'random') {
    const { config } = await readModelTarget(source.config);
    const tokenizer = loadTokenizer(saveTokenizerJson(syntheticVocabulary(config.vocabSize)));
    const name = basename(source.config).replace(/\.json$/, '');
    return { name, config, tokenizer, tokenizerConfig: {}, defaults: NO_DEFAULTS, fromFile: [] };
  }
  const { path } = source;
  const config = await readModelConfig(path);
  const { tokenizer, tokenizerConfig } = openTokenizer(path, config.vocabSize);
  const read = await readDefaults(join(path, 'generation_config.json'));
  return { name: basename(resolve(path)), config, tokenizer, tokenizerConfig, ...read };
}

const FIELDS: readonly (readonly [string, keyof GenerationDefaults])[] = [
  ['temperature', 'temperature'],
  ['top_p', 'topP'],
  ['top_k', 'topK'],
  ['min_p', 'minP'],
  ['repetition_penalty', 'repetitionPenalty'],
];

/** `generation_config.json` speaks for requests that leave a setting out. @throws serve.defaults */
async function readDefaults(
  path: string,
): Promise<{ defaults: GenerationDefaults; fromFile: readonly string[] }> {
  if (!existsSync(path)) return { defaults: NO_DEFAULTS, fromFile: [] };
  const file = (await readJson(path)) as Readonly<Record<string, unknown>>;
  const found: Record<string, number> = {};
  const fromFile: string[] = [];
  for (const [key, name] of FIELDS) {
    const value = file[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw new MoebiusError('serve.defaults', `${key} is ${JSON.stringify(value)}`, {
        values: { path, [key]: value },
        hint: 'Correct generation_config.json: it takes a number from 0.',
      });
    }
    found[name] = value;
    fromFile.push(`${key} ${value}`);
  }
  return { defaults: { ...NO_DEFAULTS, ...found }, fromFile };
}
