/** A small training run on `QuadraticExecutor`: what the trainer's tests start from. */
import { assert } from '../../src/base/assert.ts';
import { deriveTraining } from '../../src/config/recipes/recipe.ts';
import { tinyRecipe } from '../../src/config/recipes/tiny.ts';
import type { TrainConfig } from '../../src/config/trainConfig.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { encodeDocuments } from '../../src/training/data/encode.ts';
import { TrainingData } from '../../src/training/data/mixture.ts';
import { validationSet } from '../../src/training/data/validation.ts';
import type { StepReport, TrainingEvent } from '../../src/training/events.ts';
import { Trainer, type TrainerParts } from '../../src/training/trainer.ts';
import { MemoryDisk, QuadraticExecutor, type QuadraticOptions } from './quadraticExecutor.ts';

const codec = byteTokenizer();
const shape = { length: 8, mtpDepth: 1 };

export type ConfigChanges = {
  readonly [K in keyof TrainConfig]?: TrainConfig[K] extends object
    ? Partial<TrainConfig[K]>
    : TrainConfig[K];
};

export function smallConfig(changes: ConfigChanges = {}): TrainConfig {
  const { config } = deriveTraining(tinyRecipe, { steps: 20, length: shape.length });
  const small: TrainConfig = {
    ...config,
    learningRate: { ...config.learningRate, peak: 0.05, warmupSteps: 2 },
    optimizer: { ...config.optimizer, weightDecay: 0 },
    sample: { ...config.sample, prompts: ['Call me'] },
    // A handful of steps already has a median.
    guard: { ...config.guard, window: 8 },
  };
  const merged: Record<string, unknown> = { ...small };
  for (const [key, value] of Object.entries(changes)) {
    const below = merged[key];
    merged[key] =
      typeof value === 'object' && !Array.isArray(value)
        ? { ...(below as object), ...value }
        : value;
  }
  return merged as unknown as TrainConfig;
}

/** The token of an ASCII letter. */
export function letterId(letter: string): number {
  const [id] = codec.encode(letter);
  assert(id !== undefined, `no token for ${letter}`);
  return id;
}

export const POISON: number = letterId('z');

export function smallData(config: TrainConfig, alphabet = 'abcdefghijklmnop'): TrainingData {
  const documents = [...alphabet].map((letter) => ({
    id: letter,
    text: letter === 'z' ? 'z' : letter.repeat(30),
  }));
  return new TrainingData({
    pools: [{ documents: encodeDocuments(documents, codec), weight: null }],
    shape,
    seed: config.seed,
    fimRate: 0,
    codec,
  });
}

export interface RunOptions extends Partial<Omit<QuadraticOptions, 'disk'>> {
  readonly config?: TrainConfig;
  readonly disk?: MemoryDisk;
  readonly alphabet?: string;
  /** Has no text generator. */
  readonly isMute?: boolean;
  readonly parts?: Partial<TrainerParts>;
  readonly onEvent?: (event: TrainingEvent, trainer: Trainer) => void;
}

export interface SmallRun {
  readonly trainer: Trainer;
  readonly executor: QuadraticExecutor;
  readonly disk: MemoryDisk;
  readonly data: TrainingData;
  readonly events: readonly TrainingEvent[];
}

export function smallRun(options: RunOptions = {}): SmallRun {
  const { config = smallConfig(), disk = new MemoryDisk(), alphabet, parts, onEvent } = options;
  const { poison, diesAfter } = options;
  const executor = new QuadraticExecutor({
    disk,
    ...(poison === undefined ? {} : { poison }),
    ...(diesAfter === undefined ? {} : { diesAfter }),
  });
  const data = smallData(config, alphabet);
  const events: TrainingEvent[] = [];
  const held = [{ id: 'held out', text: 'gggggg' }];
  const trainer: Trainer = new Trainer({
    config,
    executor,
    data,
    validation: validationSet(held, codec, { shape, microBatch: 2 }),
    store: disk,
    clock: executor.clock,
    observer: (event) => {
      events.push(event);
      onEvent?.(event, trainer);
    },
    files: { 'config.json': '{}' },
    ...(options.isMute ? {} : { generate: async (prompt) => `${prompt} …` }),
    ...parts,
  });
  return { trainer, executor, disk, data, events };
}

export function stepReports(events: readonly TrainingEvent[]): readonly StepReport[] {
  return events.filter((event): event is StepReport => event.kind === 'step');
}

/** What must be equal in two runs of the same training: all but times. */
export function essence(report: StepReport): object {
  const { step, tokens, epochs, loss, smoothedLoss, gradientNorm, learningRate } = report;
  const { mtpLoss, balanceLoss, mtpWeight, biasSpeed, routing } = report;
  return {
    step,
    tokens,
    epochs,
    loss,
    smoothedLoss,
    gradientNorm,
    learningRate,
    mtpLoss,
    balanceLoss,
    mtpWeight,
    biasSpeed,
    routing,
  };
}
