/**
 * Interprets one rank's training program on real kernels: an instruction at a time, a span for
 * each, and outcomes where there is something to tell.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { MoebiusError } from '../base/errors.ts';
import type { RunResult } from '../executor/executor.ts';
import { oneRank } from '../kernels/collectives.ts';
import type { LossOptions } from '../model/context.ts';
import { type LossReport, lossReport, type PassSettings, readRecord } from '../model/loss.ts';
import type { TokenBatch } from '../model/microBatch.ts';
import { createRoutingCounts, type Model, moeLayers, zeroCounts } from '../model/model.ts';
import { f32Values, parameterNamed, trainedTensors, zeroGradients } from '../model/parameters.ts';
import { StageRunner } from '../model/stageRunner.ts';
import { adamwStep } from '../optim/adamw.ts';
import { updateAverage } from '../optim/ema.ts';
import { clipScale, gradientNorm } from '../optim/gradientNorm.ts';
import type {
  ForwardPass,
  LayerRouting,
  TrainingInstruction,
  TrainingOutcome,
} from '../program/instruction.ts';
import type { MicroBatch } from '../program/microBatch.ts';
import { type Span, spanOf } from '../program/span.ts';
import { entry } from '../tensor/tensor.ts';
import { locateFault } from './faultLocation.ts';
import type { MapFile } from './files.ts';
import { loadTrainingCheckpoint, saveTrainingCheckpoint } from './trainingCheckpoint.ts';
import {
  averagedTensors,
  copySnapshot,
  createSnapshot,
  type Snapshot,
  type TrainingState,
} from './trainingState.ts';

/** Constants of a run that no schedule changes. */
export type LossForm = Pick<LossOptions, 'balanceForm' | 'mtpHidden'>;

export interface TrainingRankOptions {
  readonly state: TrainingState;
  readonly clock: Clock;
  readonly lossForm: LossForm;
  /** Where `saveShard` puts checkpoints. */
  readonly checkpointDirectory: string;
  readonly mapFile?: MapFile;
}

export class TrainingRank {
  readonly #options: TrainingRankOptions;
  readonly #runner: StageRunner;
  #evaluator: { readonly runner: StageRunner; readonly model: Model } | null = null;
  #snapshot: Snapshot | null = null;
  /** The step under way. */
  #batches = new Map<number, TokenBatch>();
  #pass: { settings: PassSettings; options: LossOptions } | null = null;
  #gradientNorm: number | null = null;

  constructor(options: TrainingRankOptions) {
    this.#options = options;
    const { state } = options;
    this.#runner = runnerOf(state, state.model, state.counts);
  }

  /** The most bytes of activations ever alive at once. */
  get peakActivationBytes(): number {
    return this.#runner.peakBytes;
  }

