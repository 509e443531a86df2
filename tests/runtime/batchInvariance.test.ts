/**
 * What a request's numbers may depend on. Deterministic: on its own tokens and on which of them
 * were its prompt, to the bit, however the prompt is cut, whatever else runs, whatever was cached
 * before, by however many threads. Otherwise the same up to float noise, and a decoded row to the
 * bit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type { CacheDType } from '../../src/kernels/latentCache.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { createWasmKernels } from '../../src/kernels/wasm.ts';
import type { Sampling, ServingInstruction } from '../../src/program/instruction.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { loadWasm } from '../../src/runtime/loadWasm.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { freshModel } from '../support/goldenModel.ts';
import { tinyIds, tinyV3 } from '../support/tinyConfig.ts';

const PROMPT = 45;
const GENERATED = 21;
const LENGTH = PROMPT + GENERATED;
const CONFIG = {
  ...tinyV3,
  numNextnPredictLayers: 0,
  kvLoraRank: 40,
  maxPositionEmbeddings: 80,
};
const BLOCK_SIZE = 4;
const BLOCKS = Math.ceil(LENGTH / BLOCK_SIZE);
const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };
/** Tokens of requests: a watched one, and others around it. */
const REQUESTS = tinyIds({ sequences: 5, length: LENGTH, vocabSize: CONFIG.vocabSize, seed: 9 });

interface Machine {
  readonly name: string;
  /** The same arithmetic by several numbers of threads. */
  readonly kernels: readonly Kernels[];
  /** Requests around the watched one, at most. */
  readonly others: number;
  readonly runs: number;
}

function machines(): Machine[] {
  const wasm = loadWasm({ threads: 1, isShared: false });
  if ('reason' in wasm) throw new Error(wasm.reason);
  const all: Machine[] = [
    { name: 'reference', kernels: [createReferenceKernels()], others: 1, runs: 1 },
    { name: 'wasm', kernels: [createWasmKernels(wasm.instance)], others: 4, runs: 4 },
  ];
  const loaded = loadAddon();
  if ('reason' in loaded) return all;
  for (const [place, isa] of loaded.addon.isas.entries()) {
    const of = (threads: number): Kernels => createNativeKernels(loaded.addon, { isa, threads });
    all.push({
      name: `native ${isa}`,
      kernels: [of(1), of(2)],
      others: 4,
      runs: place === 0 ? 6 : 2,
    });
  }
  return all;
}

interface Options {
  readonly cacheDtype: CacheDType;
  readonly deterministic: boolean;
}

/** An executor whose requests are known by their number; each has blocks of its own. */
class Runner {
  readonly #executor: LocalServingExecutor;

  constructor(kernels: Kernels, options: Options) {
    const { model } = freshModel(kernels, CONFIG);
    this.#executor = new LocalServingExecutor({
      kernels,
      model,
      clock: new ManualClock(),
      numBlocks: BLOCKS * REQUESTS.length,
      blockSize: BLOCK_SIZE,
      maxPositions: CONFIG.maxPositionEmbeddings,
      mtpHidden: 'postNorm',
      ...options,
    });
  }

  /** ln p of the most likely token behind every row that was run, by request. */
  async run(
    kind: 'prefill' | 'decode',
    parts: readonly { request: number; first: number; count: number; cachedBy?: number }[],
  ): Promise<number[][]> {
    const instructions: ServingInstruction[] = [
      {
        kind,
        sequences: parts.map(({ request, first, count, cachedBy = request }) => ({
          sequenceId: request,
          ids: at(REQUESTS, request).slice(first, first + count),
          firstPosition: first,
          blocks: Array.from({ length: BLOCKS }, (_, i) => i * REQUESTS.length + cachedBy),
        })),
      },
      {
        kind: 'sample',
        sequences: parts.map(({ request, count }) => ({
          sequenceId: request,
          positions: count,
          sampling: GREEDY,
          numDrafts: 0,
        })),
      },
    ];
    const { outcomes } = await this.#executor.run([{ rank: 0, instructions }]);
    return outcomes.map((outcome) => {
      assert.ok(outcome.kind === 'tokens');
      return [...outcome.logProbabilities];
    });
  }
}

/** The plainest schedule: the prompt at once, then token after token. */
async function alone(runner: Runner, request: number): Promise<number[]> {
  const [prompt = []] = await runner.run('prefill', [{ request, first: 0, count: PROMPT }]);
  const all = [...prompt];
  for (let first = PROMPT; first < LENGTH; first++) {
    const [row = []] = await runner.run('decode', [{ request, first, count: 1 }]);
    all.push(...row);
  }
  return all;
}

interface Schedule {
  /** Where the watched request's prompt is cut, and where its generated tokens are. */
  readonly chunks: readonly number[];
  readonly groups: readonly number[];
  /** Rows of others in every pass. */
  readonly others: readonly number[];
  /** Positions of the prompt that were cached before, by another pass. */
  readonly hit: number;
  /** Whether generated positions are run again from the prompt on, as after preemption. */
  readonly again: boolean;
}

