/**
 * A training executor one can follow by hand: a "model" of two parameters, fitted by AdamW to the
 * tokens it is shown. Everything the instructions ask for is really done (gradients, moments,
 * router biases, snapshots, checkpoints on a disk in memory): a trainer cannot tell it from others.
 *
 *     main loss  mean over targets of (w₀ − target/256)²       balance and MTP alike with w₁
 */
import type { Clock } from '../../src/base/clock.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { RunResult, TrainingExecutor } from '../../src/executor/executor.ts';
import type {
  Fault,
  ForwardPass,
  Program,
  TrainingInstruction,
  TrainingOutcome,
} from '../../src/program/instruction.ts';
import type { MicroBatch } from '../../src/program/microBatch.ts';
import type { Span } from '../../src/program/span.ts';
import type { CheckpointStore } from '../../src/training/checkpoints.ts';
import type { BestCheckpoint } from '../../src/training/events.ts';

const NUM_EXPERTS = 4;
const LAYER = 1;

interface Weights {
  readonly w: readonly [number, number];
  readonly first: readonly [number, number];
  readonly second: readonly [number, number];
  readonly bias: readonly number[];
  readonly average: readonly [number, number] | null;
}

interface Checkpoint {
  readonly weights: Weights;
  readonly trainerState: string;
  readonly files: Readonly<Record<string, string>>;
}

/** Outlives executors, as a disk outlives processes. */
export class MemoryDisk implements CheckpointStore {
  readonly checkpoints: Map<string, Checkpoint> = new Map();
  best: BestCheckpoint | null = null;

  async list(): Promise<readonly string[]> {
    return [...this.checkpoints.keys()];
  }

  async remove(name: string): Promise<void> {
    this.checkpoints.delete(name);
  }

  async markBest(best: BestCheckpoint): Promise<void> {
    if (!this.checkpoints.has(best.name)) throw new Error(`${best.name} is not on the disk`);
    this.best = best;
  }
}

export interface QuadraticOptions {
  readonly disk: MemoryDisk;
  /** What a batch that holds this token does, on top of being a batch. */
  readonly poison?: { readonly id: number; readonly does: 'nan' | 'infinity' | 'spike' | 'break' };
  /** The process "dies" before this many instructions are done. */
  readonly diesAfter?: number;
}

