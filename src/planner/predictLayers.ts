/**
 * Prices of a few layers, forward and backward, by class and pass: what `moebius calibrate`
 * compares a trace with. It is the very price that a plan pays for them, overlapped as in the
 * plan's schedule; a pair's price has no passes, so each class is divided between them as the
 * passes alone would be.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../config/parallelPlan.ts';
import {
  backwardInputOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from '../policy/overlap/partOrder.ts';
import type { PredictedWork } from '../simulator/calibrate.ts';
import type { OperationSum } from '../simulator/cost/priceParts.ts';
import { createStageCosts } from '../simulator/cost/stageCosts.ts';
import type { PassName } from '../simulator/cost/stageWork.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import { partsOfStage } from './pipelinePlan.ts';

export interface LayersToPredict {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  /** The model's last ones: with experts, if it has any. */
  readonly layers: number;
  /** How often they run. */
  readonly repeats: number;
}

/** @throws calibrate.layers when the model has fewer */
export function predictLayers(args: LayersToPredict): readonly PredictedWork[] {
  const { model, plan, cluster, layers, repeats } = args;
  const { numHiddenLayers } = model;
  if (layers > numHiddenLayers) {
    throw new MoebiusError('calibrate.layers', `the model has ${numHiddenLayers} layers`, {
      values: { layers, numHiddenLayers },
      hint: `Give the layers that the trace covers, at most ${numHiddenLayers}.`,
    });
  }
  const costs = createStageCosts({ model, plan, cluster, network: createNetworkModel(cluster) });
  const stage = {
    first: numHiddenLayers - layers,
    last: numHiddenLayers,
    hasEmbedding: false,
    hasHead: false,
  };
  const priced = costs.stage(stage);
  const parts = partsOfStage(model, plan, stage);
  const stages = { forward: priced, backward: priced };
  const passes = (Object.keys(ORDERS) as PassName[]).map((pass) => ({
    pass,
    operations: costs.price(ORDERS[pass](parts), stages).operations,
  }));
  const isPaired = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const pair = isPaired
    ? costs.price(pairOrder({ forward: parts, backward: parts }), stages).operations
    : null;
  const alone = passes.flatMap(({ operations }) => operations);
  return passes.flatMap(({ pass, operations }) =>
    operations.map(({ name, seconds, flops, bytes, shareOfLimit }): PredictedWork => {
      const together = pair === null ? 1 : secondsOf(pair, name) / secondsOf(alone, name);
      return {
        class: name,
        pass,
        seconds: seconds * together * repeats,
        flops: flops * repeats,
        bytes: bytes * repeats,
        limitSeconds: seconds * shareOfLimit * repeats,
      };
    }),
  );
}

const ORDERS: Readonly<Record<PassName, typeof forwardOrder>> = {
  forward: forwardOrder,
  backwardInput: backwardInputOrder,
  backwardWeight: backwardWeightOrder,
};

function secondsOf(operations: readonly OperationSum[], wanted: string): number {
  return operations
    .filter(({ name }) => name === wanted)
    .reduce((sum, { seconds }) => sum + seconds, 0);
}
