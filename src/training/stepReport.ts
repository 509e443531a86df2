/** One applied step in numbers: outcomes of the executor, settings of the policy, and the clock. */
import { median } from '../base/median.ts';
import type { RunResult } from '../executor/executor.ts';
import type { StepSettings } from '../policy/pipeline/singleRank.ts';
import type { LayerRouting, TrainingOutcome } from '../program/instruction.ts';
import type { MicroBatch } from '../program/microBatch.ts';
import type { Span } from '../program/span.ts';
import type { StepReport } from './events.ts';
import { type OutcomeOf, only } from './outcomes.ts';
import { summarizeRouting } from './routingSummary.ts';
import type { StepProgress } from './step.ts';
import { type SmoothedState, smooth, smoothedValue, UNSMOOTHED } from './trainerState.ts';

/** What is known about the machine. */
export interface MachineFacts {
  /** Measured peak of fused multiply-adds on the threads in use, in FLOP/s. */
  readonly fmaPeakFlops?: number;
  readonly predictedStepSeconds?: number;
  /** Of such a step on the simulated executor. */
  readonly predictedSpans?: readonly Span[];
  readonly memoryBytes?: () => number;
}

/** What `reduceGradients` said. */
export interface Computed {
  readonly losses: OutcomeOf<'losses'>;
  readonly gradients: OutcomeOf<'gradients'>;
  readonly spans: readonly Span[];
}

export function readComputed({ outcomes, spans }: RunResult<TrainingOutcome>): Computed {
  const losses = only(outcomes, 'losses');
  const gradients = only(outcomes, 'gradients');
  return { losses, gradients, spans };
}

export interface StepFacts {
  /** With this step done. */
  readonly progress: StepProgress;
  readonly numSteps: number;
  readonly batches: readonly MicroBatch[];
  readonly computed: Computed;
  readonly settings: StepSettings;
  readonly smoothedLoss: SmoothedState;
  readonly seconds: number;
  readonly dataSeconds: number;
  readonly elapsedSeconds: number;
  readonly totalTokens: number;
  readonly epochs: number;
  readonly flopsPerToken: number;
  readonly times: StepTimes;
  readonly routing: readonly LayerRouting[];
  readonly spans: readonly Span[];
  readonly machine: MachineFacts;
}

export function reportStep(facts: StepFacts): StepReport {
  const { progress, computed, settings, machine, flopsPerToken } = facts;
  // A clock may be coarser than a tiny step.
  const seconds = Math.max(facts.seconds, 1e-9);
  const { losses, gradients } = computed;
  const stepTokens = facts.batches.reduce((sum, batch) => sum + batch.ids.length, 0);
  facts.times.add(seconds, stepTokens);
  const tokensPerSecond = stepTokens / seconds;
  const remainingTokens = Math.max(0, facts.totalTokens - progress.tokens);
  return {
    kind: 'step',
    step: progress.step,
    numSteps: facts.numSteps,
    tokens: progress.tokens,
    epochs: facts.epochs,
    loss: losses.total,
    smoothedLoss: smoothedValue(facts.smoothedLoss),
    mainLoss: losses.main,
    mtpLoss: losses.mtp,
    mtpLossPerDepth: losses.mtpPerDepth,
    balanceLoss: losses.balance,
    gradientNorm: gradients.norm,
    learningRate: settings.optimizer.learningRate,
    mtpWeight: settings.mtpWeight,
    biasSpeed: settings.biasSpeed,
    sequences: facts.batches.reduce((sum, batch) => sum + batch.numSequences, 0),
    seconds,
    dataShare: Math.min(1, facts.dataSeconds / seconds),
    tokensPerSecond,
    shareOfPeak: shareOfPeak(tokensPerSecond * flopsPerToken, machine),
    predictedSeconds: machine.predictedStepSeconds ?? null,
    elapsedSeconds: facts.elapsedSeconds,
    remainingSeconds: remainingTokens * facts.times.recentSecondsPerToken,
    flops: progress.tokens * flopsPerToken,
    memoryBytes: machine.memoryBytes?.() ?? null,
    balance: summarizeRouting(facts.routing),
    routing: facts.routing,
    spans: facts.spans,
    predictedSpans: machine.predictedSpans ?? [],
  };
}

/** How long steps took: the recent ones for what remains, all of them for the summary. */
export class StepTimes {
  readonly #seconds: number[] = [];
  readonly #secondsPerToken: number[] = [];
  #recent: SmoothedState = UNSMOOTHED;

  add(seconds: number, tokens: number): void {
    this.#seconds.push(seconds);
    this.#secondsPerToken.push(seconds / tokens);
    this.#recent = smooth(this.#recent, seconds / tokens);
  }

  get recentSecondsPerToken(): number {
    return smoothedValue(this.#recent);
  }

  /** Medians, so that a step which met another program's burst counts as one step. */
  medians(
    flopsPerToken: number,
    machine: MachineFacts,
  ): {
    readonly stepSeconds: number | null;
    readonly tokensPerSecond: number | null;
    readonly shareOfPeak: number | null;
  } {
    if (this.#seconds.length === 0) {
      return { stepSeconds: null, tokensPerSecond: null, shareOfPeak: null };
    }
    const perToken = median(this.#secondsPerToken);
    return {
      stepSeconds: median(this.#seconds),
      tokensPerSecond: 1 / perToken,
      shareOfPeak: shareOfPeak(flopsPerToken / perToken, machine),
    };
  }
}

function shareOfPeak(flopsPerSecond: number, { fmaPeakFlops }: MachineFacts): number | null {
  return fmaPeakFlops === undefined ? null : flopsPerSecond / fmaPeakFlops;
}