export class QuadraticExecutor implements TrainingExecutor {
  readonly clock: Clock;
  /** Kinds of all instructions, in the order in which they ran. */
  readonly log: string[] = [];
  /** Learning rates of the optimiser's steps. */
  readonly learningRates: number[] = [];
  readonly #options: QuadraticOptions;
  readonly #clock = new ManualClock();
  #weights: Weights = {
    w: [1, -1],
    first: [0, 0],
    second: [0, 0],
    bias: new Array<number>(NUM_EXPERTS).fill(0),
    average: null,
  };
  #snapshot: Weights | null = null;
  #batches = new Map<number, MicroBatch>();
  #gradient: [number, number] = [0, 0];
  #losses = { main: 0, mtp: 0, balance: 0, mtpWeight: 0, coefficient: 0 };
  #counts = new Array<number>(NUM_EXPERTS).fill(0);
  #fault: Fault | null = null;
  #isSpiking = false;

  constructor(options: QuadraticOptions) {
    this.#options = options;
    this.clock = this.#clock;
  }

  get weights(): Weights {
    return this.#weights;
  }

  async run(
    programs: readonly Program<TrainingInstruction>[],
  ): Promise<RunResult<TrainingOutcome>> {
    const spans: Span[] = [];
    const outcomes: TrainingOutcome[] = [];
    for (const { rank, instructions } of programs) {
      for (const [index, instruction] of instructions.entries()) {
        if (this.log.length === this.#options.diesAfter) throw new Error('killed');
        const start = this.#clock.now();
        outcomes.push(...this.#execute(instruction));
        this.#clock.advance(0.125);
        const end = this.#clock.now();
        spans.push({ rank, name: instruction.kind, instruction: index, start, end });
        this.log.push(instruction.kind);
      }
    }
    return { spans, outcomes };
  }

  #execute(instruction: TrainingInstruction): readonly TrainingOutcome[] {
    switch (instruction.kind) {
      case 'loadMicroBatch':
        this.#batches.set(instruction.microBatch, instruction.batch);
        return [];
      case 'forward':
        this.#forward(instruction);
        return [];
      case 'backward':
        this.#batches.delete(instruction.microBatch);
        return [];
      case 'reduceGradients':
        return this.#reduce();
      case 'optimizerStep':
        this.#update(instruction);
        return [];
      case 'updateBias':
        return [this.#updateBias(instruction.speed)];
      case 'dropGradients':
        this.#clear();
        return [];
      case 'evaluate':
        return [this.#evaluate(instruction.batch, instruction.weights)];
      case 'saveShard': {
        const { name, trainerState, files } = instruction.checkpoint;
        if (this.#options.disk.checkpoints.has(name)) throw new Error(`${name} is there already`);
        this.#options.disk.checkpoints.set(name, { weights: this.#weights, trainerState, files });
        return [{ kind: 'saved', directory: name, bytes: trainerState.length }];
      }
      case 'loadShard': {
        const checkpoint = this.#options.disk.checkpoints.get(instruction.directory);
        if (checkpoint === undefined) throw new Error(`no ${instruction.directory}`);
        this.#weights = checkpoint.weights;
        return [{ kind: 'loaded', trainerState: checkpoint.trainerState }];
      }
      case 'snapshot':
        this.#snapshot = this.#weights;
        return [];
      case 'restore':
        if (this.#snapshot === null) throw new Error('no snapshot');
        this.#weights = this.#snapshot;
        this.#clear();
        return [];
      default:
        throw new Error(`${instruction.kind} is not for one rank`);
    }
  }

  #forward(pass: ForwardPass): void {
    const batch = this.#batches.get(pass.microBatch);
    if (batch === undefined) throw new Error(`micro-batch ${pass.microBatch} was not loaded`);
    const [w0, w1] = this.#weights.w;
    const { normalizers, mtpWeight, balanceCoefficient, numMicroBatches } = pass;
    for (const target of batch.targets) {
      if (target < 0) continue;
      const error = w0 - target / 256;
      this.#losses.main += error ** 2 / normalizers.main;
      this.#gradient[0] += (2 * error) / normalizers.main;
      const expert = target % NUM_EXPERTS;
      this.#counts[expert] = (this.#counts[expert] ?? 0) + 1;
    }
    for (const [depth, targets] of batch.mtpTargets.entries()) {
      const count = (normalizers.mtp[depth] ?? 0) * batch.mtpTargets.length;
      for (const target of targets) {
        if (target < 0) continue;
        const error = w1 - target / 256;
        this.#losses.mtp += error ** 2 / count;
        this.#gradient[1] += (mtpWeight * 2 * error) / count;
      }
    }
    this.#losses.balance += w1 ** 2 / numMicroBatches;
    this.#gradient[1] += (balanceCoefficient * 2 * w1) / numMicroBatches;
    this.#losses.mtpWeight = mtpWeight;
    this.#losses.coefficient = balanceCoefficient;
    const { poison } = this.#options;
    if (poison !== undefined && batch.ids.includes(poison.id)) this.#swallow(poison.does);
  }

  #swallow(does: NonNullable<QuadraticOptions['poison']>['does']): void {
    if (does === 'spike') this.#isSpiking = true;
    else if (does === 'break') this.#fault = faultIn('parameter', 'nan');
    else this.#fault = faultIn('gradient', does);
  }

  #reduce(): readonly TrainingOutcome[] {
    const { main, mtp, balance, mtpWeight, coefficient } = this.#losses;
    const total = main + mtpWeight * mtp + coefficient * balance + (this.#isSpiking ? 1000 : 0);
    const norm = this.#fault === null ? Math.hypot(...this.#gradient) : Number.NaN;
    return [
      { kind: 'losses', total, main, mtp, mtpPerDepth: [mtp], balance },
      { kind: 'gradients', norm, fault: this.#fault },
    ];
  }

  #update(step: Extract<TrainingInstruction, { kind: 'optimizerStep' }>): void {
    const { learningRate, weightDecay, beta1, beta2, epsilon, maxGradientNorm } = step;
    this.learningRates.push(learningRate);
    const scale = Math.min(1, maxGradientNorm / (Math.hypot(...this.#gradient) + 1e-6));
    const { w, first, second, average } = this.#weights;
    const next = [0, 1].map((i) => {
      const gradient = (this.#gradient[i] ?? 0) * scale;
      const m = beta1 * (first[i] ?? 0) + (1 - beta1) * gradient;
      const v = beta2 * (second[i] ?? 0) + (1 - beta2) * gradient ** 2;
      const mean = m / (1 - beta1 ** step.step);
      const variance = v / (1 - beta2 ** step.step);
      const move = mean / (Math.sqrt(variance) + epsilon) + weightDecay * (w[i] ?? 0);
      return { w: (w[i] ?? 0) - learningRate * move, m, v };
    });
    const pair = (of: (entry: { w: number; m: number; v: number }) => number): [number, number] =>
      next.map(of) as [number, number];
    const moved = pair((entry) => entry.w);
    const decay = step.averageDecay;
    this.#weights = {
      w: moved,
      first: pair((entry) => entry.m),
      second: pair((entry) => entry.v),
      bias: this.#weights.bias,
      average:
        decay === null
          ? null
          : (moved.map((value, i) => decay * (average?.[i] ?? value) + (1 - decay) * value) as [
              number,
              number,
            ]),
    };
    this.#gradient = [0, 0];
  }

  #updateBias(speed: number): TrainingOutcome {
    const tokensPerExpert = this.#counts;
    const mean = tokensPerExpert.reduce((sum, count) => sum + count, 0) / NUM_EXPERTS;
    const bias = this.#weights.bias.map(
      (value, expert) => value + speed * Math.sign(mean - (tokensPerExpert[expert] ?? 0)),
    );
    this.#weights = { ...this.#weights, bias };
    this.#clear();
    return { kind: 'routing', layers: [{ layer: LAYER, tokensPerExpert, bias }] };
  }

  #evaluate(batch: MicroBatch, which: 'current' | 'average'): TrainingOutcome {
    const [w0] = (which === 'average' ? this.#weights.average : null) ?? this.#weights.w;
    let [negativeLogLikelihood, numTargets] = [0, 0];
    for (const target of batch.targets) {
      if (target < 0) continue;
      negativeLogLikelihood += (w0 - target / 256) ** 2;
      numTargets++;
    }
    return { kind: 'evaluation', negativeLogLikelihood, numTargets };
  }

  #clear(): void {
    this.#batches.clear();
    this.#gradient = [0, 0];
    this.#losses = { main: 0, mtp: 0, balance: 0, mtpWeight: 0, coefficient: 0 };
    this.#counts = new Array<number>(NUM_EXPERTS).fill(0);
    this.#fault = null;
    this.#isSpiking = false;
  }
}

function faultIn(where: Fault['where'], what: Fault['what']): Fault {
  return { what, where, layer: LAYER, tensor: `model.layers.${LAYER}.mlp.gate.weight` };
}
