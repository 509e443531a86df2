/**
 * Everything a run stands on, made ready: text read and split, a tokenizer read or trained,
 * batches, weights, the executor. What takes long says so through `progress`.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TextDocument } from '../base/document.ts';
import { MoebiusError } from '../base/errors.ts';
import { formatCount } from '../base/units.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import { wholeModel } from '../model/parameterLayout.ts';
import { initializeParameters } from '../model/parameters.ts';
import { machineClock } from '../runtime/clock.ts';
import { readDocuments } from '../runtime/documents.ts';
import type { LocalTrainingExecutor } from '../runtime/localExecutor.ts';
import { createTrainingState, resetAverage, type TrainingState } from '../runtime/trainingState.ts';
import { loadTokenizer, type Tokenizer } from '../tokenizer/byteLevelBpe.ts';
import { DEFAULT_CHAT_TEMPLATE } from '../tokenizer/chatTemplate.ts';
import {
  readTokenizerConfig,
  saveTokenizerConfig,
  type TokenizerConfig,
} from '../tokenizer/tokenizerConfig.ts';
import { saveTokenizerJson } from '../tokenizer/tokenizerFile.ts';
import { trainBpe } from '../tokenizer/trainBpe.ts';
import { encodeDocuments } from '../training/data/encode.ts';
import { type DataPool, TrainingData } from '../training/data/mixture.ts';
import { splitSources } from '../training/data/split.ts';
import { type ValidationSet, validationSet } from '../training/data/validation.ts';
import { type Machine, trainingExecutor } from './wiring.ts';

export type Progress = (text: string) => void;

export interface PreparedText {
  readonly training: readonly (readonly TextDocument[])[];
  readonly validation: readonly TextDocument[];
}

/** A tokenizer and the files that carry it. */
export interface PreparedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly tokenizerJson: string;
  readonly tokenizerConfig: TokenizerConfig;
}

export interface PreparedData extends PreparedTokenizer {
  readonly data: TrainingData;
  readonly validation: ValidationSet;
  readonly text: PreparedText;
}

/** Reads every source and holds documents out for validation. */
export async function prepareText(config: TrainConfig, progress: Progress): Promise<PreparedText> {
  const { sources, validation } = config.data;
  const documents: (readonly TextDocument[])[] = [];
  for (const { path } of sources) {
    progress(`reading ${path}`);
    documents.push(await readDocuments(path));
  }
  if (validation.path !== null) {
    return { training: documents, validation: await readDocuments(validation.path) };
  }
  const split = splitSources(documents, validation);
  for (const id of split.cut) progress(`held out the end of ${id}: no whole document fits`);
  return split;
}

export async function prepareData(config: TrainConfig, progress: Progress): Promise<PreparedData> {
  const text = await prepareText(config, progress);
  const prepared = prepareTokenizer(config, text, progress);
  const { tokenizer } = prepared;
  progress('encoding the text');
  const pools: DataPool[] = text.training.map((documents, index) => ({
    documents: encodeDocuments(documents, tokenizer),
    weight: config.data.sources[index]?.weight ?? null,
  }));
  const shape = {
    length: config.batch.length,
    mtpDepth: config.model.numNextnPredictLayers,
  };
  const { seed, batch } = config;
  const { fimRate } = config.data;
  const data = new TrainingData({ pools, shape, seed, fimRate, codec: tokenizer });
  const validation = validationSet(text.validation, tokenizer, {
    shape,
    microBatch: batch.microBatch,
  });
  progress(
    `${formatCount(data.numTokens)} tokens to train on, ` +
      `${formatCount(validation.numTokens)} held out`,
  );
  return { ...prepared, data, validation, text };
}

