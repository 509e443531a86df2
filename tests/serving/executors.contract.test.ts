/**
 * One engine, two worlds: on real kernels and on described hardware it takes the same decisions and
 * says the same words, when the simulation is told the tokens that the real run came to.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ServingExecutor } from '../../src/executor/executor.ts';
import type { BatchPlan } from '../../src/policy/batching/batchScheduler.ts';
import type { ServingOutcome } from '../../src/program/instruction.ts';
import { readModelConfig } from '../../src/runtime/openModel.ts';
import type { EngineRequest } from '../../src/serving/engineClient.ts';
import {
  SimulatedServingExecutor,
  type TokenSource,
} from '../../src/simulator/simulatedServingExecutor.ts';
import {
  type EngineWorldOptions,
  engineInfo,
  engineOn,
  engineRequest,
  GREEDY,
  Listener,
  localExecutor,
  MAX_CONTEXT,
  VOCABULARY,
} from '../support/engineWorld.ts';

const path = new URL('../golden/v3-tiny-trained', import.meta.url).pathname;
const config = await readModelConfig(path);

interface Arrival {
  readonly request: EngineRequest;
  readonly step: number;
  readonly abortAt: number | null;
}

/** Decisions and words of one engine over some arrivals. */
async function logOf(
  executor: ServingExecutor,
  arrivals: readonly Arrival[],
  options: EngineWorldOptions,
): Promise<{ plans: BatchPlan[]; told: Listener['told'] }> {
  const plans: BatchPlan[] = [];
  const { engine } = engineOn(executor, { ...options, onPlan: (plan) => plans.push(plan) });
  const listener = new Listener();
  const last = Math.max(...arrivals.map(({ step }) => step));
  for (let step = 0; step <= last || !engine.isIdle; step++) {
    for (const each of arrivals) {
      if (each.step === step) engine.add(each.request);
      if (each.abortAt === step) engine.abort(each.request.requestId);
    }
    listener.hear(await engine.step());
  }
  return { plans, told: listener.told };
}

/** Writes down every token and draft that an executor comes to. */
function recording(executor: ServingExecutor): { executor: ServingExecutor; tokens: TokenSource } {
  const sampled = new Map<string, number>();
  const drafted = new Map<string, number>();
  const need = (from: Map<string, number>, key: string): number => from.get(key) ?? 0;
  const note = (outcome: ServingOutcome, end: number): void => {
    if (outcome.kind !== 'tokens') return;
    const { sequenceId } = outcome;
    const first = end - outcome.sampled.length + 1;
    for (const [i, id] of outcome.sampled.entries()) sampled.set(`${sequenceId} ${first + i}`, id);
  };
  return {
    tokens: {
      tokenAt: (sequenceId, position) => need(sampled, `${sequenceId} ${position}`),
      draftAt: (sequenceId, { position, depth }) =>
        need(drafted, `${sequenceId} ${position} ${depth}`),
    },
    executor: {
      run: async (programs) => {
        const result = await executor.run(programs);
        const ends = new Map<number, number>();
        const rows = new Map<number, readonly number[]>();
        for (const instruction of programs[0]?.instructions ?? []) {
          if (instruction.kind !== 'prefill' && instruction.kind !== 'decode') continue;
          for (const { sequenceId, ids, firstPosition } of instruction.sequences) {
            ends.set(sequenceId, firstPosition + ids.length);
            rows.set(sequenceId, ids);
          }
        }
        for (const outcome of result.outcomes) {
          if (outcome.kind !== 'tokens') continue;
          const { sequenceId, drafts } = outcome;
          const end = ends.get(sequenceId) ?? 0;
          note(outcome, end);
          // Drafts follow the last accepted token.
          const run = rows.get(sequenceId)?.slice(1 - outcome.sampled.length) ?? [];
          const checked = outcome.sampled.length === 1 ? [] : run;
          let accepted = 0;
          while (accepted < checked.length && checked[accepted] === outcome.sampled[accepted]) {
            accepted++;
          }
          const decided = end - outcome.sampled.length + 1 + accepted;
          for (const [i, id] of drafts.entries()) {
            drafted.set(`${sequenceId} ${decided + i + 1} ${i + 1}`, id);
          }
        }
        return result;
      },
    },
  };
}

/** Caches of every type, and both ways to schedule. */
const WORLDS: readonly EngineWorldOptions[] = [
  { cacheDtype: 'f32', isDeterministic: false },
  { cacheDtype: 'bf16', isDeterministic: true },
  { cacheDtype: 'f8e4m3', isDeterministic: false },
];

for (const world of WORLDS) test(nameOf(world), () => holdsInBoth(world));

function nameOf({ cacheDtype, isDeterministic }: EngineWorldOptions): string {
  const how = isDeterministic ? ', deterministic' : '';
  return `Engine: real and simulated executors decide and say the same (${cacheDtype}${how})`;
}

async function holdsInBoth(world: EngineWorldOptions): Promise<void> {
  const real: ServingExecutor = await localExecutor(world);
  const arrival = fc.record({
    beginning: fc.nat(1),
    length: fc.integer({ min: 1, max: 38 }),
    maxTokens: fc.integer({ min: 1, max: 26 }),
    temperature: fc.constantFrom(0, 1),
    numDrafts: fc.constantFrom(0, 1, 2),
    priority: fc.nat(1),
    step: fc.nat(12),
    abortAt: fc.option(fc.nat(20), { freq: 6, nil: null }),
  });
  let [accepted, preempted] = [0, 0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { minLength: 2, maxLength: 7 }),
      fc.integer({ min: 4, max: 20 }),
      async (drawn, tokenBudget) => {
        const sizes = { numBlocks: 17, maxSequences: 4, tokenBudget };
        const options: EngineWorldOptions = { ...world, ...sizes };
        const arrivals = drawn.map((each, i): Arrival => {
          const { beginning, length, maxTokens, temperature, numDrafts, priority } = each;
          const ids = Array.from({ length }, (_, k) => (k * 7 + beginning) % VOCABULARY);
          const sampling = { ...GREEDY, temperature, seed: i };
          const more = { maxTokens, sampling, numDrafts, priority };
          return { ...each, request: engineRequest(`r${i}`, ids, more) };
        });
        const recorded = recording(real);
        const first = await logOf(recorded.executor, arrivals, options);
        const simulated = new SimulatedServingExecutor({
          ...{ config, dtypeOf: () => 'f32', maxPositions: MAX_CONTEXT, ...engineInfo(options) },
          cacheDtype: world.cacheDtype ?? 'f32',
          cost: { seconds: ({ flops, bytes }) => Math.max(flops / 1e11, bytes / 1e10) },
          tokens: recorded.tokens,
        });
        const second = await logOf(simulated, arrivals, options);
        assert.deepEqual(second.plans, first.plans);
        assert.ok(simulated.seconds > 0);
        for (const [requestId, { text, end }] of first.told) {
          const told = second.told.get(requestId);
          assert.equal(told?.text, text);
          assert.equal(told?.end?.reason, end?.reason);
          assert.equal(told?.end?.usage.accepted, end?.usage.accepted);
          accepted += end?.usage.accepted ?? 0;
        }
        for (const plan of first.plans) preempted += plan.preempted.length;
      },
    ),
    { numRuns: 25, endOnFailure: true },
  );
  assert.ok(accepted > 0 && preempted > 0);
}
