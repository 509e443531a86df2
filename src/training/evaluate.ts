/** The loss of a held-out set under present weights: during training, and for `moebius eval`. */
import { assert } from '../base/assert.ts';
import type { TrainingExecutor } from '../executor/executor.ts';
import { onRankZero } from '../policy/pipeline/singleRank.ts';
import { bitsPerByte, type ValidationSet } from './data/validation.ts';
import { allOf } from './outcomes.ts';

export interface EvaluationResult {
  /** In nats. */
  readonly lossPerToken: number;
  readonly bitsPerByte: number;
  readonly numTargets: number;
  readonly numBytes: number;
}

export async function evaluate(
  executor: TrainingExecutor,
  { batches, numBytes }: ValidationSet,
  weights: 'current' | 'average',
): Promise<EvaluationResult> {
  const program = batches.map((batch) => ({ kind: 'evaluate' as const, batch, weights }));
  const { outcomes } = await executor.run(onRankZero(program));
  const answers = allOf(outcomes, 'evaluation');
  assert(answers.length === batches.length, `${answers.length} answers to ${batches.length}`);
  const nats = answers.reduce((sum, answer) => sum + answer.negativeLogLikelihood, 0);
  const numTargets = answers.reduce((sum, answer) => sum + answer.numTargets, 0);
  assert(numTargets > 0, 'an evaluation without targets');
  return {
    lossPerToken: nats / numTargets,
    bitsPerByte: bitsPerByte(nats, numBytes),
    numTargets,
    numBytes,
  };
}