/** @throws tokenizer.vocabulary when a tokenizer from a file has more tokens than the model */
function prepareTokenizer(
  config: TrainConfig,
  text: PreparedText,
  progress: Progress,
): PreparedTokenizer {
  const { path, trainingBytes } = config.tokenizer;
  const { vocabSize } = config.model;
  if (path !== null) return readTokenizer(path, vocabSize);
  let shown = 0;
  const trained = trainBpe(upTo(text.training.flat(), trainingBytes), {
    vocabSize,
    onProgress: (event) => {
      const share = event.kind === 'merging' ? event.numTokens / event.vocabSize : 0;
      if (event.kind !== 'merging' || (share - shown < 0.25 && share < 1)) return;
      shown = share;
      progress(`training the tokenizer: ${event.numTokens} of ${event.vocabSize} tokens`);
    },
  });
  const tokenizerJson = saveTokenizerJson(trained);
  const tokenizerConfig = { addBosToken: true, chatTemplate: DEFAULT_CHAT_TEMPLATE };
  const tokenizer = loadTokenizer(tokenizerJson, tokenizerConfig);
  return { tokenizer, tokenizerJson, tokenizerConfig };
}

function readTokenizer(path: string, vocabSize: number): PreparedTokenizer {
  const tokenizerJson = readText(path);
  const configPath = join(dirname(path), 'tokenizer_config.json');
  // Packing puts BOS before every document, whatever the file's first owner did.
  const tokenizerConfig = { ...readTokenizerConfig(readText(configPath)), addBosToken: true };
  const tokenizer = loadTokenizer(tokenizerJson, tokenizerConfig);
  if (tokenizer.vocabSize > vocabSize) {
    throw new MoebiusError('tokenizer.vocabulary', 'the tokenizer has more tokens than the model', {
      values: { tokenizer: tokenizer.vocabSize, model: vocabSize },
      hint: `Set model.vocabSize to ${tokenizer.vocabSize} or more.`,
    });
  }
  return { tokenizer, tokenizerJson, tokenizerConfig };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new MoebiusError('file.missing', `there is no ${path}`, {
      values: { path },
      hint: 'A tokenizer is tokenizer.json with tokenizer_config.json beside it.',
      cause,
    });
  }
}

/** Whole documents, until so many bytes are reached; the last one is cut. */
function* upTo(documents: readonly TextDocument[], bytes: number | null): Generator<Uint8Array> {
  let left = bytes ?? Number.POSITIVE_INFINITY;
  const encoder = new TextEncoder();
  for (const { text } of documents) {
    if (left <= 0) return;
    const encoded = encoder.encode(text);
    const kept = encoded.subarray(0, Math.min(encoded.length, left));
    left -= kept.length;
    yield kept;
  }
}

export interface PreparedRank {
  readonly state: TrainingState;
  readonly executor: LocalTrainingExecutor;
}

/** Fresh weights by the config's seed, and the executor on them. */
export function prepareRank(
  config: TrainConfig,
  machine: Machine,
  checkpointDirectory: string,
): PreparedRank {
  const { kernels, mapFile } = machine;
  const state = createTrainingState({
    kernels,
    config: config.model,
    stage: wholeModel(config.model),
    momentDType: 'f32',
    hasAverage: config.average.decay !== null,
    maxPositions: config.model.maxPositionEmbeddings,
  });
  const { seed } = config;
  initializeParameters({ kernels, set: state.parameters, config: config.model, seed });
  resetAverage(state);
  const executor = trainingExecutor({
    state,
    clock: machineClock,
    lossForm: { balanceForm: config.balance.form, mtpHidden: 'postNorm' },
    checkpointDirectory,
    ...(mapFile === undefined ? {} : { mapFile }),
  });
  return { state, executor };
}

/** What lies beside the weights in every checkpoint. */
export function checkpointFiles(
  config: TrainConfig,
  { tokenizer, tokenizerJson, tokenizerConfig }: PreparedTokenizer,
): Record<string, string> {
  const generation = {
    bos_token_id: tokenizer.bosTokenId,
    eos_token_id: tokenizer.eosTokenId,
    do_sample: true,
    temperature: config.sample.temperature,
    top_p: config.sample.topP,
  };
  return {
    'tokenizer.json': tokenizerJson,
    'tokenizer_config.json': saveTokenizerConfig(tokenizerConfig),
    'generation_config.json': `${JSON.stringify(generation, null, 2)}\n`,
    'train.json': `${JSON.stringify(config, null, 2)}\n`,
  };
}
