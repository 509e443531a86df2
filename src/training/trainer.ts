/**
 * The training loop: decide, run, note.
 *
 *     data ─► micro-batches ─► policy ─► programs ─► executor ─► losses, norm, faults
 *                                                                  │ guard
 *                           milestones ◄─ report ◄─ apply │ skip │ roll back │ stop
 *
 * A step runs as two programs, so that the guard decides while no weight has moved. A checkpoint is
 * written *before* the evaluation and the sample of the same step: whatever happens in them, the
 * steps are safe. The trainer has no opinion on where it runs: time, storage, text generation and
 * watchers are passed in.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { flopsPerToken } from '../config/modelCounts.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import type { TrainingExecutor } from '../executor/executor.ts';
import {
  type GuardState,
  type Incident,
  SpikeGuard,
  type Verdict,
} from '../policy/guard/spikeGuard.ts';
import { onRankZero, type StepPrograms } from '../policy/pipeline/singleRank.ts';
import type { TrainingInstruction, TrainingOutcome } from '../program/instruction.ts';
import type { MicroBatch } from '../program/microBatch.ts';
import { CheckpointKeeper, type CheckpointStore } from './checkpoints.ts';
import type { DataPosition, TrainingData } from './data/mixture.ts';
import type { ValidationSet } from './data/validation.ts';
import { evaluate } from './evaluate.ts';
import type { InterventionEvent, TrainingObserver, TrainingSummary } from './events.ts';
import { allOf, only } from './outcomes.ts';
import {
  BEGINNING,
  microBatchSizes,
  type Schedules,
  type StepProgress,
  schedulesOf,
  settingsAt,
  stepPrograms,
} from './step.ts';
import {
  type Computed,
  type MachineFacts,
  readComputed,
  reportStep,
  StepTimes,
} from './stepReport.ts';
import {
  type Due,
  NOTHING_DUE,
  parseTrainerState,
  type SmoothedState,
  smooth,
  type TrainerState,
  UNSMOOTHED,
} from './trainerState.ts';

export interface TrainerParts {
  readonly config: TrainConfig;
  readonly executor: TrainingExecutor;
  readonly data: TrainingData;
  readonly validation: ValidationSet;
  readonly store: CheckpointStore;
  readonly clock: Clock;
  readonly observer: TrainingObserver;
  /** Laid beside every checkpoint's weights: `config.json`, `tokenizer.json`, `train.json`, … */
  readonly files: Readonly<Record<string, string>>;
  /** Continues a prompt with the present weights; without it no samples are made. */
  readonly generate?: (prompt: string) => Promise<string>;
  /** Folder of the checkpoint to go on from. */
  readonly resumeFrom?: string;
  readonly machine?: MachineFacts;
}

/** What a rollback goes back to, besides what the executor keeps. */
interface Snapshot {
  readonly progress: StepProgress;
  readonly guard: GuardState;
  readonly smoothedLoss: SmoothedState;
}

/** A step on its way: its batches, what was decided, what came of it. */
interface Step {
  readonly batches: readonly MicroBatch[];
  readonly positionBefore: DataPosition;
  readonly started: number;
  readonly dataSeconds: number;
  readonly programs: StepPrograms;
}

export class Trainer {
  readonly #parts: TrainerParts;
  readonly #config: TrainConfig;
  readonly #schedules: Schedules;
  readonly #flopsPerToken: number;
  readonly #checkpoints: CheckpointKeeper;
  readonly #times = new StepTimes();
  readonly #began: number;
  #guard: SpikeGuard;
  #progress: StepProgress = BEGINNING;
  #smoothedLoss: SmoothedState = UNSMOOTHED;
  #snapshot: Snapshot | null = null;
  /** The progress at the newest checkpoint, by identity. */
  #savedAt: StepProgress | null = null;
  #validation: number | null = null;
  #earlierSeconds = 0;
  #numSkipped = 0;
  #numRollbacks = 0;
  #isStopRequested = false;
  #end: TrainingSummary['end'] | null = null;
  #incident: Incident | null = null;

  constructor(parts: TrainerParts) {
    const { config, executor, store, clock } = parts;
    this.#parts = parts;
    this.#config = config;
    this.#schedules = schedulesOf(config);
    this.#checkpoints = new CheckpointKeeper(executor, store, config.checkpoint);
    this.#guard = new SpikeGuard(config.guard);
    this.#began = clock.now();
    const context = config.batch.length;
    const counted = { context, causal: true, mtp: true, training: true };
    this.#flopsPerToken = flopsPerToken(config.model, counted);
  }

  /** Ends the run after the step that is under way, with a checkpoint. Safe from a signal. */
  requestStop(): void {
    this.#isStopRequested = true;
  }

