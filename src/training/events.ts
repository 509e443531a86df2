/**
 * What a training run tells whoever watches: a status line, a metrics file, TensorBoard and a
 * studio are all observers of these. Plain data, in the order in which it happened.
 */
import type { Incident } from '../policy/guard/spikeGuard.ts';
import type { LayerRouting } from '../program/instruction.ts';
import type { Span } from '../program/span.ts';
import type { RoutingSummary } from './routingSummary.ts';

export type TrainingEvent =
  | StartEvent
  | StepReport
  | EvaluationEvent
  | SampleEvent
  | CheckpointEvent
  | InterventionEvent
  | EndEvent;

export type TrainingObserver = (event: TrainingEvent) => void | Promise<void>;

export interface StartEvent {
  readonly kind: 'start';
  /** Steps done before: 0, or where a resumed run goes on. */
  readonly step: number;
  readonly numSteps: number;
  readonly totalTokens: number;
  /** The checkpoint it goes on from. */
  readonly resumedFrom: string | null;
}

/** One applied step. Losses are means over the step's targets, in nats; times are in seconds. */
export interface StepReport {
  readonly kind: 'step';
  /** Counted from 1. */
  readonly step: number;
  readonly numSteps: number;
  /** Seen so far, this step included. */
  readonly tokens: number;
  /** How often the data has been seen. */
  readonly epochs: number;
  /** What is trained on: main, MTP by its weight, balance by its coefficient. */
  readonly loss: number;
  readonly mainLoss: number;
  /** The main loss of the last steps, weighted towards the newest. */
  readonly smoothedLoss: number;
  readonly mtpLoss: number;
  readonly mtpLossPerDepth: readonly number[];
  /** Unscaled. */
  readonly balanceLoss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly mtpWeight: number;
  readonly biasSpeed: number;
  readonly sequences: number;
  readonly seconds: number;
  /** Time of the step spent on making its batches, as a share. */
  readonly dataShare: number;
  readonly tokensPerSecond: number;
  /** FLOPs per second over the machine's measured peak; null where that is unknown. */
  readonly shareOfPeak: number | null;
  /** Of the same programs on the same machine's costs; null where nobody predicted. */
  readonly predictedSeconds: number | null;
  /** Since the run began, over all its resumptions. */
  readonly elapsedSeconds: number;
  readonly remainingSeconds: number;
  /** FLOPs spent so far. */
  readonly flops: number;
  readonly memoryBytes: number | null;
  readonly balance: RoutingSummary | null;
  readonly routing: readonly LayerRouting[];
  /** What ran and when. */
  readonly spans: readonly Span[];
  /** Of the same programs on the simulated executor, on its clock; none without a forecast. */
  readonly predictedSpans: readonly Span[];
}

export interface EvaluationEvent {
  readonly kind: 'evaluation';
  readonly step: number;
  readonly weights: 'current' | 'average';
  readonly lossPerToken: number;
  readonly bitsPerByte: number;
  readonly numTargets: number;
  readonly numBytes: number;
  readonly seconds: number;
  readonly isBest: boolean;
}

export interface SampleEvent {
  readonly kind: 'sample';
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

export interface CheckpointEvent {
  readonly kind: 'checkpoint';
  readonly step: number;
  readonly name: string;
  readonly directory: string;
  readonly bytes: number;
  readonly seconds: number;
}

/** The guard stepped in: what was seen, and what was done about it. */
export interface InterventionEvent {
  readonly kind: 'intervention';
  readonly action: 'skip' | 'rollback' | 'stop';
  readonly incident: Incident;
  /** Where the run goes on: the step itself, or the snapshot's. */
  readonly step: number;
}

export interface EndEvent {
  readonly kind: 'end';
  readonly summary: TrainingSummary;
}

export interface TrainingSummary {
  /** `finished`: all steps; `requested`: told to stop; `fault`: the guard stopped it. */
  readonly end: 'finished' | 'requested' | 'fault';
  readonly incident: Incident | null;
  readonly step: number;
  readonly tokens: number;
  readonly elapsedSeconds: number;
  /** Medians over this process's steps; null before the first. */
  readonly stepSeconds: number | null;
  readonly tokensPerSecond: number | null;
  readonly shareOfPeak: number | null;
  readonly predictedStepSeconds: number | null;
  /** The newest; null when none was made. */
  readonly validationBitsPerByte: number | null;
  readonly best: BestCheckpoint | null;
  /** The newest checkpoint's name and folder. */
  readonly checkpoint: { readonly name: string; readonly directory: string } | null;
  readonly numSkipped: number;
  readonly numRollbacks: number;
}

export interface BestCheckpoint {
  readonly name: string;
  readonly step: number;
  readonly bitsPerByte: number;
}
