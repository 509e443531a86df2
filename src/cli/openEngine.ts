/**
 * A model made ready to serve many requests at once: cache, executor and engine around weights that
 * are there (`openGenerator.ts` has the one-text form).
 */
import type { ModelConfig } from '../config/modelConfig.ts';
import type { CompiledGrammar, GrammarSpec, GrammarVocabulary } from '../grammar/grammar.ts';
import type { CacheDType } from '../kernels/latentCache.ts';
import type { ParameterSet, WeightDType } from '../model/parameters.ts';
import { machineClock } from '../runtime/clock.ts';
import type { OpenedModel } from '../runtime/openModel.ts';
import { Engine } from '../serving/engine.ts';
import { grammarVocabulary } from '../serving/grammarVocabulary.ts';
import { StepRecorder } from '../serving/stepRecorder.ts';
import type { Tokenizer } from '../tokenizer/byteLevelBpe.ts';
import { measureLimits } from './measureLimits.ts';
import { type ServedShape, StepSimulator } from './serve/simulateSteps.ts';
import { type Machine, servingExecutor } from './wiring.ts';

export interface EngineSettings {
  readonly maxContext: number;
  /** Sequences that run at once. */
  readonly maxSequences: number;
  /** Rows of a step: decoded tokens, drafts, and chunks of prompts. */
  readonly tokenBudget: number;
  readonly numBlocks: number;
  readonly blockSize: number;
  /** What latents are kept in; f32 when left out. */
  readonly cacheDtype?: CacheDType;
  readonly speculation: 'auto' | number;
  readonly isDeterministic: boolean;
}

/** Steps that somebody may look at. */
const RECORDED_STEPS = 32;

/** Positions of a block: a prompt's cached prefix is found in steps of this. */
export const BLOCK_SIZE = 64;

export function createEngine(args: {
  machine: Machine;
  opened: OpenedModel;
  tokenizer: Tokenizer;
  compileGrammar: (spec: GrammarSpec, vocabulary: GrammarVocabulary) => CompiledGrammar;
  settings: EngineSettings;
}): Engine {
  const { machine, opened, tokenizer, compileGrammar, settings } = args;
  const { config, model } = opened;
  const { maxContext, maxSequences, numBlocks, blockSize, tokenBudget } = settings;
  const executor = new StepRecorder(
    servingExecutor({
      ...{ kernels: opened.kernels, model, clock: machineClock, numBlocks, blockSize },
      ...{ maxPositions: opened.maxPositions, mtpHidden: 'postNorm' },
      deterministic: settings.isDeterministic,
      ...(settings.cacheDtype === undefined ? {} : { cacheDtype: settings.cacheDtype }),
    }),
    RECORDED_STEPS,
  );
  // For whoever looks at steps: only then are tensors listed and limits measured.
  const shape = (): ServedShape => ({
    ...{ config, numBlocks, blockSize, maxPositions: opened.maxPositions },
    dtypeOf: dtypesOf(opened.parameters),
    cacheDtype: settings.cacheDtype ?? 'f32',
  });
  let simulator: StepSimulator | null = null;
  const endIds = endIdsOf(config, tokenizer);
  const { vocabSize } = config;
  const vocabulary = grammarVocabulary(tokenizer, { vocabSize, endIds });
  return new Engine({
    ...{ executor, clock: machineClock, tokenBytes: tokenizer, endIds, tokenBudget },
    numDrafts: settings.speculation,
    isDeterministic: settings.isDeterministic,
    compileGrammar: (spec) => compileGrammar(spec, vocabulary),
    recentSteps: () => {
      // Half a second of both cores, for whoever looks at steps, once.
      simulator ??= new StepSimulator(shape(), measureLimits(machine));
      return simulator.simulate(executor.steps);
    },
    info: {
      ...{ maxContext, vocabSize, numBlocks, blockSize, maxSequences },
      numMtpModules: model.mtp.length,
      numRoutedExperts: config.nRoutedExperts,
      description: machine.description,
    },
  });
}

/** What each tensor of a checkpoint is kept as. */
function dtypesOf({ parameters, buffers }: ParameterSet): (name: string) => WeightDType {
  const dtypes = new Map<string, WeightDType>();
  for (const { tensors } of [...parameters.values(), ...buffers.values()]) {
    for (const { name, view } of tensors) dtypes.set(name, view.dtype);
  }
  return (name) => dtypes.get(name) ?? 'f32';
}

/** What ends a text: the config's end tokens and the tokenizer's. */
export function endIdsOf({ eosTokenId }: ModelConfig, tokenizer: Tokenizer): ReadonlySet<number> {
  const fromConfig = eosTokenId === null ? [] : [eosTokenId].flat();
  const fromTokenizer = tokenizer.eosTokenId === undefined ? [] : [tokenizer.eosTokenId];
  return new Set([...fromConfig, ...fromTokenizer]);
}
