/**
 * `moebius bench decode --speculate N`: plain and speculative decoding of the same prompts in
 * turns, against what their bytes allow.
 *
 *     bound = tokens per step · bytes of a plain pass / (bytes of a verifying pass + its drafts)
 *
 * A pass is bound by the weights it reads. Two rows of a sequence choose other experts than one, so
 * what they read together is counted, in one more run of the same steps, and not expected. Each
 * prompt is decoded plainly and with drafts, one right behind the other, and the two are compared
 * with one another: on a machine with other work only neighbours are alike.
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { median } from '../../base/median.ts';
import { Random } from '../../base/random.ts';
import { formatBytes, formatPercent } from '../../base/units.ts';
import type { Sampling } from '../../program/instruction.ts';
import type { OpenedModel } from '../../runtime/openModel.ts';
import { heldOutText } from '../heldOutText.ts';
import { openTokenizer } from '../openGenerator.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { openMachine } from '../wiring.ts';
import { describeLimits, type Limits, largerLimits, measureLimits } from './machineLimits.ts';
import { openWeights, type ServingBenchOptions } from './servingBench.ts';
import { bytesOfDraft, bytesOfPass, expectedExperts } from './servingCost.ts';
import { type Manner, SpeculationSession, type StepRecord } from './speculationSession.ts';

export interface SpeculationBenchOptions extends ServingBenchOptions {
  /** Tokens drafted per step. */
  readonly speculate: number;
  readonly numPrompts?: number;
  readonly temperature?: number;
  /** Made-up drafts of which each stands with this chance, in place of the modules' own. */
  readonly acceptance?: number;
}

export interface SpeculationFigures {
  /** Share of drafts that stood, by their place behind the last token. */
  readonly acceptancePerPosition: readonly number[];
  readonly acceptance: number;
  readonly tokensPerStep: number;
  /** Per pass: what it reads of weights and caches. */
  readonly plainBytes: number;
  readonly verifyBytes: number;
  readonly draftBytes: number;
  readonly plainExperts: number;
  readonly verifyExperts: number;
  readonly bound: number;
  /** Medians over prompts of what each prompt's two runs gave. */
  readonly speedup: number;
  readonly shareOfBound: number;
  /** Of all seconds together. */
  readonly speedupOfSums: number;
  readonly plainTokensPerSecond: number;
  readonly speculativeTokensPerSecond: number;
  /** Of the passes' medians. */
  readonly plainShareOfBandwidth: number | null;
  readonly verifyShareOfBandwidth: number | null;
  readonly draftShareOfBandwidth: number | null;
  readonly plainMilliseconds: number;
  readonly verifyMilliseconds: number;
  readonly draftMilliseconds: number;
  readonly prompts: number;
  readonly promptsAre: 'held out' | 'made up';
  readonly tokensPerPrompt: number;
  readonly roofline: Limits | null;
  readonly machine: string;
}

interface Turn {
  readonly plain: readonly StepRecord[];
  readonly drafted: readonly StepRecord[];
}

/** @throws bench.speculate, and what `bench decode` throws */
export async function benchSpeculation(
  options: SpeculationBenchOptions,
): Promise<SpeculationFigures> {
  const isTiny = options.tiny === true;
  const numSequences = options.batch ?? 1;
  const numPrompts = Math.max(numSequences, options.numPrompts ?? (isTiny ? 2 : 100));
  const promptTokens = options.context ?? (isTiny ? 8 : 64);
  const numTokens = options.tokens ?? (isTiny ? 6 : 32);
  const config = options.model ?? options.config ?? 'v3-mini';
  const maxPositions = promptTokens + numTokens + 2 * options.speculate + 2;
  const machine = openMachine({ kernels: options.kernels, note });
  const weights = { kind: 'decode', config, maxPositions } as const;
  const opened = await openWeights(weights, options, machine, 'kept');
  checkSpeculation(options, { opened, numSequences });
  const { kernels } = machine;
  const session = new SpeculationSession({ opened, kernels, numSequences, maxPositions });
  const { prompts, promptsAre } = await promptsOf(options, { opened, numPrompts, promptTokens });
  const groups: (readonly (readonly number[])[])[] = [];
  for (let first = 0; first + numSequences <= prompts.length; first += numSequences) {
    groups.push(prompts.slice(first, first + numSequences));
  }
  const sampling: Sampling = {
    temperature: options.temperature ?? 0,
    topK: 0,
    topP: 1,
    minP: 0,
    seed: 1,
  };
  const seconds = isTiny ? 0.03 : 0.5;
  const before = measureLimits(machine, seconds);
  const timed: Turn[] = [];
  const counted: Turn[] = [];
  for (const experts of ['counted', 'left'] as const) {
    for (const [index, group] of groups.entries()) {
      const plainly = { numDrafts: 0, sampling, numTokens, experts };
      const plain = await session.continue(group, plainly);
      const manner = mannerOf(options, { sampling, tokens: plain.tokens, index, opened });
      const drafted = await session.continue(group, { ...plainly, ...manner });
      const isLossless = JSON.stringify(plain.tokens) === JSON.stringify(drafted.tokens);
      assert(isLossless, 'speculation changes no token');
      const turn = { plain: plain.steps, drafted: drafted.steps };
      if (experts === 'counted') counted.push(turn);
      else timed.push(turn);
    }
  }
  const limits = largerLimits(before, measureLimits(machine, seconds));
  const figures = figuresOf({ opened, counted, timed, limits });
  const run = { prompts: groups.length * numSequences, promptsAre, tokensPerPrompt: numTokens };
  const all = { ...figures, ...run, machine: machine.description };
  print(all, { options, opened, config });
  return all;
}

