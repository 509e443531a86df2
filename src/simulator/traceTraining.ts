/**
 * What a training program does, instruction by instruction, without doing it: the real model and
 * the real optimiser on the meta kernels, which write every operation down.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { callShape, type OperationCall } from '../kernels/callShape.ts';
import { oneRank } from '../kernels/collectives.ts';
import { createMetaKernels, type MetaKernels, type OperationRecord } from '../kernels/meta.ts';
import type { LossOptions, RoutingCounts } from '../model/context.ts';
import { createModel, createRoutingCounts, type Model, zeroCounts } from '../model/model.ts';
import type { Stage } from '../model/parameterLayout.ts';
import {
  createParameters,
  f32Values,
  type ParameterSet,
  parameterNamed,
  trainedTensors,
  zeroGradients,
} from '../model/parameters.ts';
import { StageRunner } from '../model/stageRunner.ts';
import {
  adamwStep,
  createOptimizerState,
  type MomentDType,
  type OptimizerState,
} from '../optim/adamw.ts';
import { updateAverage } from '../optim/ema.ts';
import type { TrainingInstruction } from '../program/instruction.ts';
import { elements, entry } from '../tensor/tensor.ts';
import type { OperationWork } from './costModel.ts';

export interface SimulatedRankOptions {
  readonly config: ModelConfig;
  readonly stage: Stage;
  readonly momentDType: MomentDType;
  readonly maxPositions: number;
  readonly lossForm: Pick<LossOptions, 'balanceForm' | 'mtpHidden'>;
}

/** An operation of the trace: what to price, and the call for whoever wants to make it for real. */
export interface TracedOperation extends OperationWork {
  readonly kind: OperationRecord['kind'];
  /**
   * The part of `flops` that makes again what could have been kept; published counts leave it out.
   */
  readonly recomputedFlops: number;
  readonly call: OperationCall | null;
}

/** One rank's state in shapes, and the interpreter that moves through a program with it. */
export class TracedRank {
  readonly #options: SimulatedRankOptions;
  readonly #meta: MetaKernels = createMetaKernels();
  readonly #parameters: ParameterSet;
  readonly #model: Model;
  readonly #optimizer: OptimizerState;
  readonly #counts: RoutingCounts;
  readonly #runner: StageRunner;
  readonly #parameterBytes: number;