  async run(): Promise<TrainingSummary> {
    await this.#begin();
    while (this.#end === null) {
      const step = this.#decide();
      const computed = readComputed(await this.#parts.executor.run(step.programs.compute));
      await this.#carryOut(this.#judge(computed), step, computed);
      await this.#endIfDone();
    }
    return this.#finish(this.#end);
  }

  async #begin(): Promise<void> {
    const { resumeFrom, observer } = this.#parts;
    const due = resumeFrom === undefined ? NOTHING_DUE : await this.#resume(resumeFrom);
    await observer({
      kind: 'start',
      step: this.#progress.step,
      numSteps: this.#config.steps,
      totalTokens: this.#schedules.totalTokens,
      resumedFrom: resumeFrom ?? null,
    });
    await this.#takeSnapshot();
    await this.#look(due);
    await this.#endIfDone();
  }

  /** @returns what the checkpoint was written before, hence is still to be done */
  async #resume(directory: string): Promise<Due> {
    const loaded = only(await this.#run([{ kind: 'loadShard', directory }]), 'loaded');
    const state = parseTrainerState(loaded.trainerState);
    this.#parts.data.seek(state.position);
    this.#checkpoints.restore(state.kept, directory);
    this.#progress = state.progress;
    this.#savedAt = state.progress;
    this.#guard = new SpikeGuard(this.#config.guard, state.guard);
    this.#smoothedLoss = state.smoothedLoss;
    this.#earlierSeconds = state.elapsedSeconds;
    this.#numSkipped = state.numSkipped;
    this.#numRollbacks = state.numRollbacks;
    return state.due;
  }

  #decide(): Step {
    const { data, clock } = this.#parts;
    const started = clock.now();
    const positionBefore = data.position;
    const sizes = microBatchSizes(this.#config, this.#schedules, this.#progress);
    const batches = sizes.map((size) => data.next(size));
    const dataSeconds = clock.now() - started;
    const programs = stepPrograms(this.#config, batches, this.#progress, this.#schedules);
    return { batches, positionBefore, started, dataSeconds, programs };
  }

  #judge({ losses, gradients }: Computed): Verdict {
    const { norm: gradientNorm, fault } = gradients;
    const step = this.#progress.step + 1;
    const observation = { step, loss: losses.total, gradientNorm, fault };
    return this.#guard.judge(observation, { hasSnapshot: this.#snapshot !== null });
  }

