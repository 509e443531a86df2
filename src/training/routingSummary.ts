/**
 * Whether the experts are alive: what one looks at to see that a router has died while the loss
 * still falls. Per layer, and over layers as the mean and the worst.
 */
import { maxViolation, numDeadExperts, utilisation } from '../policy/routing/biasUpdate.ts';
import type { LayerRouting } from '../program/instruction.ts';

export interface LayerBalance {
  readonly layer: number;
  /** Largest load over mean load, less 1. */
  readonly maxVio: number;
  /** Smallest load over mean load. */
  readonly minUtilisation: number;
  readonly deadExperts: number;
  /** Standard deviation of the loads over their mean. */
  readonly variation: number;
  /** Entropy of the loads over that of even ones: 1 is even. */
  readonly entropy: number;
  readonly biasMin: number;
  readonly biasMax: number;
  readonly biasDeviation: number;
}

export interface RoutingSummary {
  readonly maxVioMean: number;
  readonly maxVioMax: number;
  readonly deadExperts: number;
  readonly biasMin: number;
  readonly biasMax: number;
  readonly layers: readonly LayerBalance[];
}

/** null for a model without experts. */
export function summarizeRouting(layers: readonly LayerRouting[]): RoutingSummary | null {
  if (layers.length === 0) return null;
  const balances = layers.map(balanceOf);
  const violations = balances.map((balance) => balance.maxVio);
  return {
    maxVioMean: mean(violations),
    maxVioMax: Math.max(...violations),
    deadExperts: balances.reduce((sum, balance) => sum + balance.deadExperts, 0),
    biasMin: Math.min(...balances.map((balance) => balance.biasMin)),
    biasMax: Math.max(...balances.map((balance) => balance.biasMax)),
    layers: balances,
  };
}

function balanceOf({ layer, tokensPerExpert, bias }: LayerRouting): LayerBalance {
  const shares = utilisation(tokensPerExpert);
  const numExperts = tokensPerExpert.length;
  let entropy = 0;
  for (const share of shares) {
    if (share > 0) entropy -= (share / numExperts) * Math.log(share / numExperts);
  }
  return {
    layer,
    maxVio: maxViolation(tokensPerExpert),
    minUtilisation: Math.min(...shares),
    deadExperts: numDeadExperts(tokensPerExpert),
    variation: deviation(shares),
    entropy: numExperts > 1 ? entropy / Math.log(numExperts) : 1,
    biasMin: bias.length === 0 ? 0 : Math.min(...bias),
    biasMax: bias.length === 0 ? 0 : Math.max(...bias),
    biasDeviation: deviation(bias),
  };
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return values.length === 0 ? 0 : sum / values.length;
}

function deviation(values: ArrayLike<number>): number {
  const middle = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += ((values[i] ?? 0) - middle) ** 2;
  return values.length === 0 ? 0 : Math.sqrt(sum / values.length);
}