/** @throws bench.speculate, bench.option */
function checkSpeculation(
  { speculate, shapes, acceptance = 0 }: SpeculationBenchOptions,
  { opened, numSequences }: { opened: OpenedModel; numSequences: number },
): void {
  if (opened.model.mtp.length === 0) {
    throw new MoebiusError('bench.speculate', 'the model has no MTP module to draft with', {
      hint: 'Take a config with numNextnPredictLayers ≥ 1, or leave out --speculate.',
    });
  }
  if (acceptance > 1) {
    throw new MoebiusError('bench.speculate', 'no more than all drafts can stand', {
      values: { acceptance },
      hint: 'Give --acceptance as a share, from 0 to 1.',
    });
  }
  if (shapes !== undefined) {
    throw new MoebiusError('bench.option', 'bench decode --speculate does not read --shapes', {
      hint: 'Leave out --shapes.',
    });
  }
  if (numSequences * (1 + speculate) > 16) {
    throw new MoebiusError('bench.speculate', 'a verifying pass would have more than 16 rows', {
      values: { batch: numSequences, speculate },
      hint: 'Lower --batch or --speculate: batch × (1 + speculate) may be 16.',
    });
  }
}

/** Text that the checkpoint was not trained on, in equal steps; random tokens without one. */
async function promptsOf(
  { model }: SpeculationBenchOptions,
  args: { opened: OpenedModel; numPrompts: number; promptTokens: number },
): Promise<{ prompts: number[][]; promptsAre: SpeculationFigures['promptsAre'] }> {
  const { opened, numPrompts, promptTokens } = args;
  const { vocabSize } = opened.config;
  const text = model === undefined ? null : await heldOutText(model);
  if (model === undefined || text === null) {
    const random = new Random(0, 'prompts');
    const prompts = Array.from({ length: numPrompts }, () =>
      Array.from({ length: promptTokens }, () => random.integer(vocabSize)),
    );
    return { prompts, promptsAre: 'made up' };
  }
  const { tokenizer } = openTokenizer(model, vocabSize);
  const ids = text.flatMap((document) => [...tokenizer.encode(document.text)]);
  const stride = Math.floor((ids.length - promptTokens) / numPrompts);
  if (stride < 1) {
    throw new MoebiusError('bench.prompts', 'the held-out text is too short for these prompts', {
      values: { tokens: ids.length, prompts: numPrompts, context: promptTokens },
      hint: 'Lower --num-prompts or --context.',
    });
  }
  const prompts = Array.from({ length: numPrompts }, (_, i) =>
    ids.slice(i * stride, i * stride + promptTokens),
  );
  return { prompts, promptsAre: 'held out' };
}

function mannerOf(
  { speculate, acceptance }: SpeculationBenchOptions,
  args: {
    sampling: Sampling;
    tokens: readonly (readonly number[])[];
    index: number;
    opened: OpenedModel;
  },
): Manner {
  const { sampling, tokens, index } = args;
  const { vocabSize } = args.opened.config;
  if (acceptance === undefined) return { numDrafts: speculate, sampling };
  const random = new Random(index, 'drafts');
  return {
    numDrafts: speculate,
    sampling,
    redraft: (sequence, numTokens) =>
      Array.from({ length: speculate }, (_, i) => {
        const truth = tokens[sequence]?.[numTokens + i] ?? 0;
        return random.uniform() < acceptance ? truth : (truth + 1) % vocabSize;
      }),
  };
}