  async #carryOut(verdict: Verdict, step: Step, computed: Computed): Promise<void> {
    switch (verdict.kind) {
      case 'apply':
        await this.#apply(step, computed);
        return this.#reachMilestones();
      case 'skip':
        await this.#skip(step, verdict.incident);
        return this.#reachMilestones();
      case 'rollback':
        return this.#rollBack(step, verdict.incident);
      case 'stop':
        return this.#stop(step, verdict.incident);
      default:
        return verdict satisfies never;
    }
  }

  async #apply(step: Step, computed: Computed): Promise<void> {
    const { clock, data, executor, observer, machine = {} } = this.#parts;
    const settings = settingsAt(this.#config, this.#schedules, this.#progress);
    const { outcomes, spans } = await executor.run(step.programs.apply);
    this.#advance(step.batches, 1);
    this.#smoothedLoss = smooth(this.#smoothedLoss, computed.losses.main);
    const report = reportStep({
      progress: this.#progress,
      numSteps: this.#config.steps,
      batches: step.batches,
      computed,
      settings,
      smoothedLoss: this.#smoothedLoss,
      seconds: clock.now() - step.started,
      dataSeconds: step.dataSeconds,
      elapsedSeconds: this.#elapsedSeconds(),
      totalTokens: this.#schedules.totalTokens,
      epochs: data.epochs,
      flopsPerToken: this.#flopsPerToken,
      times: this.#times,
      routing: allOf(outcomes, 'routing').flatMap(({ layers }) => layers),
      spans: [...computed.spans, ...spans],
      machine,
    });
    await observer(report);
  }

  async #skip(step: Step, incident: Incident): Promise<void> {
    await this.#parts.executor.run(step.programs.drop);
    this.#advance(step.batches, 0);
    this.#numSkipped++;
    await this.#reportIntervention('skip', incident);
  }

  async #rollBack(step: Step, incident: Incident): Promise<void> {
    const snapshot = this.#snapshot;
    assert(snapshot !== null, 'a rollback without a snapshot');
    await this.#parts.executor.run(step.programs.drop);
    await this.#run([{ kind: 'restore' }]);
    // The data stays where it is: the batches that led here are not shown again.
    this.#progress = snapshot.progress;
    this.#smoothedLoss = snapshot.smoothedLoss;
    // A checkpoint of this progress would show them again.
    this.#savedAt = null;
    this.#guard.rollBack(snapshot.guard);
    this.#numRollbacks++;
    await this.#reportIntervention('rollback', incident);
  }

  async #stop(step: Step, incident: Incident): Promise<void> {
    await this.#parts.executor.run(step.programs.drop);
    // As if the step had not begun: a resumed run meets the same batches, under rules of its own.
    this.#parts.data.seek(step.positionBefore);
    // The weights have not moved; unless they are what is broken, they are the last good state.
    if (incident.where !== 'parameter') await this.#save(NOTHING_DUE);
    this.#incident = incident;
    this.#end = 'fault';
    await this.#reportIntervention('stop', incident);
  }

  async #reportIntervention(
    action: InterventionEvent['action'],
    incident: Incident,
  ): Promise<void> {
    const { step } = this.#progress;
    await this.#parts.observer({ kind: 'intervention', action, incident, step });
  }

  #advance(batches: readonly MicroBatch[], updates: 0 | 1): void {
    const { step, tokens, updates: before } = this.#progress;
    const seen = batches.reduce((sum, batch) => sum + batch.ids.length, 0);
    this.#progress = { step: step + 1, updates: before + updates, tokens: tokens + seen };
  }

  async #reachMilestones(): Promise<void> {
    const { steps, evaluation, sample, checkpoint, guard } = this.#config;
    const { step } = this.#progress;
    const isDue = (every: number | null): boolean => every !== null && step % every === 0;
    const isLast = step >= steps;
    const due = {
      evaluation: isLast || isDue(evaluation.every),
      sample: isLast || isDue(sample.every),
    };
    if (due.evaluation || isDue(checkpoint.every)) await this.#save(due);
    else if (isDue(guard.snapshotEvery)) await this.#takeSnapshot();
    // In a hurry, what is due stays written down: a resumed run does it first.
    const isInHurry = this.#isStopRequested && this.#savedAt === this.#progress;
    if (!isInHurry) await this.#look(due);
  }

  async #endIfDone(): Promise<void> {
    if (this.#end !== null) return;
    if (this.#isStopRequested) {
      await this.#save(NOTHING_DUE);
      this.#end = 'requested';
    } else if (this.#progress.step >= this.#config.steps) {
      this.#end = 'finished';
    }
  }

  /** Writes a checkpoint, unless the newest one is of this very progress. */
  async #save(due: Due): Promise<void> {
    if (this.#savedAt === this.#progress) return;
    const { files, clock, observer, data } = this.#parts;
    const began = clock.now();
    const { step } = this.#progress;
    const saved = await this.#checkpoints.save(
      step,
      (kept) => {
        const state: TrainerState = {
          version: 1,
          progress: this.#progress,
          position: data.position,
          guard: this.#guard.state,
          smoothedLoss: this.#smoothedLoss,
          kept,
          due,
          elapsedSeconds: this.#elapsedSeconds(),
          numSkipped: this.#numSkipped,
          numRollbacks: this.#numRollbacks,
        };
        return JSON.stringify(state);
      },
      files,
    );
    this.#savedAt = this.#progress;
    await observer({ kind: 'checkpoint', step, ...saved, seconds: clock.now() - began });
    // A resumed run has its snapshot here too, so that both roll back to the same place.
    await this.#takeSnapshot();
  }

  async #look(due: Due): Promise<void> {
    if (due.evaluation) await this.#evaluate();
    if (due.sample) await this.#sample();
  }

  async #evaluate(): Promise<void> {
    const { executor, validation, clock, observer } = this.#parts;
    const { weights } = this.#config.evaluation;
    const { step } = this.#progress;
    const began = clock.now();
    const result = await evaluate(executor, validation, weights);
    this.#validation = result.bitsPerByte;
    const isBest = await this.#checkpoints.judgeNewest(step, result.bitsPerByte);
    const seconds = clock.now() - began;
    await observer({ kind: 'evaluation', step, weights, ...result, seconds, isBest });
  }

  async #sample(): Promise<void> {
    const { generate, observer } = this.#parts;
    if (generate === undefined) return;
    for (const prompt of this.#config.sample.prompts) {
      const text = await generate(prompt);
      await observer({ kind: 'sample', step: this.#progress.step, prompt, text });
    }
  }

  async #takeSnapshot(): Promise<void> {
    const { onFault, onSpike, snapshotEvery } = this.#config.guard;
    const isWanted = onFault === 'rollback' || onSpike === 'rollback' || snapshotEvery !== null;
    if (!isWanted) return;
    await this.#run([{ kind: 'snapshot' }]);
    const [progress, smoothedLoss] = [this.#progress, this.#smoothedLoss];
    this.#snapshot = { progress, guard: this.#guard.state, smoothedLoss };
  }

  async #finish(end: TrainingSummary['end']): Promise<TrainingSummary> {
    const { machine = {}, observer } = this.#parts;
    const summary: TrainingSummary = {
      end,
      incident: this.#incident,
      step: this.#progress.step,
      tokens: this.#progress.tokens,
      elapsedSeconds: this.#elapsedSeconds(),
      ...this.#times.medians(this.#flopsPerToken, machine),
      predictedStepSeconds: machine.predictedStepSeconds ?? null,
      validationBitsPerByte: this.#validation,
      best: this.#checkpoints.best,
      checkpoint: this.#checkpoints.newest,
      numSkipped: this.#numSkipped,
      numRollbacks: this.#numRollbacks,
    };
    await observer({ kind: 'end', summary });
    return summary;
  }

  #elapsedSeconds(): number {
    return this.#earlierSeconds + this.#parts.clock.now() - this.#began;
  }

  async #run(instructions: readonly TrainingInstruction[]): Promise<readonly TrainingOutcome[]> {
    return (await this.#parts.executor.run(onRankZero(instructions))).outcomes;
  }
}
