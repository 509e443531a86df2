/**
 * Five AdamW steps against an independent implementation: losses, gradient norms, loads, final
 * weights and biases. Routing decisions of later steps are as close as 4e-5, so a small error in
 * any step would change an expert and show.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { countsOfLayer } from '../../src/model/context.ts';
import { nextTokenBatch } from '../../src/model/microBatch.ts';
import { f32Values, parameterNamed, trainedTensors } from '../../src/model/parameters.ts';
import { adamwStep, createOptimizerState } from '../../src/optim/adamw.ts';
import { clipScale, gradientNorm, tensorNorm } from '../../src/optim/gradientNorm.ts';
import { maxViolation } from '../../src/policy/routing/biasUpdate.ts';
import { goldenJson, goldenRoot, maxError } from '../support/golden.ts';
import { kernelsUnderTest, loadGoldenModel } from '../support/goldenModel.ts';
import { runStep } from '../support/modelStep.ts';

interface GoldenTraining {
  readonly hyper: {
    readonly lr: number;
    readonly b1: number;
    readonly b2: number;
    readonly eps: number;
    readonly wd: number;
    readonly clip: number;
    readonly bias_gamma: number;
  };
  readonly batches: readonly (readonly number[][])[];
  readonly log: readonly {
    readonly step: number;
    readonly loss: number;
    readonly main: number;
    readonly mtp: number;
    readonly balance: number;
    readonly grad_norm: number;
    readonly max_vio: readonly number[];
  }[];
  readonly final_param_l2: Readonly<Record<string, number>>;
  readonly final_bias: Readonly<Record<string, readonly number[]>>;
}

interface Options {
  readonly options: { readonly balance_mode: 'paper' | 'selected'; readonly balance_alpha: number };
}

const RELATIVE = 1e-4;
const FOLDERS = ['v3-tiny', 'v3-tiny-yarn', 'v2-tiny', 'v2-lite-tiny'].filter((folder) =>
  existsSync(join(goldenRoot, folder, 'train.json')),
);

for (const kernels of kernelsUnderTest()) {
  for (const folder of FOLDERS) {
    test(`${folder} on ${kernels.name}: five AdamW steps are golden`, async () => {
      const golden = goldenJson(`${folder}/train.json`) as GoldenTraining;
      const { options } = goldenJson(`${folder}/expected.json`) as Options;
      const loaded = await loadGoldenModel(kernels, folder, {
        options: {
          balanceForm: options.balance_mode,
          balanceCoefficient: options.balance_alpha,
        },
      });
      const { model, context, config } = loaded;
      const { hyper } = golden;
      const arena = kernels.createArena('optimiser');
      const parameters = trainedTensors(model.parameters);
      const state = createOptimizerState({ kernels, arena, parameters, dtype: 'f32' });
      for (const [index, expected] of golden.log.entries()) {
        const ids = golden.batches[index] ?? [];
        const batch = nextTokenBatch(ids, config.numNextnPredictLayers);
        const report = await runStep(loaded, [batch]);
        const { norm, fault } = await gradientNorm({ kernels, arena, parameters });
        assert.equal(fault, null);
        assertRelative(report.total, expected.loss, `loss of step ${expected.step}`);
        assertRelative(report.main, expected.main, `main loss of step ${expected.step}`);
        assertRelative(report.mtp, expected.mtp, `MTP loss of step ${expected.step}`);
        const balance = options.balance_alpha * report.balance;
        assertRelative(balance, expected.balance, `balance loss of step ${expected.step}`);
        assertRelative(norm, expected.grad_norm, `gradient norm of step ${expected.step}`);
        for (const [i, layer] of context.counts.layers.entries()) {
          const counts_E = countsOfLayer(context.counts, layer);
          const violation = maxViolation(await kernels.read(counts_E));
          assertRelative(violation, expected.max_vio[i] ?? Number.NaN, `MaxVio of layer ${layer}`);
          const name = `model.layers.${layer}.mlp.gate.e_score_correction_bias`;
          if (config.topkMethod !== 'noaux_tc') continue;
          const bias_E = f32Values(parameterNamed(model.parameters, name));
          kernels.updateRouterBias({ bias_E, counts_E, speed: hyper.bias_gamma });
        }
        const settings = {
          step: expected.step,
          learningRate: hyper.lr,
          beta1: hyper.b1,
          beta2: hyper.b2,
          epsilon: hyper.eps,
          weightDecay: hyper.wd,
          gradientScale: clipScale(norm, hyper.clip),
        };
        adamwStep({ kernels, parameters, state, settings });
      }
      for (const [name, expected] of Object.entries(golden.final_param_l2)) {
        const value = f32Values(parameterNamed(model.parameters, name));
        const { norm } = await tensorNorm({ kernels, arena, tensors: [{ name, value }] });
        assertRelative(norm, expected, `norm of ${name}`);
      }
      for (const [name, expected] of Object.entries(golden.final_bias)) {
        const bias = await kernels.read(f32Values(parameterNamed(model.parameters, name)));
        assert.ok(maxError(bias, expected) < 1e-6, `${name}`);
      }
    });
  }
}

function assertRelative(actual: number, expected: number, what: string): void {
  const error = Math.abs(actual - expected);
  assert.ok(error <= RELATIVE * Math.abs(expected), `${what}: ${actual} against ${expected}`);
}
