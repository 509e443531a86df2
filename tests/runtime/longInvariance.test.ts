/**
 * Deterministic mode in long texts: a request gives the same tokens, and log probabilities of the
 * same bits, alone, in a batch, in other chunks, behind a prefix that was cached, and run again
 * after it gave way, on either side of 2,048 and 4,096 positions, where attention is put together
 * from parts (`../decodeBorders.test.ts`).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { at } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type { CacheDType } from '../../src/kernels/latentCache.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import type { EngineInfo, EngineRequest } from '../../src/serving/engineClient.ts';
import { engineOn, engineRequest, finish, Listener } from '../support/engineWorld.ts';
import { freshModel, kernelsUnderTest } from '../support/goldenModel.ts';
import { tinyIds, tinyV3 } from '../support/tinyConfig.ts';

const CONFIG = { ...tinyV3, numNextnPredictLayers: 1, maxPositionEmbeddings: 4200 };
const { vocabSize, maxPositionEmbeddings: maxContext } = CONFIG;
const BLOCK_SIZE = 32;
/** Prompts end before a border, answers behind it. */
const PROMPTS = [2035, 4080] as const;
const MAX_TOKENS = 28;
const [LONG = []] = tinyIds({ sequences: 1, length: 4080, vocabSize, seed: 21 });

interface Told {
  readonly ids: number[];
  readonly logProbabilities: number[];
}

interface World {
  readonly kernels: Kernels;
  readonly cacheDtype: CacheDType;
  readonly isDeterministic: boolean;
}

interface Run {
  readonly requests: readonly EngineRequest[];
  readonly tokenBudget: number;
  /** Cache blocks; as many as all requests need when left out. */
  readonly numBlocks?: number;
  readonly numDrafts?: number;
  /** Steps before the next request comes; as soon as the one before has ended when left out. */
  readonly apart?: number;
}

interface Ended {
  readonly told: ReadonlyMap<string, Told>;
  readonly stats: { readonly preemptions: number; readonly prefixHitTokens: number };
}

async function run({ kernels, cacheDtype, isDeterministic }: World, how: Run): Promise<Ended> {
  const { requests, tokenBudget, numBlocks = 320, numDrafts = 0, apart } = how;
  const { model } = freshModel(kernels, CONFIG);
  const executor = new LocalServingExecutor({
    ...{ kernels, model, clock: new ManualClock(), numBlocks, blockSize: BLOCK_SIZE },
    ...{ maxPositions: maxContext, mtpHidden: 'postNorm', cacheDtype },
    deterministic: isDeterministic,
  });
  const info: EngineInfo = {
    ...{ maxContext, vocabSize, numMtpModules: 1, numRoutedExperts: CONFIG.nRoutedExperts },
    ...{ numBlocks, blockSize: BLOCK_SIZE, maxSequences: 8, description: 'long' },
  };
  const tokenBytes = {
    tokenBytes: (id: number) => new Uint8Array([48 + id]),
    addedToken: () => undefined,
  };
  const { engine } = engineOn(executor, {
    ...{ info, tokenBytes, tokenBudget, numDrafts, isDeterministic },
  });
  const listener = new Listener();
  let next = 0;
  const feed = (step: number): void => {
    const isDue = apart === undefined ? engine.isIdle : step >= next * apart;
    if (next < requests.length && isDue) engine.add(at(requests, next++));
  };
  while (next < requests.length) await finish(engine, listener, feed);
  const told = new Map<string, Told>();
  for (const [requestId, { tokens, end }] of listener.told) {
    assert.equal(end?.reason, 'length', end?.error?.message);
    told.set(requestId, {
      ids: tokens.map(({ id }) => id),
      logProbabilities: tokens.map(({ logProbability }) => logProbability),
    });
  }
  return { told, stats: engine.stats };
}

function request(requestId: string, length: number): EngineRequest {
  const logProbabilities = { of: 'model', numTop: 0 } as const;
  return engineRequest(requestId, LONG.slice(0, length), {
    ...{ maxTokens: MAX_TOKENS, logProbabilities },
  });
}

