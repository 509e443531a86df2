/** The end of a step: parameters of a rank, bytes of its groups, what ZeRO changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import { countParameters } from '../../config/modelCounts.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { llama31_405b } from '../../config/presets/dense.ts';
import type { Stage } from '../../model/parameterLayout.ts';
import type { NetworkModel, RankGroup } from '../networkModel.ts';
import { optimizerPrice, rankParameters, sentUnderPass } from './optimizerCosts.ts';

const plan: TrainingPlan = { ...v3Plan, mtp: false };
const { layout } = plan;
const cluster = findCluster('h800x2048');
const whole: Stage = { first: 0, last: 61, hasEmbedding: true, hasHead: true };

/** A network where a byte of a tensor takes a nanosecond, and that remembers what it was asked. */
function countingNetwork(): { network: NetworkModel; asked: [string, number, RankGroup][] } {
  const asked: [string, number, RankGroup][] = [];
  const note =
    (kind: string) =>
    ({ bytes, group }: { bytes: number; group: RankGroup }) => {
      asked.push([kind, bytes, group]);
      return { seconds: bytes * 1e-9, source: 'derived', relativeError: 0.1 } as const;
    };
  const none = (): never => assert.fail('no tokens are sent at the end of a step');
  const network = {
    ...{ dispatch: none, combine: none, send: none, allToAll: none },
    reduceScatter: note('reduceScatter'),
    allGather: note('allGather'),
    allReduce: note('allReduce'),
  };
  return { network, asked };
}

test('rankParameters: a whole model on one rank is the published count', () => {
  const one = { ...plan, layout: { ...layout, ep: 1 } };
  const held = rankParameters({ model: deepseekV3, stages: [whole], plan: one });
  const { experts, others, inFp8 } = held;
  const counts = countParameters(deepseekV3);
  assert.equal(experts, counts.routedExperts);
  assert.equal(experts + others, counts.total);
  const { embedding, head, router, norms } = counts;
  assert.equal(inFp8, counts.total - embedding - head - router - norms);
  const share = rankParameters({ model: deepseekV3, stages: [whole], plan });
  assert.equal(share.experts, counts.routedExperts / 64);
  assert.equal(share.others, others);
});

test('rankParameters: Llama-3.1-405B counts its 405.85 billion, and an eighth under tp 8', () => {
  const model = llama31_405b;
  const stages = [{ ...whole, last: model.numHiddenLayers }];
  const dense = { ...plan, layout: { ...layout, ep: 1 } };
  const { others } = rankParameters({ model, stages, plan: dense });
  assert.ok(Math.abs(others / 405.85e9 - 1) < 1e-4, `${others}`);
  const sharded = { ...plan, layout: { ...layout, ep: 1, tp: 8 } };
  const eighth = rankParameters({ model, stages, plan: sharded }).others;
  assert.ok(Math.abs((8 * eighth) / others - 1) < 1e-4, 'but for the norms');
});

test('rankParameters: two stages that share the embedding hold it once', () => {
  const first: Stage = { first: 0, last: 4, hasEmbedding: true, hasHead: false };
  const last: Stage = { first: 58, last: 61, hasEmbedding: false, hasHead: true };
  const mtp = { ...plan, mtp: true };
  const count = (...stages: Stage[]): number =>
    rankParameters({ model: deepseekV3, stages, plan: mtp }).others;
  const embedding = deepseekV3.vocabSize * deepseekV3.hiddenSize;
  assert.equal(count(first) + count(last) - count(first, last), embedding);
});

test('optimizerPrice: FP32 gradients out, BF16 weights back, experts among fewer ranks', () => {
  const { network, asked } = countingNetwork();
  const stages: Stage[] = [{ first: 8, last: 12, hasEmbedding: false, hasHead: false }];
  const price = optimizerPrice({
    model: deepseekV3,
    plan,
    cluster,
    network,
    stages,
    stageCopies: 2,
  });
  const { experts, others } = price.parameters;
  assert.deepEqual(asked, [
    ['reduceScatter', 4 * experts, { size: 4, stride: 64 }],
    ['reduceScatter', 4 * others, { size: 256, stride: 1 }],
    ['allGather', 2 * experts, { size: 4, stride: 64 }],
    ['allGather', 2 * others, { size: 256, stride: 1 }],
    ['allReduce', 4, { size: 2048, stride: 1 }],
  ]);
  const { total, reduceGradients, gradientNorm, update, gatherWeights } = price;
  const sum = [reduceGradients, gradientNorm, update, gatherWeights].reduce(
    (seconds, each) => seconds + each.seconds,
    0,
  );
  assert.ok(Math.abs(total.seconds / sum - 1) < 1e-12);
  assert.equal(price.gatherPerPass.seconds, 0);
});

test('optimizerPrice: without ZeRO everybody updates everything, with ZeRO-3 weights stay apart', () => {
  const stages: Stage[] = [{ first: 8, last: 12, hasEmbedding: false, hasHead: false }];
  const [none, one, two, three] = ([0, 1, 2, 3] as const).map((zeroStage) => {
    const { network } = countingNetwork();
    const own = { ...plan, layout: { ...layout, zeroStage } };
    return optimizerPrice({
      ...{ model: deepseekV3, plan: own, cluster, network, stages },
      stageCopies: 2,
    });
  });
  assert.ok(none && one && two && three);
  assert.equal(none.gatherWeights.seconds, 0);
  assert.ok(none.update.seconds > 2 * one.update.seconds);
  assert.equal(three.gatherWeights.seconds, 0);
  assert.equal(three.gatherPerPass.seconds, one.gatherWeights.seconds);
  for (const spread of [two, three]) {
    assert.equal(spread.scatterPerPass.seconds, one.reduceGradients.seconds);
    assert.equal(spread.reduceGradients.seconds, 0);
  }
  assert.equal(sentUnderPass('forwardBackward', one), 0);
});
