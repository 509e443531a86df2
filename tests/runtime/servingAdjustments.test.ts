/**
 * What a policy does to logits before a draw, and what it is told of them, through the serving
 * executor: at every position of a pass with drafts, beside rows that want nothing of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type {
  LogitAdjustment,
  SampleRequest,
  Sampling,
  ServingInstruction,
  TokensOutcome,
  TopTokens,
} from '../../src/program/instruction.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { freshModel, kernelsUnderTest } from '../support/goldenModel.ts';
import { tinyV3 } from '../support/tinyConfig.ts';

const { vocabSize } = tinyV3;
const HOT: Sampling = { temperature: 0.8, topK: 0, topP: 1, minP: 0, seed: 3 };
const NOTHING = { ids: [], factors: [], addends: [] };
const PROMPTS = [
  [1, 2, 3],
  [4, 5],
];
/** The last token and two drafts of each. */
const DECODED = [
  [6, 7, 8],
  [9, 10, 11],
];
const POSITIONS = 3;

function allowing(...tokens: readonly number[]): LogitAdjustment {
  const allowed = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const token of tokens) allowed[token >> 5] = at(allowed, token >> 5) | (1 << (token & 31));
  return { ...NOTHING, allowed };
}

function biased(id: number, addend: number): LogitAdjustment {
  return { allowed: null, ids: [id], factors: [1], addends: [addend] };
}

type Wish = Omit<SampleRequest, 'sequenceId' | 'positions' | 'numDrafts' | 'sampling'> & {
  readonly sampling?: Sampling;
};

/** One decode of both sequences behind their prompts, with what each wants. */
class Desk {
  readonly #executor: LocalServingExecutor;

  constructor(kernels: Kernels) {
    this.#executor = new LocalServingExecutor({
      kernels,
      model: freshModel(kernels, tinyV3).model,
      clock: new ManualClock(),
      numBlocks: 16,
      blockSize: 4,
      maxPositions: tinyV3.maxPositionEmbeddings,
      mtpHidden: 'postNorm',
    });
  }

  async decode(wishes: readonly Wish[], numDrafts = 0): Promise<TokensOutcome[]> {
    const blocksOf = (s: number): number[] => [0, 1, 2, 3].map((block) => 4 * s + block);
    const tokens = (all: readonly number[][], first: (s: number) => number) =>
      all.map((ids, s) => ({
        sequenceId: s,
        ids,
        firstPosition: first(s),
        blocks: blocksOf(s),
      }));
    const instructions: ServingInstruction[] = [
      { kind: 'prefill', sequences: tokens(PROMPTS, () => 0) },
      { kind: 'fillDrafts', sequences: [0, 1].map((s) => ({ sequenceId: s, nextIds: next(s) })) },
      { kind: 'decode', sequences: tokens(DECODED, (s) => at(PROMPTS, s).length) },
      {
        kind: 'sample',
        sequences: wishes.map((wish, sequenceId) => ({
          sequenceId,
          positions: POSITIONS,
          sampling: HOT,
          numDrafts,
          ...wish,
        })),
      },
    ];
    const { outcomes } = await this.#executor.run([{ rank: 0, instructions }]);
    return outcomes.filter((each) => each.kind === 'tokens');
  }
}

function next(sequence: number): number[] {
  return at(DECODED, sequence).slice(0, tinyV3.numNextnPredictLayers);
}

function sumOf(logProbabilities: readonly number[]): number {
  return logProbabilities.reduce((sum, each) => sum + Math.exp(each), 0);
}

