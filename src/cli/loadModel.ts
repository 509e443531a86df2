/**
 * A checkpoint as an object to talk with: what `import { loadModel } from 'moebius'` gives. The
 * same wiring as `moebius generate`, with text as an async iterable and no screen.
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { TextRequest } from '../serving/textGenerator.ts';
import type { Tokenizer } from '../tokenizer/byteLevelBpe.ts';
import { type ChatMessage, ChatTemplate, encodeChat } from '../tokenizer/chatTemplate.ts';
import { formatNow } from './formatNow.ts';
import { type Generation, TextRun } from './generation.ts';
import { type OpenedGenerator, openGenerator } from './openGenerator.ts';

export interface LoadModelOptions {
  /** `native` where it is built, else `wasm`, when left out; `reference` is slow. */
  readonly kernels?: 'native' | 'wasm' | 'reference';
  /** Positions of prompt and output together; the model's own limit, at most 4096, by default. */
  readonly maxContext?: number;
  /** Told what a person should know about the checkpoint or this machine, in sentences. */
  readonly onNotice?: (notice: string) => void;
}

export interface GenerateOptions {
  /** 128 by default. */
  readonly maxTokens?: number;
  /** 0 is greedy; 0.8 by default. */
  readonly temperature?: number;
  /** Keeps the likeliest; 0, the default, keeps all. */
  readonly topK?: number;
  /** Keeps the likeliest tokens of this mass; 1, the default, keeps all. */
  readonly topP?: number;
  /** Drops tokens below this share of the likeliest; 0 by default. */
  readonly minP?: number;
  /** One seed, one text; 0 by default. */
  readonly seed?: number;
  /** Ends before any of these; they are not part of the text. */
  readonly stop?: string | readonly string[];
  /**
   * Tokens that the MTP module drafts per step; true is 1. Changes the speed and never the text.
   */
  readonly speculate?: boolean | number;
  /** Goes on past the end-of-sequence token. */
  readonly ignoreEos?: boolean;
}

export interface LoadedModel {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** Positions of prompt and output together. */
  readonly maxContext: number;
  /** What computes: "native avx2, 2 threads", "wasm, 2 threads", "reference". */
  readonly machine: string;
  /**
   * Continues a text, one at a time.
   *
   * @throws model.busy, model.closed, generate.*, sampling.invalid when the text is asked for
   */
  generate(prompt: string, options?: GenerateOptions): Generation;
  /** Answers a conversation by the checkpoint's own chat template. */
  chat(messages: readonly ChatMessage[], options?: GenerateOptions): Generation;
  /** Lets go of weights and cache; what is under way ends with an error. */
  close(): void;
}

/**
 * Opens a checkpoint: `config.json`, safetensors, `tokenizer.json`.
 *
 * @throws file.*, config.*, checkpoint.*, tokenizer.* with what is wrong in the folder, and
 *   kernels.notBuilt when native kernels are asked for and there are none
 */
export async function loadModel(
  folder: string,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  checkKeys(options, { known: ['kernels', 'maxContext', 'onNotice'], what: 'loadModel' });
  const { kernels, maxContext, onNotice } = options;
  const isFit = maxContext === undefined || (isCount(maxContext) && maxContext > 1);
  checkOption('maxContext', maxContext, { isFit, wanted: 'a whole number from 2' });
  const opened = await openGenerator({
    checkpoint: folder,
    kernels,
    maxContext,
    ...(onNotice === undefined ? {} : { note: onNotice }),
  });
  return new OpenModel(opened);
}

class OpenModel implements LoadedModel {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly maxContext: number;
  readonly machine: string;
  #opened: OpenedGenerator | null;
  #isBusy = false;

  constructor(opened: OpenedGenerator) {
    this.#opened = opened;
    this.config = opened.opened.config;
    this.tokenizer = opened.tokenizer;
    this.maxContext = opened.opened.maxPositions;
    this.machine = opened.machine.description;
  }

  generate(prompt: string, options: GenerateOptions = {}): Generation {
    return this.#generation(({ generator }) => generator.encodePrompt(prompt), options);
  }

  chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): Generation {
    return this.#generation(({ tokenizer, tokenizerConfig }) => {
      return encodeChat(tokenizer, new ChatTemplate(tokenizerConfig), messages, { formatNow });
    }, options);
  }

  close(): void {
    this.#opened = null;
  }

  #generation(
    promptOf: (opened: OpenedGenerator) => Int32Array,
    options: GenerateOptions,
  ): Generation {
    const settings = settingsOf(options);
    return new TextRun({
      begin: () => {
        const opened = this.#stillOpen();
        if (this.#isBusy) throw busy();
        const prompt = promptOf(opened);
        this.#isBusy = true;
        const pieces = opened.generator.generate({ ...settings, prompt });
        return { pieces, numPromptTokens: prompt.length };
      },
      check: () => void this.#stillOpen(),
      end: () => {
        this.#isBusy = false;
      },
    });
  }

  #stillOpen(): OpenedGenerator {
    if (this.#opened !== null) return this.#opened;
    throw new MoebiusError('model.closed', 'the model has been closed', {
      hint: 'Generate before close(), or load the folder again.',
    });
  }
}

const GENERATE_KEYS: readonly (keyof GenerateOptions)[] = [
  'maxTokens',
  'temperature',
  'topK',
  'topP',
  'minP',
  'seed',
  'stop',
  'speculate',
  'ignoreEos',
];

/** Defaults are those of `moebius generate`; ranges are checked where tokens are drawn. */
function settingsOf(options: GenerateOptions): Omit<TextRequest, 'prompt'> {
  checkKeys(options, { known: GENERATE_KEYS, what: 'generate' });
  const { maxTokens = 128, temperature = 0.8, topK = 0, topP = 1, minP = 0, seed = 0 } = options;
  const { stop = [], speculate = false, ignoreEos = false } = options;
  const stops = [stop].flat();
  const numDrafts = Number(speculate);
  checkOption('seed', seed, { isFit: isCount(seed), wanted: 'a whole number from 0' });
  checkOption('speculate', speculate, { isFit: isCount(numDrafts), wanted: 'true or a count' });
  const isText = stops.every((each) => typeof each === 'string' && each !== '');
  checkOption('stop', stop, { isFit: isText, wanted: 'text that is not empty, or a list of it' });
  const sampling = { temperature, topK, topP, minP, seed };
  return { maxTokens, sampling, stop: stops, numDrafts, ignoresEnd: ignoreEos };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function checkOption(
  name: keyof GenerateOptions | keyof LoadModelOptions,
  value: unknown,
  { isFit, wanted }: { isFit: boolean; wanted: string },
): void {
  if (isFit) return;
  throw new MoebiusError('library.option', `${name} is ${JSON.stringify(value) ?? value}`, {
    values: { [name]: value },
    hint: `Give ${wanted}.`,
  });
}

/** Programs without types misspell options too. */
function checkKeys(
  options: object,
  { known, what }: { known: readonly string[]; what: string },
): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new MoebiusError('library.option', `${what} has no option "${key}"`, {
      values: { option: key },
      hint: `Use ${nearestName(key, known) ?? known.join(', ')}.`,
    });
  }
}

function busy(): MoebiusError {
  return new MoebiusError('model.busy', 'this model is writing another text', {
    hint: 'Read that one to its end or leave its loop first, or load the folder a second time.',
  });
}
