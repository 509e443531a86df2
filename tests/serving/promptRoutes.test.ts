/** Which experts a prompt's tokens went to, asked of an engine: golden, counted, and harmless. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type { LayerRoutes } from '../../src/program/instruction.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { readModelConfig } from '../../src/runtime/openModel.ts';
import type { Engine } from '../../src/serving/engine.ts';
import type { ExpertLoads } from '../../src/serving/engineClient.ts';
import { MAX_ROUTED_TOKENS } from '../../src/serving/promptRoutes.ts';
import { SimulatedServingExecutor } from '../../src/simulator/simulatedServingExecutor.ts';
import {
  engineInfo,
  engineOn,
  engineRequest,
  engineWorld,
  finish,
  Listener,
  MAX_CONTEXT,
} from '../support/engineWorld.ts';
import {
  goldenJson,
  goldenRoot,
  goldenTensor,
  goldenTensors,
  maxError,
} from '../support/golden.ts';
import { kernelsUnderTest, loadGoldenModel } from '../support/goldenModel.ts';
import { markovEngine } from '../support/markovEngine.ts';

/** Of the goldens' tolerances. */
const ROUTER_WEIGHTS = 1e-5;

const { input_ids: inputs } = goldenJson('v3-tiny/inputs.json') as { input_ids: number[][] };

/** An engine on the golden model, whose steps have so many rows. */
async function goldenEngine(
  kernels: Kernels,
  { tokenBudget = 16, isDeterministic = false } = {},
): Promise<Engine> {
  const { model, config } = await loadGoldenModel(kernels, 'v3-tiny');
  const executor = new LocalServingExecutor({
    ...{ kernels, model, clock: new ManualClock(), numBlocks: 20, blockSize: 4 },
    ...{ maxPositions: MAX_CONTEXT, mtpHidden: 'postNorm', deterministic: isDeterministic },
  });
  const info = {
    ...{ maxContext: MAX_CONTEXT, vocabSize: config.vocabSize, numMtpModules: 1 },
    ...{ numRoutedExperts: config.nRoutedExperts, numBlocks: 20, blockSize: 4 },
    ...{ maxSequences: 4, description: 'goldens' },
  };
  return engineOn(executor, { info, tokenBudget, isDeterministic }).engine;
}

/** Sorted by token and expert. */
function choicesOf(
  { experts, weights }: { experts: ArrayLike<number>; weights: ArrayLike<number> },
  perToken: number,
): { ids: number[]; weights: number[] } {
  const choices = Array.from(experts, (id, i) => {
    return { token: Math.floor(i / perToken), id, weight: weights[i] ?? Number.NaN };
  }).sort((a, b) => a.token - b.token || a.id - b.id);
  return { ids: choices.map(({ id }) => id), weights: choices.map(({ weight }) => weight) };
}

/** By expert, how many of its layer's choices they are. */
function countsOf({ experts }: LayerRoutes, numExperts: number): number[] {
  const counts = new Array<number>(numExperts).fill(0);
  for (const expert of experts) counts[expert] = (counts[expert] ?? 0) + 1;
  return counts;
}

function loadsOf({ layers }: ExpertLoads, layer: number): readonly number[] {
  return layers.find((each) => each.layer === layer)?.tokensPerExpert ?? [];
}

for (const kernels of kernelsUnderTest()) {
  for (const world of [
    { tokenBudget: 64, isDeterministic: false },
    { tokenBudget: 7, isDeterministic: false },
    { tokenBudget: 20, isDeterministic: true },
  ]) {
    const how = `${world.tokenBudget} rows a step${world.isDeterministic ? ', deterministic' : ''}`;
    test(`${kernels.name}, ${how}: routes of a prompt are golden and what is counted`, async () => {
      const golden = await goldenTensors('v3-tiny/expected.safetensors');
      const engine = await goldenEngine(kernels, world);
      let before = await engine.expertLoads('goOn');
      for (const [row, ids] of inputs.entries()) {
        const { layers, expertsPerToken } = await engine.routePrompt(Int32Array.from(ids));
        assert.equal(expertsPerToken, 3);
        // The layer of the MTP module is no part of reading a prompt.
        assert.deepEqual(
          layers.map(({ layer }) => layer),
          [1, 2, 3],
        );
        const after = await engine.expertLoads('goOn');
        for (const routes of layers) {
          const { layer } = routes;
          const size = ids.length * expertsPerToken;
          const part = (name: string): ArrayLike<number> =>
            goldenTensor(golden, `router.${layer}.${name}`).values.slice(
              row * size,
              (row + 1) * size,
            );
          const wanted = choicesOf({ experts: part('indices'), weights: part('weights') }, 3);
          const actual = choicesOf(routes, 3);
          assert.deepEqual(actual.ids, wanted.ids);
          const error = maxError(actual.weights, wanted.weights);
          assert.ok(error <= ROUTER_WEIGHTS, `layer ${layer}: ${error}`);
          const [from, to] = [loadsOf(before, layer), loadsOf(after, layer)];
          const counted = to.map((count, expert) => count - (from[expert] ?? 0));
          assert.deepEqual(counted, countsOf(routes, 16));
        }
        before = after;
      }
    });
  }
}

