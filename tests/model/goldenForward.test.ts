/**
 * The model against an independent implementation: every tensor of a forward pass, every loss and
 * every gradient of the golden folders, on every kernel set that is built.
 *
 * Tolerances are those of tests/golden/README.md: about ten times what a float32 run of the same
 * maths gives.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LossOptions } from '../../src/model/context.ts';
import { countsOfLayer } from '../../src/model/context.ts';
import { nextTokenBatch } from '../../src/model/microBatch.ts';
import { f32Values, parameterNamed } from '../../src/model/parameters.ts';
import { maxViolation } from '../../src/policy/routing/biasUpdate.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import {
  type GoldenTensors,
  goldenJson,
  goldenRoot,
  goldenTensor,
  goldenTensors,
  gradientError,
  maxError,
} from '../support/golden.ts';
import { kernelsUnderTest, type LoadedModel, loadGoldenModel } from '../support/goldenModel.ts';
import { readGradients, runStep } from '../support/modelStep.ts';

interface Expected {
  readonly losses: {
    readonly total: number;
    readonly main: number;
    readonly mtp: number;
    readonly mtp_per_depth: readonly number[];
    readonly balance_times_alpha: number;
  };
  readonly options: {
    readonly mtp_lambda: number;
    readonly balance_alpha: number;
    readonly balance_mode: 'paper' | 'selected';
  };
  readonly moe: readonly {
    readonly layer: number;
    readonly balance_paper: number;
    readonly balance_selected: number;
    readonly tokens_per_expert: readonly number[];
    readonly max_vio: number;
    readonly bias_before?: readonly number[];
    readonly 'bias_after_gamma_0.001'?: readonly number[];
  }[];
  readonly alt?: { readonly mtp_per_depth: readonly number[] };
}

const FOLDERS = ['v3-tiny', 'v3-tiny-yarn', 'v2-tiny', 'v2-lite-tiny'].filter((folder) =>
  existsSync(join(goldenRoot, folder, 'expected.safetensors')),
);
const LOSS = 1e-5;
const STATES = 5e-5;
const ROUTER_WEIGHTS = 1e-5;
const GRADIENTS = 1e-4;

for (const kernels of kernelsUnderTest()) {
  for (const folder of FOLDERS) {
    const expected = goldenJson(`${folder}/expected.json`) as Expected;
    const ids = inputIds(folder);

    test(`${folder} on ${kernels.name}: tensors, losses and gradients are golden`, async () => {
      const golden = await goldenTensors(`${folder}/expected.safetensors`);
      const { captured, loaded } = await load(folder, {});
      const report = await runStep(loaded, [batchOf(loaded)]);
      const { losses } = expected;
      assertNear(report.total, losses.total, LOSS);
      assertNear(report.main, losses.main, LOSS);
      assertNear(report.mtp, losses.mtp, LOSS);
      for (const [depth, loss] of losses.mtp_per_depth.entries()) {
        assertNear(report.mtpPerDepth[depth] ?? Number.NaN, loss, LOSS);
      }
      const alpha = expected.options.balance_alpha;
      assertNear(alpha * report.balance, losses.balance_times_alpha, LOSS);
      await compareTensors(golden, captured);
      const gradients = await readGradients(loaded);
      for (const [name, gradient] of gradients) {
        const error = gradientError(golden, name, gradient);
        assert.ok(error <= GRADIENTS, `gradient of ${name}: ${error}`);
      }
      for (const name of golden.keys()) {
        if (!name.startsWith('grad.')) continue;
        assert.ok(gradients.has(name.slice('grad.'.length)), `${name} was computed`);
      }
    });

    test(`${folder} on ${kernels.name}: loads, MaxVio and bias updates are golden`, async () => {
      const { loaded } = await load(folder, {});
      await runStep(loaded, [batchOf(loaded)], 'none');
      for (const layer of expected.moe) {
        const counts_E = countsOfLayer(loaded.context.counts, layer.layer);
        const counts = await kernels.read(counts_E);
        assert.deepEqual([...counts], layer.tokens_per_expert);
        assertNear(maxViolation(counts), layer.max_vio, 1e-12);
        const after = layer['bias_after_gamma_0.001'];
        if (after === undefined) continue;
        const name = `model.layers.${layer.layer}.mlp.gate.e_score_correction_bias`;
        const bias_E = f32Values(parameterNamed(loaded.model.parameters, name));
        kernels.updateRouterBias({ bias_E, counts_E, speed: 0.001 });
        assert.ok(maxError(await kernels.read(bias_E), after) < 1e-7);
      }
    });

    test(`${folder} on ${kernels.name}: both balance losses are golden`, async () => {
      const golden = await goldenTensors(`${folder}/expected.safetensors`);
      for (const form of ['paper', 'selected'] as const) {
        const { loaded } = await load(folder, { balanceForm: form });
        const report = await runStep(loaded, [batchOf(loaded)], 'none');
        const sum = expected.moe.reduce((total, layer) => total + layer[`balance_${form}`], 0);
        assertNear(report.balance, sum, LOSS);
      }
      const unscaled = [...golden.keys()].filter((name) => name.startsWith('grad_balance_'));
      if (unscaled.length === 0) return;
      // The difference between coefficients 1 and 0 is the gradient of the balance loss alone.
      const gradientsAt = async (
        balanceCoefficient: number,
      ): Promise<Map<string, Float32Array>> => {
        const { loaded } = await load(folder, { balanceCoefficient });
        await runStep(loaded, [batchOf(loaded)]);
        return readGradients(loaded);
      };
      const [one, none] = [await gradientsAt(1), await gradientsAt(0)];
      for (const name of unscaled) {
        const parameter = name.slice('grad_balance_unscaled.'.length);
        const difference = one.get(parameter)?.map((value, i) => {
          return value - (none.get(parameter)?.[i] ?? Number.NaN);
        });
        const { values } = goldenTensor(golden, name);
        const largest = maxError(values, new Float32Array(values.length));
        const error = maxError(difference ?? [], values) / largest;
        assert.ok(error <= GRADIENTS, `${name}: ${error}`);
      }
    });

    const { alt } = expected;
    if (alt !== undefined) {
      test(`${folder} on ${kernels.name}: MTP on states before the norm is golden`, async () => {
        const golden = await goldenTensors(`${folder}/expected.safetensors`);
        const { captured, loaded } = await load(folder, { mtpHidden: 'preNorm' });
        const report = await runStep(loaded, [batchOf(loaded)], 'none');
        for (const [depth, loss] of alt.mtp_per_depth.entries()) {
          assertNear(report.mtpPerDepth[depth] ?? Number.NaN, loss, LOSS);
          const logits = golden.get(`alt.mtp_logits.${depth}`);
          if (logits === undefined) continue;
          const actual = await read(captured, `mtp_logits.${depth}`);
          assert.ok(maxError(actual, logits.values) <= STATES);
        }
      });
    }

    function load(
      name: string,
      options: Partial<LossOptions>,
    ): Promise<{ captured: Map<string, Tensor>; loaded: LoadedModel }> {
      return loadCapturing(name, {
        balanceForm: expected.options.balance_mode,
        balanceCoefficient: expected.options.balance_alpha,
        mtpWeight: expected.options.mtp_lambda,
        ...options,
      });
    }

    function batchOf({ config }: LoadedModel): ReturnType<typeof nextTokenBatch> {
      return nextTokenBatch(ids, config.numNextnPredictLayers);
    }
  }

  for (const keepStored of [false, true]) {
    const kept = keepStored ? 'as stored' : 'widened to float32';
    test(`v3-tiny-fp8 on ${kernels.name}: forward with weights ${kept} is golden`, async () => {
      const golden = await goldenTensors('v3-tiny-fp8/expected.safetensors');
      const { captured, loaded } = await loadCapturing('v3-tiny-fp8', {}, keepStored);
      const batch = nextTokenBatch(inputIds('v3-tiny-fp8'), loaded.config.numNextnPredictLayers);
      await runStep(loaded, [batch], 'none');
      await compareTensors(golden, captured);
    });
  }

  async function loadCapturing(
    folder: string,
    options: Partial<LossOptions>,
    keepStored = false,
  ): Promise<{ captured: Map<string, Tensor>; loaded: LoadedModel }> {
    const captured = new Map<string, Tensor>();
    const capture = (name: string, tensor: Tensor): unknown => captured.set(name, tensor);
    const loaded = await loadGoldenModel(kernels, folder, { options, capture, keepStored });
    return { captured, loaded };
  }

  async function compareTensors(
    golden: GoldenTensors,
    captured: ReadonlyMap<string, Tensor>,
  ): Promise<void> {
    for (const [name, tensor] of golden) {
      // Gradients have their own comparison; probabilities exist in no kernel.
      if (/^(grad|sketch_signs|alt\.)|attn_probs$/.test(name)) continue;
      if (/^router\..*\.(indices|weights)$/.test(name)) continue;
      const error = maxError(await read(captured, name), tensor.values);
      assert.ok(error <= STATES, `${name}: ${error}`);
    }
    for (const name of golden.keys()) {
      const layer = /^router\.(\d+)\.indices$/.exec(name)?.[1];
      if (layer !== undefined) await compareRouting(golden, captured, layer);
    }
  }

  /** Chosen experts are a set per token: exact, each with its weight. */
  async function compareRouting(
    golden: GoldenTensors,
    captured: ReadonlyMap<string, Tensor>,
    layer: string,
  ): Promise<void> {
    const indices = goldenTensor(golden, `router.${layer}.indices`);
    const perToken = indices.shape.at(-1) ?? 0;
    const byToken = (
      ids: ArrayLike<number>,
      weights: ArrayLike<number>,
    ): { id: number; weight: number }[] =>
      Array.from({ length: ids.length }, (_, i) => ({
        token: Math.floor(i / perToken),
        id: ids[i] ?? -1,
        weight: weights[i] ?? Number.NaN,
      })).sort((a, b) => a.token - b.token || a.id - b.id);
    const expected = byToken(
      indices.values,
      goldenTensor(golden, `router.${layer}.weights`).values,
    );
    const actual = byToken(
      await read(captured, `router.${layer}.indices`),
      await read(captured, `router.${layer}.weights`),
    );
    assert.deepEqual(
      actual.map(({ id }) => id),
      expected.map(({ id }) => id),
      `experts of layer ${layer}`,
    );
    const weights = (choices: readonly { weight: number }[]): number[] =>
      choices.map(({ weight }) => weight);
    assert.ok(maxError(weights(actual), weights(expected)) <= ROUTER_WEIGHTS);
  }

  async function read(
    captured: ReadonlyMap<string, Tensor>,
    name: string,
  ): Promise<ArrayLike<number>> {
    const tensor = captured.get(name);
    assert(tensor !== undefined, `the model shows "${name}"`);
    return kernels.read(tensor);
  }
}

function inputIds(folder: string): number[][] {
  return (goldenJson(`${folder}/inputs.json`) as { input_ids: number[][] }).input_ids;
}

function assertNear(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} against ${expected}`);
}
