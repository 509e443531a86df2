/**
 * The gate's rule as data: how one model's router turns logits into chosen experts. The numbers are
 * the kernels' (`routeTopK`); this file only decides which of the published rules a config names.
 *
 *     noaux_tc              sigmoid affinities, bias in the choice, groups by their two best (V3)
 *     group_limited_greedy  softmax affinities, groups by their best                        (V2)
 *     greedy                no groups                                              (V2-Lite)
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';

/** The shape of the kernels' `RoutingRule`, stated here because policy knows no kernels. */
export interface GateRule {
  readonly scoring: 'sigmoid' | 'softmax';
  readonly numGroups: number;
  readonly groupsKept: number;
  readonly groupScore: 'sumOfTopTwo' | 'max';
  readonly expertsPerToken: number;
  readonly isNormalised: boolean;
  readonly scale: number;
}

/**
 * The rule by which this model routes (DeepSeek-V3 report, 2.1.2; DeepSeek-V2 report, 2.2).
 *
 * Weights are normalised first, if the config says so, and scaled afterwards in either case.
 *
 * @throws config.invalid when the numbers leave a token without enough experts to choose from
 */
export function gateRule(config: ModelConfig): GateRule {
  const isGrouped = config.topkMethod !== 'greedy';
  const rule: GateRule = {
    scoring: config.scoringFunc,
    numGroups: isGrouped ? config.nGroup : 1,
    groupsKept: isGrouped ? config.topkGroup : 1,
    groupScore: config.topkMethod === 'noaux_tc' ? 'sumOfTopTwo' : 'max',
    expertsPerToken: config.numExpertsPerTok,
    isNormalised: config.normTopkProb,
    scale: config.routedScalingFactor,
  };
  checkRule(rule, config.nRoutedExperts);
  return rule;
}

/** Whether checkpoints of this model carry a router bias (`e_score_correction_bias`). */
export function hasRouterBias(config: ModelConfig): boolean {
  return config.topkMethod === 'noaux_tc';
}

function checkRule(rule: GateRule, numExperts: number): void {
  const { numGroups, groupsKept, groupScore, expertsPerToken, scale } = rule;
  const refuse = (message: string, hint: string): never => {
    throw new MoebiusError('config.invalid', message, {
      values: {
        nRoutedExperts: numExperts,
        nGroup: numGroups,
        topkGroup: groupsKept,
        numExpertsPerTok: expertsPerToken,
        routedScalingFactor: scale,
      },
      hint,
    });
  };
  if (!isCount(numExperts) || !isCount(numGroups) || numExperts % numGroups !== 0) {
    refuse(
      `${numExperts} experts do not divide into ${numGroups} groups`,
      'Make nRoutedExperts a multiple of nGroup.',
    );
  }
  if (!isCount(groupsKept) || groupsKept > numGroups) {
    refuse(
      `${groupsKept} groups of ${numGroups} cannot be kept`,
      'Set topkGroup between 1 and nGroup.',
    );
  }
  const groupSize = numExperts / numGroups;
  if (numGroups > 1 && groupScore === 'sumOfTopTwo' && groupSize < 2) {
    refuse(
      'a group is worth its two best experts, but has only one',
      'Lower nGroup, so that each group has two experts or more.',
    );
  }
  if (!isCount(expertsPerToken) || expertsPerToken > groupsKept * groupSize) {
    refuse(
      `a token chooses ${expertsPerToken} of ${groupsKept * groupSize} eligible experts`,
      'Lower numExpertsPerTok, or raise topkGroup.',
    );
  }
  if (!Number.isFinite(scale) || scale <= 0) {
    refuse(`routedScalingFactor is ${scale}`, 'Set routedScalingFactor to a positive number.');
  }
}

function isCount(value: number): boolean {
  return Number.isInteger(value) && value > 0;
}
