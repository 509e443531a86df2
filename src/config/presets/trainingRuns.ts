/**
 * The pre-training run that each model is known for: what `plan train` takes where nothing is
 * said. A batch is that of the run's longest phase, in sequences.
 */
import type { Precision } from '../parallelPlan.ts';

export interface TrainingRun {
  readonly globalBatch: number;
  readonly sequenceLength: number;
  /** Of the whole run; null when its maker does not say. */
  readonly totalTokens: number | null;
  readonly precision: Precision;
  /** Report or model card, and what it leaves open. */
  readonly source: string;
}

const V3: TrainingRun = {
  globalBatch: 15360,
  sequenceLength: 4096,
  totalTokens: 14.8e12,
  precision: 'fp8',
  source: 'DeepSeek-V3 report, 4.2',
};

const LLAMA_31: TrainingRun = {
  globalBatch: 2048,
  sequenceLength: 8192,
  totalTokens: 15.6e12,
  precision: 'bf16',
  source: 'Llama 3 report, 3.4.1: 16 M tokens a batch; 15.6 T tokens are those of the 405B model',
};

/** Where no report tells a batch: 4 M tokens, as most runs of the last years have or exceed. */
const UNKNOWN: TrainingRun = {
  globalBatch: 1024,
  sequenceLength: 4096,
  totalTokens: null,
  precision: 'bf16',
  source: 'assumed: 4 M tokens a batch',
};

const runs: ReadonlyMap<string, TrainingRun> = new Map([
  ['deepseek-v3', V3],
  ['deepseek-r1', V3],
  ['deepseek-v3.1', V3],
  [
    'deepseek-v2',
    {
      globalBatch: 9216,
      sequenceLength: 4096,
      totalTokens: 8.1e12,
      precision: 'bf16',
      source: 'DeepSeek-V2 report, 3.1.2',
    },
  ],
  [
    'deepseek-v2-lite',
    {
      globalBatch: 4608,
      sequenceLength: 4096,
      totalTokens: 5.7e12,
      precision: 'bf16',
      source: 'DeepSeek-V2 report, appendix B',
    },
  ],
  [
    'moonlight-16b-a3b',
    {
      globalBatch: 4096,
      sequenceLength: 8192,
      totalTokens: 5.7e12,
      precision: 'bf16',
      source: 'Moonlight report, table 8: the batch from 200 B tokens on',
    },
  ],
  [
    'kimi-k2',
    {
      globalBatch: 16384,
      sequenceLength: 4096,
      totalTokens: 15.5e12,
      precision: 'bf16',
      source: 'Kimi K2 report, 2.5: 67 M tokens a batch',
    },
  ],
  ['llama-3.1-405b', LLAMA_31],
  ['llama-3.1-70b', LLAMA_31],
  ['llama-3.1-8b', LLAMA_31],
  ['qwen2.5-72b', { ...UNKNOWN, totalTokens: 18e12, source: 'Qwen2.5 report; batch assumed' }],
]);

/** @param name a model preset's; any other model gets the assumed run */
export function trainingRunOf(name: string): TrainingRun {
  return runs.get(name) ?? UNKNOWN;
}
