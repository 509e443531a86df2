/** A checkpoint made ready to talk: weights, tokenizer, cache and executor wired together. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MoebiusError } from '../base/errors.ts';
import { refuseUnlessFits } from '../config/servingMemory.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Model } from '../model/model.ts';
import { BlockManager } from '../policy/cache/blockManager.ts';
import { machineClock } from '../runtime/clock.ts';
import { type OpenedModel, openModel } from '../runtime/openModel.ts';
import type { LoadProgress } from '../runtime/weightLoader.ts';
import { TextGenerator } from '../serving/textGenerator.ts';
import { loadTokenizer, type Tokenizer } from '../tokenizer/byteLevelBpe.ts';
import { readTokenizerConfig, type TokenizerConfig } from '../tokenizer/tokenizerConfig.ts';
import { planOnThisMachine } from './machinePlan.ts';
import { BLOCK_SIZE, endIdsOf } from './openEngine.ts';
import { type Machine, openMachine, servingExecutor } from './wiring.ts';

export interface OpenGeneratorOptions {
  readonly checkpoint: string;
  readonly kernels?: string | undefined;
  /** Positions of prompt and output together; the model's own limit by default. */
  readonly maxContext?: number | undefined;
  readonly note?: (text: string) => void;
  readonly onProgress?: (progress: LoadProgress) => void;
  /**
   * `firstToken`: talks before all weights are there. FP8 answers may then differ in the last bits
   * of their numbers, so what must come out the same every time waits for all.
   */
  readonly until?: 'complete' | 'firstToken';
}

export interface OpenedGenerator {
  readonly machine: Machine;
  readonly opened: OpenedModel;
  readonly tokenizer: Tokenizer;
  readonly tokenizerConfig: TokenizerConfig;
  readonly generator: TextGenerator;
}

/** Memory for this many positions is taken unless more are asked for. */
const DEFAULT_CONTEXT = 4096;

export async function openGenerator(options: OpenGeneratorOptions): Promise<OpenedGenerator> {
  const { checkpoint, kernels, note } = options;
  const machine = openMachine({ kernels, ...(note === undefined ? {} : { note }) });
  const opened = await openModel({
    path: checkpoint,
    kernels: machine.kernels,
    maxPositions: options.maxContext ?? DEFAULT_CONTEXT,
    addon: machine.addon,
    until: options.until ?? 'complete',
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    beforeLoading: ({ config, weightBytes, maxPositions }) => {
      const request = { config, weightBytes, context: maxPositions, chunkTokens: maxPositions };
      const cache = { cacheDType: 'f32', numSequences: 1, blockSize: BLOCK_SIZE } as const;
      refuseUnlessFits(planOnThisMachine({ ...request, ...cache }));
    },
    ...(machine.mapFile === undefined ? {} : { mapFile: machine.mapFile }),
  });
  for (const notice of opened.notices) note?.(notice);
  const { tokenizer, tokenizerConfig } = openTokenizer(checkpoint, opened.config.vocabSize);
  const generator = createGenerator({
    kernels: opened.kernels,
    model: opened.model,
    tokenizer,
    tokenizerConfig,
    maxPositions: opened.maxPositions,
  });
  return { machine, opened, tokenizer, tokenizerConfig, generator };
}

/** A generator on weights that are already there: a checkpoint's, or those of a run under way. */
export function createGenerator(args: {
  kernels: Kernels;
  model: Model;
  tokenizer: Tokenizer;
  tokenizerConfig: TokenizerConfig;
  maxPositions: number;
}): TextGenerator {
  const { kernels, model, tokenizer, tokenizerConfig, maxPositions } = args;
  const numBlocks = Math.ceil(maxPositions / BLOCK_SIZE);
  const executor = servingExecutor({
    kernels,
    model,
    clock: machineClock,
    numBlocks,
    blockSize: BLOCK_SIZE,
    maxPositions,
    mtpHidden: 'postNorm',
  });
  // A tokenizer without its config says nothing; the models we know of were trained with BOS.
  const beginsWithBos = tokenizerConfig.addBosToken ?? tokenizer.bosTokenId !== undefined;
  return new TextGenerator({
    executor,
    cache: new BlockManager({ numBlocks, blockSize: BLOCK_SIZE }),
    tokenizer,
    endIds: endIdsOf(model.shared.config, tokenizer),
    maxContext: maxPositions,
    numMtpModules: model.mtp.length,
    beginning: beginsWithBos ? 'bos' : 'template',
  });
}

/** @throws tokenizer.missing, tokenizer.vocabulary when it has more tokens than the model */
export function openTokenizer(
  checkpoint: string,
  vocabSize: number,
): { tokenizer: Tokenizer; tokenizerConfig: TokenizerConfig } {
  const path = join(checkpoint, 'tokenizer.json');
  if (!existsSync(path)) {
    throw new MoebiusError('tokenizer.missing', `${checkpoint} has no tokenizer.json`, {
      values: { path },
      hint: 'Copy the tokenizer.json of the model beside its weights.',
    });
  }
  const configPath = join(checkpoint, 'tokenizer_config.json');
  const tokenizerConfig = existsSync(configPath)
    ? readTokenizerConfig(readFileSync(configPath, 'utf8'))
    : {};
  const tokenizer = loadTokenizer(readFileSync(path), tokenizerConfig);
  if (tokenizer.vocabSize > vocabSize) {
    throw new MoebiusError('tokenizer.vocabulary', 'the tokenizer has more tokens than the model', {
      values: { tokenizer: tokenizer.vocabSize, model: vocabSize },
      hint: 'Use the tokenizer that the model was trained with.',
    });
  }
  return { tokenizer, tokenizerConfig };
}