function figuresOf(args: {
  opened: OpenedModel;
  counted: readonly Turn[];
  timed: readonly Turn[];
  limits: Limits | null;
}): Omit<SpeculationFigures, 'prompts' | 'promptsAre' | 'tokensPerPrompt' | 'machine'> {
  const { opened, counted, timed, limits } = args;
  const bytes = counted.map((turn) => bytesOfTurn(opened, turn));
  const plainSteps = timed.flatMap(({ plain }) => plain);
  const draftedSteps = timed.flatMap(({ drafted }) => drafted);
  const [plainTokens, draftedTokens] = [tokensOf(plainSteps), tokensOf(draftedSteps)];
  const all = {
    plain: mean(bytes.flatMap(({ plain }) => plain)),
    verify: mean(bytes.flatMap(({ verify }) => verify)),
    draft: mean(bytes.flatMap(({ draft }) => draft)),
  };
  const tokensPerStep = draftedTokens / draftedSteps.length;
  const perPlainStep = plainTokens / plainSteps.length;
  const bound = (tokensPerStep / perPlainStep) * (all.plain / (all.verify + all.draft));
  const speedups = timed.map(({ plain, drafted }) => rateOf(drafted) / rateOf(plain));
  const shares = timed.map((turn, i) => at(speedups, i) / boundOfTurn(turn, at(bytes, i)));
  const milliseconds = (pick: (step: StepRecord) => number, steps: readonly StepRecord[]): number =>
    1e3 * median(steps.map(pick));
  const plainMilliseconds = milliseconds(({ seconds }) => seconds, plainSteps);
  const verifyMilliseconds = milliseconds(({ verifySeconds }) => verifySeconds, draftedSteps);
  const draftMilliseconds = milliseconds(({ draftSeconds }) => draftSeconds, draftedSteps);
  const share = (read: number, spent: number): number | null =>
    limits && read / (spent * 1e-3) / (limits.readGigabytesPerSecond * 1e9);
  return {
    ...acceptanceOf(draftedSteps),
    tokensPerStep,
    plainBytes: all.plain,
    verifyBytes: all.verify,
    draftBytes: all.draft,
    plainExperts: mean(
      counted.flatMap(({ plain }) => plain.map(({ experts }) => experts?.main ?? 0)),
    ),
    verifyExperts: mean(
      counted.flatMap(({ drafted }) => drafted.map(({ experts }) => experts?.main ?? 0)),
    ),
    bound,
    speedup: median(speedups),
    shareOfBound: median(shares),
    speedupOfSums: rateOf(draftedSteps) / rateOf(plainSteps),
    plainTokensPerSecond: median(timed.map(({ plain }) => rateOf(plain))),
    speculativeTokensPerSecond: median(timed.map(({ drafted }) => rateOf(drafted))),
    plainShareOfBandwidth: share(all.plain, plainMilliseconds),
    verifyShareOfBandwidth: share(all.verify, verifyMilliseconds),
    draftShareOfBandwidth: share(all.draft, draftMilliseconds),
    plainMilliseconds,
    verifyMilliseconds,
    draftMilliseconds,
    roofline: limits,
  };
}

interface TurnBytes {
  readonly plain: readonly number[];
  readonly verify: readonly number[];
  readonly draft: readonly number[];
}

function bytesOfTurn({ config, parameters, model }: OpenedModel, turn: Turn): TurnBytes {
  const main = ({ numRows, cachedPositions, experts }: StepRecord): number => {
    const expertsPerLayer = experts?.main ?? expectedExperts(config, numRows);
    return bytesOfPass(config, parameters, {
      numTokens: numRows,
      cachedPositions,
      expertsPerLayer,
    });
  };
  const draft = (step: StepRecord): number => {
    const { numDraftPasses: numDrafts } = step;
    const { numExpertsPerTok } = config;
    let bytes = 0;
    for (let depth = 1; depth <= numDrafts; depth++) {
      const module = Math.min(depth, model.mtp.length);
      const isFirst = module === depth;
      const numTokens = isFirst ? step.numDraftRows : step.numSequences;
      // Several passes of one module are counted together; what they read is no less than that.
      const expertsPerLayer = isFirst ? (step.experts?.drafts ?? 0) : numExpertsPerTok;
      const pass = { numTokens, cachedPositions: step.cachedPositions, expertsPerLayer };
      const isShared = numDrafts > model.mtp.length && module === model.mtp.length && isFirst;
      const counted = isShared ? { ...pass, expertsPerLayer: numExpertsPerTok } : pass;
      bytes += bytesOfDraft(config, parameters, { ...counted, module });
    }
    return bytes;
  };
  return {
    plain: turn.plain.map(main),
    verify: turn.drafted.map(main),
    draft: turn.drafted.map(draft),
  };
}

