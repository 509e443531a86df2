/**
 * `moebius bench`: speed as a share of what this machine can do, measured in the same run.
 *
 * - `train`: steps of a model on made-up tokens, beside the same step's prediction
 * - `kernels`: where a step's time goes, operation by operation, each against the roofline
 * - `decode`, `prefill`: the serving path on made-up weights, or a checkpoint's
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { benchServing, type ServingBenchOptions } from '../bench/servingBench.ts';
import { benchKernels, benchTrain, type TrainBenchOptions } from '../bench/trainBench.ts';

const WORKLOADS = ['train', 'kernels', 'decode', 'prefill'];

/** @throws bench.unknown */
export async function bench(
  what: string,
  options: TrainBenchOptions & ServingBenchOptions,
): Promise<void> {
  if (what === 'train') await benchTrain(options);
  else if (what === 'kernels') await benchKernels(options);
  else if (what === 'decode' || what === 'prefill') await benchServing(what, options);
  else {
    throw new MoebiusError('bench.unknown', `there is no benchmark "${what}"`, {
      values: { what },
      hint: `Take ${nearestName(what, WORKLOADS) ?? WORKLOADS.join(', ')}.`,
    });
  }
}