const cuts = (length: number): fc.Arbitrary<number[]> =>
  fc
    .array(fc.integer({ min: 1, max: length - 1 }), { maxLength: 4 })
    .map((all) => [...new Set([0, ...all, length])].toSorted((a, b) => a - b));

const schedules: fc.Arbitrary<Schedule> = fc.record({
  chunks: cuts(PROMPT),
  groups: cuts(GENERATED),
  others: fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 4 }),
  hit: fc.constantFrom(0, 0, 4, 20, 40),
  again: fc.boolean(),
});

/** One that rounds nearly all rows otherwise than the plainest, where nothing prevents it. */
const MIXED: Schedule = {
  chunks: [0, 17, 40, PROMPT],
  groups: [0, 2, 9, GENERATED],
  ...{ others: [3], hit: 4, again: true },
};

/** The watched request by a schedule, from a cache that may hold some of it. */
async function scheduled(runner: Runner, schedule: Schedule): Promise<Map<number, number>> {
  const { chunks, groups, others, hit, again } = schedule;
  const rows = new Map<number, number>();
  const note = (first: number, values: readonly number[] = []): void => {
    for (const [i, value] of values.entries()) rows.set(first + i, value);
  };
  const around = (count: number): { request: number; first: number; count: number }[] =>
    others.map((most, i) => ({ request: i + 1, first: 0, count: Math.min(most, count + 7) }));
  if (hit > 0) await runner.run('prefill', [{ request: 0, first: 0, count: hit }]);
  for (let i = 0; i + 1 < chunks.length; i++) {
    const first = Math.max(at(chunks, i), hit);
    const count = at(chunks, i + 1) - first;
    if (count <= 0) continue;
    const parts = [...around(count), { request: 0, first, count }];
    note(first, (await runner.run('prefill', parts)).at(-1));
  }
  for (let pass = 0; pass < (again ? 2 : 1); pass++) {
    for (let i = 0; i + 1 < groups.length; i++) {
      const first = PROMPT + at(groups, i);
      const count = PROMPT + at(groups, i + 1) - first;
      const behind = around(count).map((part) => ({ ...part, first: 5 }));
      note(first, (await runner.run('decode', [{ request: 0, first, count }, ...behind]))[0]);
    }
  }
  return rows;
}

for (const { name, kernels, others, runs } of machines()) {
  const fitting = schedules.map((all) => ({ ...all, others: all.others.slice(0, others) }));

  for (const cacheDtype of ['f32', 'bf16', 'f8e4m3'] as const) {
    test(`${name}, ${cacheDtype} cache: a deterministic row's bits are its prefix's`, async () => {
      const runners = kernels.map((each) => new Runner(each, { cacheDtype, deterministic: true }));
      const expected = await alone(at(runners, 0), 0);
      // Of the others no position past the prompt is ever looked at.
      for (let request = 1; request <= others; request++) {
        for (const each of runners) {
          await each.run('prefill', [{ request, first: 0, count: PROMPT }]);
        }
      }
      const property = fc.asyncProperty(fitting, fc.nat(), async (schedule, which) => {
        const runner = at(runners, which % runners.length);
        for (const [position, value] of await scheduled(runner, schedule)) {
          assert.equal(value, expected[position], `position ${position}`);
        }
      });
      const examples: [Schedule, number][] = [[MIXED, 1]];
      await fc.assert(property, { seed: 5, numRuns: runs, examples });
    });
  }

  test(`${name}: chunks and batches are float noise, and nothing to a decoded row`, async () => {
    const options = { cacheDtype: 'f32', deterministic: false } as const;
    const runner = new Runner(at(kernels, 0), options);
    for (let request = 1; request <= others; request++) {
      await runner.run('prefill', [{ request, first: 0, count: PROMPT }]);
    }
    let noise = 0;
    const property = fc.asyncProperty(fitting, async (schedule) => {
      const expected = await alone(runner, 0);
      // On the same cached prompt.
      const { groups } = schedule;
      const decoded = await scheduled(runner, { ...schedule, hit: 0, chunks: [], groups });
      for (const [position, value] of decoded) {
        assert.equal(value, expected[position], `decoded position ${position}`);
      }
      for (const [position, value] of await scheduled(runner, schedule)) {
        // Two orders of summation in float32, on logits of about 3.
        const error = Math.abs(value - (expected[position] ?? Number.NaN));
        assert.ok(error <= 5e-5, `position ${position} errs by ${error}`);
        noise = Math.max(noise, error);
      }
    });
    await fc.assert(property, { seed: 6, numRuns: Math.ceil(runs / 3), examples: [[MIXED]] });
    // Without noise the deterministic tests above could not fail.
    assert.ok(noise > 0);
  });
}
