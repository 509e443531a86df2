/**
 * Everything one training run needs, as plain data: what `config print` shows, what is saved beside
 * the checkpoint, and what `--set a.b=c` reaches. `parseTrainConfig` checks it.
 *
 * Schedules are written as *shares* of the run's tokens, so that one shape fits runs of any length;
 * DeepSeek-V3's own shares (report, 4.2) are the defaults, here in code, because released configs
 * leave out what inference does not need, the balance coefficient first of all.
 */
import type { ModelConfig } from './modelConfig.ts';

export interface TrainConfig {
  /** Names the run and, unless `directory` says otherwise, its folder. */
  readonly name: string;
  /** Where checkpoints and metrics go; null: `runs/NAME`. */
  readonly directory: string | null;
  readonly seed: number;
  readonly steps: number;
  readonly model: ModelConfig;
  readonly tokenizer: TokenizerConfig;
  readonly data: DataConfig;
  readonly batch: BatchConfig;
  readonly optimizer: OptimizerConfig;
  readonly learningRate: LearningRateConfig;
  readonly mtp: MtpConfig;
  readonly balance: BalanceConfig;
  readonly average: AverageConfig;
  readonly evaluation: EvaluationConfig;
  readonly sample: SampleConfig;
  readonly checkpoint: CheckpointConfig;
  readonly guard: GuardConfig;
  readonly metrics: MetricsConfig;
  readonly machine: MachineConfig;
}

export interface TokenizerConfig {
  /** A `tokenizer.json`; null: a byte-level BPE of `model.vocabSize` is trained on the data. */
  readonly path: string | null;
  /** Bytes of training text the BPE is trained on; null: all. */
  readonly trainingBytes: number | null;
}

export interface DataConfig {
  readonly sources: readonly DataSourceConfig[];
  readonly validation: ValidationConfig;
  /** Share of documents rearranged for fill-in-the-middle, prefix–suffix–middle (report, 4.1). */
  readonly fimRate: number;
}

export interface DataSourceConfig {
  /** A file, a folder, or `corpus:NAME` for an embedded corpus. */
  readonly path: string;
  /** Share of sequences drawn from it, relative to the others; null everywhere: by size. */
  readonly weight: number | null;
}

export interface ValidationConfig {
  /** Documents of their own; null: held out of each source. */
  readonly path: string | null;
  /** Held-out bytes, as a share of each source's. */
  readonly share: number;
  /** Held-out bytes at most, over all sources. */
  readonly maxBytes: number;
}

export interface BatchConfig {
  /** Sequences per step. */
  readonly sequences: number;
  /** Sequences per forward pass; gradients add up over the step. */
  readonly microBatch: number;
  /** Tokens per sequence. */
  readonly length: number;
  /** Sequences of the first step; null: no ramp. */
  readonly rampFrom: number | null;
  /** Tokens over which the batch grows to `sequences`. */
  readonly rampTokens: number;
}

export interface OptimizerConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly maxGradientNorm: number;
}

export interface LearningRateConfig {
  readonly peak: number;
  readonly warmupSteps: number;
  /** Shares of the run's tokens; what they leave over runs at the last rate. */
  readonly constantShare: number;
  readonly cosineShare: number;
  /** Rate at the cosine's end, relative to the peak. */
  readonly endRatio: number;
  readonly tails: readonly { readonly share: number; readonly ratio: number }[];
}

export interface MtpConfig {
  readonly weight: number;
  readonly finalWeight: number;
  readonly switchShare: number;
}

export interface BalanceConfig {
  /** α of the sequence-wise balance loss (report, eq. 17). */
  readonly coefficient: number;
  readonly form: 'paper' | 'selected';
  /** γ, per step. */
  readonly biasSpeed: number;
  /** Share of tokens after which biases stand still. */
  readonly freezeShare: number;
}

export interface AverageConfig {
  /** Decay per step of the weights' moving average; null keeps none. */
  readonly decay: number | null;
}

export interface EvaluationConfig {
  /** Steps between evaluations; null: only at the end. */
  readonly every: number | null;
  readonly weights: 'current' | 'average';
}

export interface SampleConfig {
  /** Steps between samples; null: only at the end. */
  readonly every: number | null;
  readonly prompts: readonly string[];
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
}

export interface CheckpointConfig {
  /** Steps between checkpoints, besides those before evaluations; null: only those. */
  readonly every: number | null;
  /** The newest that stay; the best one stays too. */
  readonly keepLast: number;
}

export interface GuardConfig {
  readonly onFault: 'stop' | 'skip' | 'rollback';
  readonly onSpike: 'stop' | 'skip' | 'rollback' | 'ignore';
  readonly window: number;
  readonly spikeDeviations: number;
  readonly spikeNormFactor: number;
  readonly maxInterventions: number;
  /** Steps between snapshots in memory, besides one at each checkpoint; needed for rollback. */
  readonly snapshotEvery: number | null;
}

export interface MetricsConfig {
  /** `brief`: scalars of the run; `detailed`: per layer too. */
  readonly tier: 'brief' | 'detailed';
  /** Scalars per step at most; what is over is counted, not hidden. */
  readonly maxKeys: number;
  readonly tensorBoard: boolean;
}

export interface MachineConfig {
  readonly kernels: 'native' | 'wasm' | 'reference';
  /** null: every core. */
  readonly threads: number | null;
}

/** What a config may leave out. */
export type TrainDefaults = Omit<TrainConfig, 'name' | 'steps' | 'model'>;

const V3_TOKENS = 14.8e12;

export const TRAIN_DEFAULTS: TrainDefaults = {
  directory: null,
  seed: 1,
  tokenizer: { path: null, trainingBytes: null },
  data: {
    sources: [{ path: 'corpus:english', weight: null }],
    validation: { path: null, share: 0.02, maxBytes: 2 ** 20 },
    fimRate: 0,
  },
  batch: { sequences: 16, microBatch: 4, length: 256, rampFrom: null, rampTokens: 0 },
  // Report, 4.2.
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, maxGradientNorm: 1 },
  learningRate: {
    peak: 2.2e-4,
    warmupSteps: 2000,
    constantShare: 10e12 / V3_TOKENS,
    cosineShare: 4.3e12 / V3_TOKENS,
    endRatio: 0.1,
    tails: [
      { share: 333e9 / V3_TOKENS, ratio: 0.1 },
      { share: 167e9 / V3_TOKENS, ratio: 7.3e-6 / 2.2e-4 },
    ],
  },
  mtp: { weight: 0.3, finalWeight: 0.1, switchShare: 10e12 / V3_TOKENS },
  balance: {
    coefficient: 1e-4,
    form: 'paper',
    biasSpeed: 0.001,
    freezeShare: 14.3e12 / V3_TOKENS,
  },
  average: { decay: null },
  evaluation: { every: null, weights: 'current' },
  sample: { every: null, prompts: [], tokens: 64, temperature: 0.8, topK: 0, topP: 0.95 },
  checkpoint: { every: null, keepLast: 2 },
  guard: {
    onFault: 'stop',
    onSpike: 'stop',
    window: 64,
    spikeDeviations: 10,
    spikeNormFactor: 100,
    maxInterventions: 10,
    snapshotEvery: null,
  },
  metrics: { tier: 'detailed', maxKeys: 256, tensorBoard: true },
  machine: { kernels: 'native', threads: null },
};

/** FIM's rate in DeepSeek-V3's pre-training (report, 4.1), for runs that switch it on. */
export const V3_FIM_RATE = 0.1;
