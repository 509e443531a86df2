/**
 * `moebius random-model`: a checkpoint of made-up weights in a model's true shape, for measuring
 * what a model needs and gives on a machine before its weights are there.
 */
import { existsSync } from 'node:fs';
import { MoebiusError } from '../../base/errors.ts';
import { formatBytes, formatSeconds } from '../../base/units.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import type { WeightDType } from '../../model/parameters.ts';
import { machineClock } from '../../runtime/clock.ts';
import { writeRandomCheckpoint } from '../../runtime/randomCheckpoint.ts';
import { LEAST_VOCABULARY, syntheticVocabulary } from '../../tokenizer/syntheticVocabulary.ts';
import { saveTokenizerConfig } from '../../tokenizer/tokenizerConfig.ts';
import { saveTokenizerJson } from '../../tokenizer/tokenizerFile.ts';
import { readModelTarget } from '../modelTarget.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { progressLine } from '../progressLine.ts';
import { weightDType } from '../weightDType.ts';

export interface RandomModelOptions {
  readonly model: string;
  readonly dtype: string;
  readonly seed: number;
  readonly shardBytes?: number;
  readonly json?: boolean;
}

const STORED: Readonly<Record<WeightDType, Partial<ModelConfig>>> = {
  f8e4m3: { torchDtype: 'bfloat16', fp8WeightBlock: [128, 128] },
  bf16: { torchDtype: 'bfloat16', fp8WeightBlock: null },
  f16: { torchDtype: 'float16', fp8WeightBlock: null },
  f32: { torchDtype: 'float32', fp8WeightBlock: null },
};

/** @throws randomModel.dtype, randomModel.exists, and those of `readModelTarget` */
export async function randomModel(out: string, options: RandomModelOptions): Promise<void> {
  const { model, dtype, seed, shardBytes } = options;
  const stored = STORED[weightDType(dtype, 'randomModel.dtype')];
  if (existsSync(out)) {
    throw new MoebiusError('randomModel.exists', `${out} is there already`, {
      values: { out },
      hint: 'Remove it, or name another folder: made-up weights replace nothing.',
    });
  }
  const { config: named } = await readModelTarget(model);
  const hasTokenizer = named.vocabSize >= LEAST_VOCABULARY;
  // The ids of the made-up vocabulary's own control tokens.
  const ends = hasTokenizer ? { bosTokenId: 0, eosTokenId: 1 } : {};
  const config: ModelConfig = { ...named, ...stored, ...ends };
  if (!hasTokenizer) note(`${named.vocabSize} ids are too few for a tokenizer: it is left out`);
  const start = machineClock.now();
  const report = progressLine('writing');
  const bytes = await writeRandomCheckpoint({
    path: out,
    config,
    seed,
    texts: hasTokenizer ? tokenizerTexts(config.vocabSize) : {},
    ...(shardBytes === undefined ? {} : { maxShardBytes: shardBytes }),
    onProgress: (done, total) => report({ bytes: done, totalBytes: total }),
  });
  const seconds = machineClock.now() - start;
  const rows: Cell[][] = [
    ['model', `${model}, ${dtype}`],
    ['written', `${formatBytes(bytes)} to ${out}`],
    ['time', `${formatSeconds(seconds)}, ${(bytes / seconds / 1e9).toFixed(2)} GB/s`],
  ];
  printResult(options, {
    table: formatTable(rows),
    json: { model, dtype, out, bytes, seconds, hasTokenizer },
  });
}

function tokenizerTexts(vocabSize: number): Readonly<Record<string, string>> {
  return {
    'tokenizer.json': saveTokenizerJson(syntheticVocabulary(vocabSize)),
    'tokenizer_config.json': saveTokenizerConfig({}),
  };
}