  async run(instructions: readonly TrainingInstruction[]): Promise<RunResult<TrainingOutcome>> {
    const { clock } = this.#options;
    const spans: Span[] = [];
    const outcomes: TrainingOutcome[] = [];
    for (const [index, instruction] of instructions.entries()) {
      const start = clock.now();
      outcomes.push(...(await this.#execute(instruction)));
      spans.push(spanOf(instruction, { index, start, end: clock.now() }));
    }
    return { spans, outcomes };
  }

  async #execute(instruction: TrainingInstruction): Promise<TrainingOutcome[]> {
    switch (instruction.kind) {
      case 'loadMicroBatch':
        this.#batches.set(instruction.microBatch, instruction.batch);
        this.#runner.load(instruction.microBatch, instruction.batch);
        return [];
      case 'forward':
        this.#forward(instruction);
        return [];
      case 'backward':
        this.#runner.backward(instruction.microBatch, null);
        return [];
      case 'backwardInput':
        this.#runner.backwardInput(instruction.microBatch, null);
        return [];
      case 'backwardWeight':
        this.#runner.backwardWeight(instruction.microBatch);
        return [];
      case 'forwardBackward':
      case 'send':
      case 'recv':
        throw new MoebiusError('program.ranks', `one rank cannot run "${instruction.kind}"`, {
          values: { instruction: instruction.kind },
          hint: 'Write a program for one rank: forward and backward of the whole model.',
        });
      case 'reduceGradients':
        return this.#reduceGradients();
      case 'optimizerStep':
        this.#optimizerStep(instruction);
        return [];
      case 'updateBias':
        return this.#updateBias(instruction.speed);
      case 'dropGradients':
        this.#endStep();
        return [];
      case 'evaluate':
        return [await this.#evaluate(instruction.batch, instruction.weights)];
      case 'saveShard': {
        const { state, checkpointDirectory } = this.#options;
        const saved = await saveTrainingCheckpoint(
          state,
          checkpointDirectory,
          instruction.checkpoint,
        );
        return [{ kind: 'saved', ...saved }];
      }
      case 'loadShard': {
        const { state, mapFile } = this.#options;
        const { directory } = instruction;
        const trainerState = await loadTrainingCheckpoint(state, directory, mapFile);
        this.#endStep();
        return [{ kind: 'loaded', trainerState }];
      }
      case 'snapshot':
        this.#snapshot ??= createSnapshot(this.#options.state);
        copySnapshot(this.#options.state, this.#snapshot, 'take');
        return [];
      case 'restore':
        assert(this.#snapshot !== null, 'restore follows a snapshot');
        copySnapshot(this.#options.state, this.#snapshot, 'restore');
        this.#endStep();
        return [];
      default:
        return instruction satisfies never;
    }
  }

  #forward(pass: ForwardPass): void {
    const { state, lossForm } = this.#options;
    const { mtpWeight, balanceCoefficient, normalizers, numMicroBatches, microBatch } = pass;
    const settings = {
      isTraining: true,
      numMtpDepths: state.options.config.numNextnPredictLayers,
      normalizers,
      numMicroBatches,
    };
    const options = { ...lossForm, mtpWeight, balanceCoefficient };
    this.#runner.forward(microBatch, { settings, options, hidden: null });
    this.#pass = { settings, options };
  }

  async #reduceGradients(): Promise<TrainingOutcome[]> {
    const { state } = this.#options;
    const { kernels } = state.options;
    assert(this.#pass !== null, 'gradients come from a forward pass');
    const { settings, options } = this.#pass;
    const sums = [];
    for (const record of this.#runner.records) sums.push(await readRecord(kernels, record));
    const losses: LossReport = lossReport(sums, settings, options);
    const parameters = trainedTensors(state.parameters);
    const { norm, fault } = await gradientNorm({ kernels, arena: state.arena, parameters });
    const isSound = fault === null && Number.isFinite(losses.total);
    const batches = [...this.#batches.values()];
    const located = isSound
      ? null
      : await locateFault(state, { batches, settings, options, losses });
    this.#gradientNorm = norm;
    return [
      { kind: 'losses', ...losses },
      {
        kind: 'gradients',
        norm,
        fault: isSound ? null : (located ?? { ...unknownFault, tensor: fault?.tensor ?? 'norm' }),
      },
    ];
  }

  #optimizerStep(step: Extract<TrainingInstruction, { kind: 'optimizerStep' }>): void {
    const { state } = this.#options;
    const { kernels } = state.options;
    const { maxGradientNorm, averageDecay, kind, ...settings } = step;
    assert(this.#gradientNorm !== null, `${kind} follows reduceGradients`);
    const gradientScale = clipScale(this.#gradientNorm, maxGradientNorm);
    adamwStep({
      kernels,
      parameters: trainedTensors(state.parameters),
      state: state.optimizer,
      settings: { ...settings, gradientScale },
    });
    if (averageDecay !== null) {
      updateAverage({ kernels, tensors: averagedTensors(state), decay: averageDecay });
    }
  }

  async #updateBias(speed: number): Promise<TrainingOutcome[]> {
    const { state } = this.#options;
    const { kernels } = state.options;
    const { layers, all } = state.counts;
    const routing: LayerRouting[] = [];
    const loads = all === null ? new Int32Array() : await kernels.read(all);
    for (const [index, layer] of layers.entries()) {
      assert(all !== null, 'MoE layers have counts');
      const buffer = biasOf(state, layer);
      if (speed !== 0 && buffer.tensors.length > 0) {
        const bias_E = f32Values(buffer);
        kernels.updateRouterBias({ bias_E, counts_E: entry(all, index), speed });
      }
      const width = loads.length / layers.length;
      routing.push({
        layer,
        tokensPerExpert: [...loads.subarray(index * width, (index + 1) * width)],
        bias: [...(await kernels.read(f32Values(buffer)))],
      });
    }
    if (state.average !== null) this.#copyBiases();
    this.#endStep();
    return [{ kind: 'routing', layers: routing }];
  }

  /** Biases are no weights that can be averaged: the average routes by the newest. */
  #copyBiases(): void {
    const { state } = this.#options;
    for (const [name, buffer] of state.average?.parameters.buffers ?? []) {
      const x = parameterNamed(state.parameters, name).weight.values;
      state.options.kernels.copy({ out: buffer.weight.values, x });
    }
  }

  async #evaluate(batch: MicroBatch, weights: 'current' | 'average'): Promise<TrainingOutcome> {
    const { state, lossForm } = this.#options;
    const { kernels } = state.options;
    const { model } = weights === 'average' ? averageOf(state) : state;
    if (this.#evaluator?.model !== model) {
      const { config, stage } = state.options;
      const counts = createRoutingCounts({ kernels, arena: state.arena, config, stage });
      this.#evaluator = { model, runner: runnerOf(state, model, counts) };
    }
    const { runner } = this.#evaluator;
    runner.load(0, batch);
    runner.forward(0, {
      settings: {
        isTraining: false,
        numMtpDepths: 0,
        normalizers: { main: 1, mtp: [] },
        numMicroBatches: 1,
      },
      options: { ...lossForm, mtpWeight: 0, balanceCoefficient: 0 },
      hidden: null,
    });
    const record = runner.records[0];
    assert(record !== undefined, 'a pass leaves a record');
    const { main } = await readRecord(kernels, record);
    runner.endStep();
    const numTargets = batch.targets.reduce((sum, target) => sum + (target >= 0 ? 1 : 0), 0);
    return { kind: 'evaluation', negativeLogLikelihood: main, numTargets };
  }

  #endStep(): void {
    const { state } = this.#options;
    zeroGradients(state.options.kernels, state.parameters);
    zeroCounts(state.options.kernels, state.counts);
    this.#runner.endStep();
    this.#batches = new Map();
    this.#pass = null;
    this.#gradientNorm = null;
  }
}

const unknownFault = { what: 'infinity', where: 'gradient', layer: null } as const;

function runnerOf(
  state: TrainingState,
  model: Model,
  counts: TrainingState['counts'],
): StageRunner {
  const { kernels, maxPositions } = state.options;
  return new StageRunner({ kernels, model, collectives: oneRank, counts, maxPositions });
}

function averageOf(state: TrainingState): NonNullable<TrainingState['average']> {
  if (state.average !== null) return state.average;
  throw new MoebiusError('train.noAverage', 'the run keeps no average of its weights', {
    hint: 'Set average.decay (0.999, say), or evaluate the current weights.',
  });
}

function biasOf(state: TrainingState, layer: number): ReturnType<typeof parameterNamed> {
  assert(
    moeLayers(state.options.config, state.options.stage).includes(layer),
    `layer ${layer} is MoE`,
  );
  const name = `model.layers.${layer}.mlp.gate.e_score_correction_bias`;
  return parameterNamed(state.parameters, name);
}
