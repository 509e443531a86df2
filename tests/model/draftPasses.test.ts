/**
 * Drafts that are recorded, held to the same rows laid out each time: the same bits, however many
 * rows were accepted, for one sequence or several, module after module and on from a draft.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import type { I32, Kernels } from '../../src/kernels/kernels.ts';
import { DecodePasses } from '../../src/model/decodePasses.ts';
import type { WantedDrafts } from '../../src/model/draftPasses.ts';
import { gatherRows } from '../../src/model/embedding.ts';
import { draftRows, logitsOfRows, runRows, type States } from '../../src/model/inference.ts';
import { sampleRows } from '../../src/model/sampler.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  uploadServingRows,
} from '../../src/model/servingRows.ts';
import { freshModel, kernelsUnderTest } from '../support/goldenModel.ts';
import { tinyV3 } from '../support/tinyConfig.ts';

const CONFIG = { ...tinyV3, maxPositionEmbeddings: 64 };
const { vocabSize, maxPositionEmbeddings: maxPositions } = CONFIG;
const [BLOCK_SIZE, BLOCKS_EACH, NUM_SEQUENCES] = [4, 16, 3];
/** Settled rows of each sequence in each step. */
const STEPS: readonly (readonly number[])[] = [
  [1],
  [2],
  [1],
  [2],
  [1, 1, 1],
  [2, 1, 3],
  [1, 3, 2],
  [3, 3, 3],
  [1, 1, 1],
  [2],
];
/** Modules of the drafts behind one pass: each module once, then the last one again. */
const MODULES = [1, 2, 2, 2];

interface Settled extends SequenceRows {
  readonly firstState: number;
}

interface Drawn {
  readonly ids: number[];
  readonly logProbabilities: number[];
}

/** What one of two ways makes of the same steps. */
interface Way {
  run(sequences: readonly SequenceRows[]): void;
  draft(wanted: WantedDrafts): Promise<Drawn>;
}

function prepare(kernels: Kernels): { recorded: Way; plain: Way } {
  const { context, model } = freshModel(kernels, CONFIG);
  const ways = [0, 1].map(() => {
    const layers = [0, 1, 2, 3];
    const arena = kernels.createArena('caches');
    const sizes = { numBlocks: NUM_SEQUENCES * BLOCKS_EACH, blockSize: BLOCK_SIZE };
    return createLatentCaches({ arena, config: CONFIG, layers, ...sizes });
  });
  const [caches, ownCaches] = [at(ways, 0), at(ways, 1)];
  const passes = new DecodePasses({ ...context, arena: kernels.createArena('passes') }, model, {
    caches,
    maxPositions,
  });
  let drafts: ReturnType<typeof begin> | null = null;
  const begin = (sequences: readonly SequenceRows[]) => {
    const pass = passes.run(sequences);
    assert.ok(pass !== null);
    return pass.drafts;
  };
  const { arena } = context;
  const integers = (values: readonly number[]): I32 => {
    const tensor = arena.allocate('i32', [values.length]);
    kernels.write(tensor, Int32Array.from(values));
    return tensor;
  };
  const upload = (sequences: readonly SequenceRows[], own = ownCaches) =>
    uploadServingRows({ kernels, arena, sequences, caches: own, vocabSize, maxPositions });
  let states: States | null = null;
  /** Fills the modules' caches, too; which tokens they see does not matter here. */
  const runPrompts = (sequences: readonly SequenceRows[], own: LatentCaches): void => {
    const rows = upload(sequences, own);
    let { postNorm: previous } = runRows(context, model, { rows, caches: own });
    for (const depth of [1, 2]) {
      previous = draftRows(context, model, { depth, previous, rows, caches: own }).postNorm;
    }
  };
  return {
    recorded: {
      run: (sequences) => {
        // Prompts are nobody's recording.
        if (at(sequences, 0).firstPosition === 0) runPrompts(sequences, caches);
        else drafts = begin(sequences);
      },
      draft: async (wanted) => {
        assert.ok(drafts !== null);
        const pass = drafts.run(wanted);
        const { ids, logProbabilities } = await pass.drawn;
        drafts = pass.next;
        return { ids: [...ids], logProbabilities: [...logProbabilities] };
      },
    },
    plain: {
      run: (sequences) => {
        if (at(sequences, 0).firstPosition === 0) runPrompts(sequences, ownCaches);
        else states = runRows(context, model, { rows: upload(sequences), caches: ownCaches });
      },
      draft: async ({ module, sequences, continued, wanted }) => {
        assert.ok(states !== null);
        const previous = gatherRows(context, states.postNorm, integers(continued));
        const rows = upload(sequences);
        states = draftRows(context, model, { depth: module, previous, rows, caches: ownCaches });
        const chosen = integers(wanted.chosen);
        const logits = logitsOfRows(context, model, { states, rows: chosen });
        const { ids, logProbabilities } = await sampleRows(context, { logits, ...wanted });
        return { ids: [...ids], logProbabilities: [...logProbabilities] };
      },
    },
  };
}

