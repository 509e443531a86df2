/**
 * A step against the hottest expert's load: points of a curve.
 *
 * A rank holds e experts, so one with x times the mean makes its rank (x + e − 1) / e times as busy
 * while the others have the mean; its rows arrive last, its products are longer, and all wait.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import type { TrainingPlan } from '../../config/parallelPlan.ts';
import type { Calibration } from '../../simulator/calibrate.ts';
import type { LayerRecompute } from '../../simulator/memory/estimateMemory.ts';
import { createNetworkModel } from '../../simulator/network/createNetworkModel.ts';
import type { PlannedStage } from '../pipelinePlan.ts';
import { calibrated } from '../priceBook.ts';
import { simulatePlan } from '../simulatePlan.ts';

export interface ImbalanceStep {
  /** Load of the hottest expert over the mean. */
  readonly hottestExpert: number;
  /** Of its rank. */
  readonly hottestRank: number;
  readonly stepSeconds: number;
  /** Over the step of an even load. */
  readonly slowdown: number;
}

const LOADS: readonly number[] = [1, 1.25, 1.5, 2, 3, 4, 6, 8];

/** Those that the model's hottest expert can have. */
function usualLoads({ nRoutedExperts, numExpertsPerTok }: PlannedModel): readonly number[] {
  if (nRoutedExperts === 0) return LOADS;
  return LOADS.filter((load) => load <= nRoutedExperts / numExpertsPerTok);
}

/**
 * @param loads of the hottest expert over the mean, at least 1 each
 * @throws plan.expertLoad past experts over top-k: then it has every token
 */
export function imbalanceSteps(question: {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  readonly loads?: readonly number[];
  /** What `auto` came to, and where the layers were cut. */
  readonly recompute?: LayerRecompute;
  readonly stages?: readonly PlannedStage[];
  readonly calibration?: Calibration;
}): ImbalanceStep[] {
  const {
    model,
    plan,
    cluster,
    loads = usualLoads(question.model),
    recompute,
    stages,
    calibration,
  } = question;
  const { ep } = plan.layout;
  requireLoads(model, loads);
  const prices =
    calibration === undefined
      ? { network: createNetworkModel(cluster) }
      : calibrated(cluster, calibration);
  const again = {
    ...(recompute === undefined ? {} : { recompute }),
    ...(stages === undefined ? {} : { stages }),
  };
  const expertsPerRank = Math.max(1, model.nRoutedExperts / ep);
  const stepAt = (imbalance: number): number =>
    simulatePlan({ model, plan, cluster, imbalance, ...prices, ...again }).step.seconds;
  const even = stepAt(1);
  return loads.map((hottestExpert) => {
    const isSpread = model.nRoutedExperts > 0 && ep > 1;
    const hottestRank = isSpread ? (hottestExpert + expertsPerRank - 1) / expertsPerRank : 1;
    const stepSeconds = hottestRank === 1 ? even : stepAt(hottestRank);
    return { hottestExpert, hottestRank, stepSeconds, slowdown: stepSeconds / even };
  });
}

function requireLoads(model: PlannedModel, loads: readonly number[]): void {
  const { nRoutedExperts, numExpertsPerTok } = model;
  if (nRoutedExperts === 0) return;
  const most = nRoutedExperts / numExpertsPerTok;
  const tooMuch = loads.find((load) => load > most);
  if (tooMuch === undefined) return;
  throw new MoebiusError('plan.expertLoad', `no expert can have ${tooMuch} times the mean load`, {
    values: { load: tooMuch, nRoutedExperts, numExpertsPerTok },
    hint: `Give at most ${most}: then every token comes to it.`,
  });
}