for (const [index, { name }] of kernelsUnderTest().entries()) {
  const desk = (): Desk => new Desk(at(kernelsUnderTest(), index));

  test(`${name}: a mask holds at every position, and ln p stays that of the model`, async () => {
    const one = desk();
    const decode = (wishes: readonly Wish[]): Promise<TokensOutcome[]> => one.decode(wishes);
    const [all] = await decode([{ numTop: 20 }, {}]);
    const masks = [allowing(20), null, allowing(21, 39)];
    const [masked, beside] = await decode([{ adjustments: masks, numTop: 20 }, {}]);
    const [, alone] = await decode([{}, {}]);
    assert.ok(all !== undefined && masked !== undefined);
    assert.equal(masked.sampled[0], 20);
    assert.equal(masked.sampled[1], all.sampled[1]);
    assert.ok([21, 39].includes(at(masked.sampled, 2)));
    // The likeliest tokens are the model's own, mask or not.
    assert.deepEqual(masked.top, all.top);
    for (let i = 0; i < POSITIONS; i++) {
      const { ids, logProbabilities }: TopTokens = at<TopTokens>(masked.top ?? [], i);
      const place = ids.indexOf(at(masked.sampled, i));
      if (place >= 0) assert.equal(masked.logProbabilities[i], logProbabilities[place]);
      else assert.ok(at(masked.logProbabilities, i) <= at(logProbabilities, 19));
      assert.ok(
        logProbabilities.every((each, n) => n === 0 || each <= at(logProbabilities, n - 1)),
      );
    }
    assert.deepEqual(beside, alone, 'a row beside an adjusted one has the tokens it has alone');
  });

  test(`${name}: probabilities of the sampler are of what a token was drawn from`, async () => {
    const masks = [allowing(20), allowing(3, 4, 35), allowing(0, 31, 32, 39)];
    const [outcome] = await desk().decode([
      { adjustments: masks, numTop: 20, probabilitiesOf: 'sampler' },
      { sampling: { ...HOT, temperature: 0 } },
    ]);
    assert.deepEqual(
      outcome?.top?.map(({ ids }) => ids.length),
      [1, 3, 4],
    );
    for (const { logProbabilities } of outcome?.top ?? []) {
      assert.ok(Math.abs(sumOf(logProbabilities) - 1) < 1e-5);
    }
    assert.equal(outcome?.logProbabilities[0], 0);
  });

  test(`${name}: a bias moves a token to the front or out of the way`, async () => {
    const greedy = { ...HOT, temperature: 0 };
    const plain = await desk().decode([{ sampling: greedy }, { sampling: greedy }]);
    const best = at(at(plain, 0).sampled, 0);
    const adjustments = [biased(best, -100), biased(17, 1000), biased(17, 0)];
    const [moved] = await desk().decode([{ sampling: greedy, adjustments }, {}]);
    assert.notEqual(moved?.sampled[0], best);
    assert.equal(moved?.sampled[1], 17);
    assert.equal(moved?.sampled[2], plain[0]?.sampled[2]);
  });

  test(`${name}: passes after an adjusted one are as they were, drafts too`, async () => {
    const one = desk();
    const plain = await one.decode([{}, {}], 3);
    assert.ok(plain.every(({ drafts }) => drafts.length === 3));
    await one.decode([{ adjustments: [allowing(1), allowing(2), allowing(3)] }, { numTop: 4 }], 1);
    assert.deepEqual(await one.decode([{}, {}], 3), plain);
  });

  test(`${name}: what leaves no token, or is no adjustment, is refused by name`, async () => {
    const refused = async (wish: Wish): Promise<string> => {
      try {
        await desk().decode([wish, {}]);
      } catch (error) {
        if (error instanceof MoebiusError) return error.code;
        throw error;
      }
      return 'it ran';
    };
    const each = (adjustment: LogitAdjustment): Wish => ({
      adjustments: [null, null, adjustment],
    });
    assert.equal(await refused(each(allowing())), 'sampling.noToken');
    // The last word has bits for tokens that do not exist.
    const beyond = allowing();
    beyond.allowed?.set([0, 0xffffff00]);
    assert.equal(await refused(each(beyond)), 'sampling.noToken');
    const emptied = { ...allowing(5), ids: [5], factors: [1], addends: [Number.NEGATIVE_INFINITY] };
    assert.equal(await refused(each(emptied)), 'sampling.noToken');
    assert.equal(await refused(each(biased(vocabSize, 1))), 'sampling.adjustment');
    assert.equal(await refused(each(biased(1, Number.NaN))), 'sampling.adjustment');
    assert.equal(await refused(each({ ...biased(1, 0), factors: [0] })), 'sampling.adjustment');
    assert.equal(await refused({ numTop: 21 }), 'sampling.top');
  });
}