/** One that finds nothing cached. */
function salted(requestId: string, length: number): EngineRequest {
  return { ...request(requestId, length), cacheSalt: 'other' };
}

/** Alone and at once: what every other way must give. */
async function alone(world: World): Promise<Map<string, Told>> {
  const all = new Map<string, Told>();
  for (const length of PROMPTS) {
    const requests = [request(`${length}`, length)];
    const { told } = await run(world, { requests, tokenBudget: 5000 });
    for (const [requestId, tokens] of told) all.set(requestId, tokens);
  }
  return all;
}

/** By the length of the prompt, which begins a request's name. */
const WAYS: Readonly<Record<string, Run>> = {
  'in a batch and in chunks': {
    ...{ tokenBudget: 700, apart: 1 },
    requests: [request('50', 50), request('4080', 4080), request('2035', 2035)],
  },
  'behind a cached prefix, with drafts': {
    ...{ tokenBudget: 1000, numDrafts: 1 },
    requests: [request('2035', 2035), request('4080', 4080), request('2035 again', 2035)],
  },
  'preempted and run again': {
    // The second goes first, and takes what the first has cached past 2,048 positions.
    ...{ tokenBudget: 1500, apart: 20, numBlocks: 140 },
    requests: [{ ...request('2035', 2035), priority: 1 }, salted('4080', 4080)],
  },
};

/** Tells whether every answer has the bits it has alone. */
function isAsAlone(ended: Ended, expected: ReadonlyMap<string, Told>): boolean {
  return [...ended.told].every(([requestId, told]) => {
    const wanted = expected.get(requestId.split(' ')[0] ?? '');
    return wanted === undefined || isDeepStrictEqual(told, wanted);
  });
}

// The reference kernels know no parts and take minutes.
for (const kernels of kernelsUnderTest().slice(1)) {
  const isQuick = kernels.name === 'native';
  for (const cacheDtype of isQuick ? (['f32', 'bf16', 'f8e4m3'] as const) : (['f32'] as const)) {
    const world: World = { kernels, cacheDtype, isDeterministic: true };

    test(`${kernels.name}, ${cacheDtype} cache: the same bits past 4,096 positions`, async () => {
      const expected = await alone(world);
      for (const { ids, logProbabilities } of expected.values()) {
        assert.equal(ids.length, MAX_TOKENS);
        assert.ok(logProbabilities.every((x) => x < 0));
      }
      for (const [way, how] of Object.entries(WAYS)) {
        const ended = await run(world, how);
        for (const [requestId, told] of ended.told) {
          const wanted = expected.get(requestId.split(' ')[0] ?? '');
          if (wanted !== undefined) assert.deepEqual(told, wanted, `${requestId}, ${way}`);
        }
        assert.equal(ended.stats.preemptions > 0, how.numBlocks !== undefined, way);
        assert.equal(ended.stats.prefixHitTokens > 4000, how.numDrafts !== undefined, way);
      }
    });
  }

  test(`${kernels.name}: an answer that comes back in a prompt is run as a prompt`, async () => {
    const world: World = { kernels, cacheDtype: 'f32', isDeterministic: true };
    const first = request('4080', 4080);
    const { told } = await run(world, { requests: [first], tokenBudget: 5000 });
    const answer = told.get('4080')?.ids.slice(0, 20) ?? [];
    const second = {
      ...first,
      requestId: 'second',
      promptIds: Int32Array.from([...LONG, ...answer]),
    };
    const alone = await run(world, { requests: [second], tokenBudget: 5000 });
    const behind = await run(world, { requests: [first, second], tokenBudget: 5000 });
    assert.deepEqual(behind.told.get('second'), alone.told.get('second'));
    assert.equal(behind.stats.prefixHitTokens, Math.floor(4080 / BLOCK_SIZE) * BLOCK_SIZE);
  });

  test(`${kernels.name}: without the mode every way has other bits somewhere`, async () => {
    const world: World = { kernels, cacheDtype: 'f32', isDeterministic: false };
    const expected = await alone(world);
    for (const [way, how] of Object.entries(WAYS)) {
      assert.ok(!isAsAlone(await run(world, how), expected), way);
    }
  });
}