function boundOfTurn({ plain, drafted }: Turn, bytes: TurnBytes): number {
  const perPlainToken = sum(bytes.plain) / tokensOf(plain);
  return perPlainToken / ((sum(bytes.verify) + sum(bytes.draft)) / tokensOf(drafted));
}

function acceptanceOf(
  steps: readonly StepRecord[],
): Pick<SpeculationFigures, 'acceptance' | 'acceptancePerPosition'> {
  const made: number[] = [];
  const stood: number[] = [];
  for (const { numDrafted, numAccepted } of steps) {
    for (let s = 0; s < numDrafted.length; s++) {
      for (let place = 0; place < at(numDrafted, s); place++) {
        made[place] = (made[place] ?? 0) + 1;
        stood[place] = (stood[place] ?? 0) + (place < at(numAccepted, s) ? 1 : 0);
      }
    }
  }
  return {
    acceptance: sum(stood) / Math.max(1, sum(made)),
    acceptancePerPosition: made.map((count, place) => at(stood, place) / count),
  };
}

function tokensOf(steps: readonly StepRecord[]): number {
  return sum(steps.map(({ numTokens }) => numTokens));
}

function rateOf(steps: readonly StepRecord[]): number {
  return tokensOf(steps) / sum(steps.map(({ seconds }) => seconds));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function print(
  figures: SpeculationFigures,
  args: { options: SpeculationBenchOptions; opened: OpenedModel; config: string },
): void {
  const { options, opened, config } = args;
  const share = (value: number | null): string => (value === null ? '–' : formatPercent(value));
  const pass = (milliseconds: number, bytes: number, part: number | null): string =>
    `${milliseconds.toFixed(3)} ms, ${formatBytes(bytes)}, ${share(part)} of the read speed`;
  const drawn = options.temperature ? `temperature ${options.temperature}` : 'greedy';
  const drafts = options.acceptance === undefined ? 'own drafts' : 'made-up drafts';
  const rows: Cell[][] = [
    ['model', `${config}, ${formatBytes(opened.weightBytes)}; ${figures.machine}`],
    [
      'work',
      `${figures.prompts} prompts, ${figures.promptsAre}, of ${figures.tokensPerPrompt} tokens ` +
        `more, batch ${options.batch ?? 1}, ${drawn}; ${options.speculate} per step, ${drafts}`,
    ],
    ['acceptance', figures.acceptancePerPosition.map((each) => formatPercent(each)).join(', ')],
    ['tokens per step', figures.tokensPerStep.toFixed(3)],
    [
      'plain pass',
      pass(figures.plainMilliseconds, figures.plainBytes, figures.plainShareOfBandwidth),
    ],
    [
      'verifying pass',
      pass(figures.verifyMilliseconds, figures.verifyBytes, figures.verifyShareOfBandwidth),
    ],
    ['drafts', pass(figures.draftMilliseconds, figures.draftBytes, figures.draftShareOfBandwidth)],
    [
      'experts a layer',
      `${figures.plainExperts.toFixed(2)} plain, ${figures.verifyExperts.toFixed(2)} verifying`,
    ],
    ['plain', `${figures.plainTokensPerSecond.toFixed(1)} tokens/s`],
    ['speculative', `${figures.speculativeTokensPerSecond.toFixed(1)} tokens/s`],
    [
      'faster by',
      `${figures.speedup.toFixed(3)} × (${figures.speedupOfSums.toFixed(3)} × over all seconds)`,
    ],
    ['bound', `${figures.bound.toFixed(3)} ×`],
    ['share of the bound', formatPercent(figures.shareOfBound)],
    ['limits in this run', describeLimits(figures.roofline)],
  ];
  printResult(options, { table: formatTable(rows), json: { ...figures } });
}
