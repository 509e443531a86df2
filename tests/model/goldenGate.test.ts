/**
 * The gate at the sizes of the real models: rules from configs, numbers from the kernels, both
 * against an independent implementation. Choices are exact, in order of falling choice value.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { gateRule } from '../../src/policy/routing/gate.ts';
import { goldenJson, goldenTensor, goldenTensors, maxError } from '../support/golden.ts';
import { kernelsUnderTest } from '../support/goldenModel.ts';
import { tinyV3 } from '../support/tinyConfig.ts';

interface GateCase {
  readonly n_routed_experts: number;
  readonly num_experts_per_tok: number;
  readonly n_group: number;
  readonly topk_group: number;
  readonly scoring_func: ModelConfig['scoringFunc'];
  readonly topk_method: ModelConfig['topkMethod'];
  readonly norm_topk_prob: boolean;
  readonly routed_scaling_factor: number;
}

const cases = goldenJson('gate-cases.json') as Readonly<Record<string, GateCase>>;

for (const kernels of kernelsUnderTest()) {
  for (const [name, gate] of Object.entries(cases)) {
    test(`Gate ${name} on ${kernels.name}: experts exact, weights golden`, async () => {
      const golden = await goldenTensors('gate-cases.safetensors');
      const logits = goldenTensor(golden, `${name}.logits`);
      const [T = 0, E = 0] = logits.shape;
      const rule = gateRule({
        ...tinyV3,
        nRoutedExperts: gate.n_routed_experts,
        numExpertsPerTok: gate.num_experts_per_tok,
        nGroup: gate.n_group,
        topkGroup: gate.topk_group,
        scoringFunc: gate.scoring_func,
        topkMethod: gate.topk_method,
        normTopkProb: gate.norm_topk_prob,
        routedScalingFactor: gate.routed_scaling_factor,
      });
      const K = rule.expertsPerToken;
      const arena = kernels.createArena('gate');
      const logits_TE = arena.allocate('f32', [T, E]);
      const bias_E = arena.allocate('f32', [E]);
      const counts_E = arena.allocate('i32', [E]);
      const scores_TE = arena.allocate('f32', [T, E]);
      const ids_TK = arena.allocate('i32', [T, K]);
      const weights_TK = arena.allocate('f32', [T, K]);
      kernels.write(logits_TE, logits.values as Float32Array);
      const bias = golden.get(`${name}.bias`)?.values ?? new Float32Array(E);
      kernels.write(bias_E, bias as Float32Array);
      kernels.fill({ out: counts_E, value: 0 });
      kernels.routeTopK({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule });
      const ids = await kernels.read(ids_TK);
      assert.deepEqual([...ids], [...goldenTensor(golden, `${name}.indices`).values]);
      const weights = goldenTensor(golden, `${name}.weights`).values;
      // Scaling 16 (V2) scales rounding as well.
      const tolerance = 1e-5 * Math.max(1, rule.scale / 2.5);
      assert.ok(maxError(await kernels.read(weights_TK), weights) <= tolerance);
      const counts = new Int32Array(E);
      for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
      assert.deepEqual(await kernels.read(counts_E), counts);
    });
  }
}