  constructor(options: SimulatedRankOptions) {
    this.#options = options;
    const { config, stage, maxPositions, momentDType } = options;
    const { kernels } = this.#meta;
    const arena = kernels.createArena('parameters');
    this.#parameters = createParameters({ kernels, arena, config, stage, withGradients: true });
    const parameters = this.#parameters;
    this.#model = createModel({ kernels, arena, config, parameters, maxPositions });
    this.#optimizer = createOptimizerState({
      kernels,
      arena,
      parameters: trainedTensors(parameters),
      dtype: momentDType,
    });
    this.#counts = createRoutingCounts({ kernels, arena, config, stage });
    this.#parameterBytes = arena.usedBytes;
    this.#runner = new StageRunner({
      kernels,
      model: this.#model,
      collectives: oneRank,
      counts: this.#counts,
      maxPositions,
    });
  }

  /** Weights, gradients and moments. */
  get stateBytes(): number {
    return this.#parameterBytes;
  }

  /** The most bytes of activations ever alive at once. */
  get peakActivationBytes(): number {
    return this.#runner.peakBytes;
  }

  /** Runs one instruction on shapes and gives its operations. */
  trace(instruction: TrainingInstruction): TracedOperation[] {
    this.#meta.records.length = 0;
    this.#run(instruction);
    return this.#meta.records.map(traced);
  }

  #run(instruction: TrainingInstruction): void {
    const runner = this.#runner;
    switch (instruction.kind) {
      case 'loadMicroBatch':
        runner.load(instruction.microBatch, instruction.batch);
        return;
      case 'forward': {
        const { mtpWeight, balanceCoefficient, normalizers, numMicroBatches } = instruction;
        const numMtpDepths = this.#options.config.numNextnPredictLayers;
        runner.forward(instruction.microBatch, {
          settings: { isTraining: true, numMtpDepths, normalizers, numMicroBatches },
          options: { ...this.#options.lossForm, mtpWeight, balanceCoefficient },
          hidden: null,
        });
        return;
      }
      case 'backward':
        runner.backward(instruction.microBatch, null);
        return;
      case 'backwardInput':
        runner.backwardInput(instruction.microBatch, null);
        return;
      case 'backwardWeight':
        runner.backwardWeight(instruction.microBatch);
        return;
      case 'reduceGradients':
        this.#gradientNorm();
        return;
      case 'optimizerStep':
        this.#optimizerStep(instruction);
        return;
      case 'updateBias':
        this.#updateBiases(instruction.speed);
        this.#endStep();
        return;
      case 'dropGradients':
        this.#endStep();
        return;
      case 'evaluate':
        runner.load(0, instruction.batch);
        runner.forward(0, {
          settings: {
            isTraining: false,
            numMtpDepths: 0,
            normalizers: { main: 1, mtp: [] },
            numMicroBatches: 1,
          },
          options: { ...this.#options.lossForm, mtpWeight: 0, balanceCoefficient: 0 },
          hidden: null,
        });
        runner.endStep();
        return;
      case 'forwardBackward':
      case 'send':
      case 'recv':
      case 'saveShard':
      case 'loadShard':
      case 'snapshot':
      case 'restore':
        throw new MoebiusError('simulate.instruction', `"${instruction.kind}" has no price yet`, {
          values: { instruction: instruction.kind },
          hint: 'Simulate programs of one rank without files: passes, optimiser, evaluation.',
        });
      default:
        instruction satisfies never;
    }
  }

  #gradientNorm(): void {
    const { kernels } = this.#meta;
    const arena = kernels.createArena('norm');
    const tensors = trainedTensors(this.#parameters);
    const squares = arena.allocate('f32', [tensors.length]);
    for (const [index, { gradient }] of tensors.entries()) {
      kernels.sumOfSquares({ out: elements(squares, index, index + 1), x: gradient });
    }
  }

  #optimizerStep(step: Extract<TrainingInstruction, { kind: 'optimizerStep' }>): void {
    const { kernels } = this.#meta;
    const { maxGradientNorm, averageDecay, kind, ...settings } = step;
    assert(maxGradientNorm > 0, `${kind} clips to a positive norm`);
    const parameters = trainedTensors(this.#parameters);
    adamwStep({
      kernels,
      parameters,
      state: this.#optimizer,
      settings: { ...settings, gradientScale: 1 },
    });
    if (averageDecay === null) return;
    // The average has the weights' shapes; which memory it lies in has no price.
    const tensors = parameters.map(({ value, gradient }) => ({ average: gradient, value }));
    updateAverage({ kernels, tensors, decay: averageDecay });
  }

  #updateBiases(speed: number): void {
    const { all, layers } = this.#counts;
    if (all === null || speed === 0) return;
    for (const [index, layer] of layers.entries()) {
      const name = `model.layers.${layer}.mlp.gate.e_score_correction_bias`;
      this.#meta.kernels.updateRouterBias({
        bias_E: f32Values(parameterNamed(this.#parameters, name)),
        counts_E: entry(all, index),
        speed,
      });
    }
  }

  #endStep(): void {
    zeroGradients(this.#meta.kernels, this.#parameters);
    zeroCounts(this.#meta.kernels, this.#counts);
    this.#runner.endStep();
  }
}

function traced(record: OperationRecord): TracedOperation {
  const { operation, args, kind, flops, recomputedFlops, bytesRead, bytesWritten } = record;
  const work = {
    kind,
    flops: flops + recomputedFlops,
    recomputedFlops,
    bytes: bytesRead + bytesWritten,
  };
  if (args === undefined || isCollective(operation)) {
    return { key: operation, family: operation, call: null, ...work };
  }
  const call: OperationCall = { operation, args };
  return { ...callShape(call), call, ...work };
}

function isCollective(
  operation: OperationRecord['operation'],
): operation is 'dispatch' | 'combine' | 'allReduce' {
  return operation === 'dispatch' || operation === 'combine' || operation === 'allReduce';
}
