/**
 * Decides, between gradients and optimiser, what becomes of a step: apply it, skip it, go back to
 * the last snapshot, or stop. Nothing has touched the weights at that moment, so a stopped run is
 * still good.
 *
 * A *fault* is a NaN or an infinity. A *spike* is a loss far above the recent median, or a gradient
 * norm many times it. Medians and the median absolute deviation, because a window that has just
 * swallowed an outlier must not move; a healthy step of a small batch lies within 3 deviations.
 *
 *     loss − median > spikeDeviations · max(1.4826 · MAD, 1 % of the median)
 *     norm > spikeNormFactor · median norm
 */
import { median } from '../../base/median.ts';
import type { Fault } from '../../program/instruction.ts';

export interface GuardRules {
  readonly onFault: 'stop' | 'skip' | 'rollback';
  readonly onSpike: 'stop' | 'skip' | 'rollback' | 'ignore';
  /** Applied steps that are remembered; none is judged before half of them are there. */
  readonly window: number;
  readonly spikeDeviations: number;
  readonly spikeNormFactor: number;
  /** Skips and rollbacks allowed in one run; the next one stops it. */
  readonly maxInterventions: number;
}

export interface StepObservation {
  /** Counted from 1, as people read it. */
  readonly step: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly fault: Fault | null;
}

/** What was seen and where; `message` says it in one sentence. */
export interface Incident {
  readonly what: 'nan' | 'infinity' | 'spike';
  readonly step: number;
  readonly where: Fault['where'];
  readonly layer: number | null;
  /** As checkpoints name it; null where no single tensor is to blame. */
  readonly tensor: string | null;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly message: string;
}

export type Verdict =
  | { readonly kind: 'apply' }
  | { readonly kind: 'skip' | 'rollback' | 'stop'; readonly incident: Incident };

/** Plain data, saved with every checkpoint. */
export interface GuardState {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly numInterventions: number;
}

export class SpikeGuard {
  readonly #rules: GuardRules;
  #losses: number[] = [];
  #norms: number[] = [];
  #numInterventions = 0;

  constructor(rules: GuardRules, state?: GuardState) {
    this.#rules = rules;
    if (state !== undefined) {
      this.#losses = [...state.losses];
      this.#norms = [...state.norms];
      this.#numInterventions = state.numInterventions;
    }
  }

  get state(): GuardState {
    return {
      losses: [...this.#losses],
      norms: [...this.#norms],
      numInterventions: this.#numInterventions,
    };
  }

  judge(observation: StepObservation, situation: { readonly hasSnapshot: boolean }): Verdict {
    const incident = this.#incidentOf(observation);
    if (incident === null) {
      this.#remember(observation);
      return { kind: 'apply' };
    }
    const wanted = incident.what === 'spike' ? this.#rules.onSpike : this.#rules.onFault;
    if (wanted === 'ignore') {
      this.#remember(observation);
      return { kind: 'apply' };
    }
    return this.#intervene(incident, wanted, situation.hasSnapshot);
  }

  /** After a rollback: forgets what was seen past the snapshot, but not that it intervened. */
  rollBack(to: GuardState): void {
    this.#losses = [...to.losses];
    this.#norms = [...to.norms];
  }

  #intervene(
    incident: Incident,
    wanted: 'stop' | 'skip' | 'rollback',
    hasSnapshot: boolean,
  ): Verdict {
    let kind = wanted;
    // Dropping gradients cannot mend a weight that is broken already.
    if (kind === 'skip' && incident.where === 'parameter') kind = 'rollback';
    if (kind === 'rollback' && !hasSnapshot) kind = 'stop';
    if (kind !== 'stop' && this.#numInterventions >= this.#rules.maxInterventions) {
      const count = this.#numInterventions;
      const message = `${incident.message}; ${count} interventions were allowed and made`;
      return { kind: 'stop', incident: { ...incident, message } };
    }
    if (kind !== 'stop') this.#numInterventions++;
    return { kind, incident };
  }

  #incidentOf(observation: StepObservation): Incident | null {
    const { step, loss, gradientNorm, fault } = observation;
    const base = { step, loss, gradientNorm };
    if (fault !== null) {
      const place = fault.layer === null ? '' : ` of layer ${fault.layer}`;
      const message = `step ${step}: ${fault.what} in the ${fault.where} ${fault.tensor}${place}`;
      return { ...base, ...fault, message };
    }
    const broken = !Number.isFinite(loss) ? loss : gradientNorm;
    if (!Number.isFinite(broken)) {
      const what = Number.isNaN(broken) ? 'nan' : 'infinity';
      const where = Number.isFinite(loss) ? 'gradient' : 'loss';
      const name = where === 'loss' ? 'loss' : 'gradient norm';
      const message = `step ${step}: ${what} in the ${name}`;
      return { ...base, what, where, layer: null, tensor: null, message };
    }
    const spike = this.#spikeOf(loss, gradientNorm);
    if (spike === null) return null;
    const message = `step ${step}: ${spike.says}`;
    return { ...base, what: 'spike', where: spike.where, layer: null, tensor: null, message };
  }

  #spikeOf(loss: number, norm: number): { where: 'loss' | 'gradient'; says: string } | null {
    const { window, spikeDeviations, spikeNormFactor } = this.#rules;
    if (this.#losses.length < Math.max(2, Math.ceil(window / 2))) return null;
    const middle = median(this.#losses);
    const spread = median(this.#losses.map((value) => Math.abs(value - middle)));
    const deviation = Math.max(1.4826 * spread, 0.01 * Math.abs(middle));
    if (loss - middle > spikeDeviations * deviation) {
      const limit = (middle + spikeDeviations * deviation).toFixed(4);
      const usual = `a median of ${middle.toFixed(4)} (limit ${limit})`;
      return { where: 'loss', says: `loss ${loss.toFixed(4)} against ${usual}` };
    }
    const middleNorm = median(this.#norms);
    if (norm > spikeNormFactor * middleNorm && middleNorm > 0) {
      const ratio = (norm / middleNorm).toFixed(1);
      const usual = `${ratio} times the median of ${middleNorm.toPrecision(4)}`;
      return { where: 'gradient', says: `gradient norm ${norm.toPrecision(4)}, ${usual}` };
    }
    return null;
  }

  #remember({ loss, gradientNorm }: StepObservation): void {
    this.#losses.push(loss);
    this.#norms.push(gradientNorm);
    if (this.#losses.length > this.#rules.window) {
      this.#losses.shift();
      this.#norms.shift();
    }
  }
}