test('routePrompt: requests under way are answered as if nobody had looked', async () => {
  const prompt = (seed: number): number[] => Array.from({ length: 9 }, (_, i) => (i * seed) % 24);
  const answers = async (look: 'looks' | 'leaves'): Promise<unknown> => {
    const { engine } = await engineWorld({ numDrafts: 1 });
    const listener = new Listener();
    for (const seed of [5, 7]) engine.add(engineRequest(`${seed}`, prompt(seed)));
    const routed: unknown[] = [];
    while (!engine.isIdle) {
      listener.hear(await engine.step());
      if (look === 'looks') routed.push(await engine.routePrompt(Int32Array.from(prompt(11))));
    }
    if (look === 'looks') {
      assert.ok(routed.length > 5);
      for (const each of routed) assert.deepEqual(each, routed[0]);
    }
    const { usedBlocks } = engine.stats;
    return { told: [...listener.told], usedBlocks };
  };
  assert.deepEqual(await answers('looks'), await answers('leaves'));
});

test('routePrompt: a simulation prices the pass, and nobody is routed anywhere', async () => {
  const config = await readModelConfig(`${goldenRoot}/v3-tiny-trained`);
  const simulated = new SimulatedServingExecutor({
    ...{ config, dtypeOf: () => 'f32', maxPositions: MAX_CONTEXT, ...engineInfo({}) },
    ...{ cacheDtype: 'f32', cost: { seconds: ({ flops }) => flops / 1e11 } },
    tokens: { tokenAt: () => 0, draftAt: () => 0 },
  });
  const { engine } = engineOn(simulated);
  const routes = await engine.routePrompt(new Int32Array(20).fill(1));
  assert.deepEqual(routes, { expertsPerToken: 0, layers: [] });
  assert.ok(simulated.seconds > 0);
});

test('routePrompt: what cannot be followed is refused, and takes no block', async () => {
  const { engine } = await engineWorld({ numBlocks: 20 });
  const refuses = (ids: readonly number[], code: string): Promise<void> =>
    assert.rejects(engine.routePrompt(Int32Array.from(ids)), { code });
  await refuses([], 'generate.empty');
  await refuses([3, 24], 'input.tokenOutOfRange');
  await refuses([-1], 'input.tokenOutOfRange');
  await refuses(new Array(MAX_CONTEXT).fill(1), 'generate.context');
  const long = new Int32Array(MAX_ROUTED_TOKENS + 1).fill(1);
  await assert.rejects(markovEngine().routePrompt(long), { code: 'routes.tooLong' });
  assert.equal((await markovEngine().routePrompt(long.subarray(1))).layers.length, 2);
  assert.equal(engine.stats.usedBlocks, 0);
  // 80 positions, of which others hold 60.
  const listener = new Listener();
  engine.add(engineRequest('long', new Array(60).fill(2), { maxTokens: 3 }));
  while (engine.stats.usedBlocks < 15) listener.hear(await engine.step());
  await refuses(new Array(40).fill(1), 'routes.busy');
  await finish(engine, listener);
  assert.equal(listener.of('long').end?.reason, 'length');
  const { layers } = await engine.routePrompt(new Int32Array(40).fill(1));
  assert.equal(layers[0]?.experts.length, 40 * 3);
  assert.equal(engine.stats.usedBlocks, 0);
});