/** The drafts of one step as a module wants them. */
function wantedOf(sequences: readonly Settled[], module: number, salt: number): WantedDrafts {
  let row = 0;
  const lasts = sequences.map(({ ids }) => {
    row += ids.length;
    return row - 1;
  });
  return {
    module,
    sequences,
    continued: sequences.flatMap(({ ids, firstState }) => ids.map((_, i) => firstState + i)),
    wanted: {
      chosen: lasts,
      rules: lasts.map((_, i) => ({
        temperature: i % 2,
        topK: 0,
        topP: 1,
        minP: 0,
        seed: salt + i,
      })),
      positions: sequences.map(({ ids, firstPosition }) => firstPosition + ids.length + module),
    },
  };
}

for (const [index, { name }] of kernelsUnderTest().entries()) {
  test(`${name}: recorded drafts have the bits of drafts laid out each time`, async () => {
    const { recorded, plain } = prepare(at(kernelsUnderTest(), index));
    const random = new Random(5, 'drafts');
    const token = (): number => random.integer(vocabSize);
    const lengths = new Array<number>(NUM_SEQUENCES).fill(0);
    const blocksOf = (s: number): number[] =>
      Array.from({ length: BLOCKS_EACH }, (_, b) => b * NUM_SEQUENCES + s);
    const take = (s: number, count: number): SequenceRows => {
      const firstPosition = at(lengths, s);
      lengths[s] = firstPosition + count;
      const ids = Array.from({ length: count }, token);
      return { ids, firstPosition, blocks: blocksOf(s) };
    };
    const prompts = lengths.map((_, s) => take(s, 3 + s));
    for (const way of [recorded, plain]) way.run(prompts);
    for (const [salt, counts] of STEPS.entries()) {
      const sequences = counts.map((count, s) => take(s, count));
      for (const way of [recorded, plain]) way.run(sequences);
      let first = 0;
      let settled: Settled[] = sequences.map(({ ids, firstPosition, blocks }) => {
        const firstState = first;
        first += ids.length;
        return { ids: [...ids.slice(1), token()], firstPosition, blocks, firstState };
      });
      for (const [depth, module] of MODULES.entries()) {
        const wanted = wantedOf(settled, module, salt);
        const expected = await plain.draft(wanted);
        assert.deepEqual(await recorded.draft(wanted), expected, `step ${salt}, draft ${depth}`);
        let row = 0;
        settled = settled.map(({ ids, firstPosition, blocks }, s) => {
          const firstState = row;
          row += ids.length;
          const draft = at(expected.ids, s);
          if (depth + 1 < 2) {
            return { ids: [...ids.slice(1), draft], firstPosition, blocks, firstState };
          }
          const last = { firstPosition: firstPosition + ids.length, firstState: row - 1 };
          return { ids: [draft], blocks, ...last };
        });
      }
    }
  });
}
