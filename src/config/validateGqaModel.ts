/** What the numbers of a grouped-query model must satisfy among themselves, whoever wrote them. */
import { MoebiusError } from '../base/errors.ts';
import type { GqaModelConfig } from './gqaModelConfig.ts';

/** As for V3's architecture: a hostile file must not make us count for ever. */
const LARGEST_DIM = 2 ** 24;

const POSITIVE: readonly (keyof GqaModelConfig)[] = [
  'vocabSize',
  'hiddenSize',
  'intermediateSize',
  'numHiddenLayers',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
  'maxPositionEmbeddings',
];

const NOT_NEGATIVE: readonly (keyof GqaModelConfig)[] = [
  'nRoutedExperts',
  'nSharedExperts',
  'numExpertsPerTok',
  'moeIntermediateSize',
  'firstKDenseReplace',
];

interface Rule {
  readonly isMet: (model: GqaModelConfig) => boolean;
  readonly says: string;
  readonly keys: readonly (keyof GqaModelConfig)[];
  readonly hint: string;
}

const RULES: readonly Rule[] = [
  {
    isMet: (m) => m.headDim % 2 === 0,
    says: 'headDim is odd, and rotary embeddings turn pairs',
    keys: ['headDim'],
    hint: 'Give head_dim an even number.',
  },
  {
    isMet: (m) => m.numAttentionHeads % m.numKeyValueHeads === 0,
    says: 'numAttentionHeads is no multiple of numKeyValueHeads',
    keys: ['numAttentionHeads', 'numKeyValueHeads'],
    hint: 'Give each group of heads its keys and values: 64 heads with 8, say.',
  },
  {
    isMet: (m) => m.numHiddenLayers <= 10_000 && m.firstKDenseReplace <= m.numHiddenLayers,
    says: 'the layers make no sense',
    keys: ['numHiddenLayers', 'firstKDenseReplace'],
    hint: 'Keep to 10,000 layers, and to no more dense ones than there are.',
  },
  {
    isMet: (m) => m.nRoutedExperts === 0 || m.moeIntermediateSize > 0,
    says: 'routed experts have no width',
    keys: ['nRoutedExperts', 'moeIntermediateSize'],
    hint: 'Give moeIntermediateSize.',
  },
  {
    isMet: (m) =>
      m.nRoutedExperts === 0 || (m.numExpertsPerTok >= 1 && m.numExpertsPerTok <= m.nRoutedExperts),
    says: 'numExpertsPerTok is outside 1 … nRoutedExperts',
    keys: ['numExpertsPerTok', 'nRoutedExperts'],
    hint: 'Choose at least one expert per token and at most as many as there are.',
  },
  {
    isMet: (m) => m.nRoutedExperts > 0 || (m.numExpertsPerTok === 0 && m.nSharedExperts === 0),
    says: 'a dense model (no routed experts) cannot choose or share experts',
    keys: ['nRoutedExperts', 'numExpertsPerTok', 'nSharedExperts'],
    hint: 'Set numExpertsPerTok and nSharedExperts to 0, or give nRoutedExperts.',
  },
];

/** @throws config.invalid with the values that disagree */
export function validateGqaModel(model: GqaModelConfig, source: string): void {
  for (const key of POSITIVE) checkCount(model, key, { least: 1, source });
  for (const key of NOT_NEGATIVE) checkCount(model, key, { least: 0, source });
  for (const rule of RULES) if (!rule.isMet(model)) throw invalid(model, rule, source);
}

function checkCount(
  model: GqaModelConfig,
  key: keyof GqaModelConfig,
  { least, source }: { least: number; source: string },
): void {
  const value = model[key];
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= LARGEST_DIM) return;
  const says = `${key} is not an integer from ${least} to ${LARGEST_DIM}`;
  throw invalid(model, { says, keys: [key], hint: `Set ${key} to a whole number.` }, source);
}

function invalid(
  model: GqaModelConfig,
  { says, keys, hint }: Omit<Rule, 'isMet'>,
  source: string,
): MoebiusError {
  const shown = keys.map((key) => `${key} ${String(model[key])}`).join(', ');
  return new MoebiusError('config.invalid', `${source}: ${says} (${shown})`, {
    values: Object.fromEntries(keys.map((key) => [key, model[key]])),
    hint,
  });
}
