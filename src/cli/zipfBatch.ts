/**
 * Made-up tokens for measuring without text, as uneven as words are: frequencies fall as 1 / rank,
 * so that experts are loaded unevenly too.
 */
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { MicroBatch } from '../program/microBatch.ts';

export function zipfBatch(
  { vocabSize, numNextnPredictLayers }: ModelConfig,
  { numSequences, length }: { numSequences: number; length: number },
): MicroBatch {
  const random = new Random(0, 'bench');
  const logSize = Math.log(vocabSize);
  const token = (): number =>
    Math.min(vocabSize - 1, Math.floor(Math.exp(random.uniform() * logSize)) - 1);
  const width = length + 1 + numNextnPredictLayers;
  const stream = Int32Array.from({ length: numSequences * width }, () => Math.max(0, token()));
  const shifted = (by: number, kept: number): Int32Array =>
    Int32Array.from({ length: numSequences * kept }, (_, i) => {
      const row = Math.floor(i / kept);
      return stream[row * width + (i % kept) + by] ?? 0;
    });
  return {
    numSequences,
    length,
    ids: shifted(0, length),
    targets: shifted(1, length),
    mtpTargets: Array.from({ length: numNextnPredictLayers }, (_, depth) =>
      shifted(depth + 2, length - depth - 1),
    ),
  };
}
