/**
 * `moebius bench`: speed as a share of what this machine can do, measured in the same run.
 *
 * - `train`: steps of a model on made-up tokens, beside the same step's prediction
 * - `kernels`: where a step's time goes, operation by operation, each against the roofline
 * - `decode`, `prefill`: the serving path on made-up weights, or a checkpoint's
 * - `compare`: one of them and another program in turns
 * - `limits`: the machine's limits alone
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { benchCompare, type CompareOptions } from '../bench/compareBench.ts';
import { recordResult } from '../bench/ledger.ts';
import { describeLimits, measureLimits } from '../bench/machineLimits.ts';
import type { Figures } from '../bench/runCommand.ts';
import { benchServing } from '../bench/servingBench.ts';
import { benchKernels, benchTrain } from '../bench/trainBench.ts';
import { note, printResult } from '../output.ts';
import { openMachine } from '../wiring.ts';

export interface BenchCommandOptions extends CompareOptions {
  /** The ledger that the figures are written to. */
  readonly record?: string | true;
}

const WORKLOADS = ['train', 'kernels', 'decode', 'prefill', 'compare', 'limits'];

/** @throws bench.unknown, and what the benchmarks throw */
export async function bench(
  what: string,
  compared: string | undefined,
  options: BenchCommandOptions,
): Promise<void> {
  const figures = await run(what, compared, options);
  if (options.record === undefined) return;
  const path = recordResult({ what, compared, options: { ...options }, figures });
  note(`recorded in ${path}`);
}

async function run(
  what: string,
  compared: string | undefined,
  options: BenchCommandOptions,
): Promise<Figures> {
  switch (what) {
    case 'train':
      return { ...(await benchTrain(options)) };
    case 'kernels':
      return benchKernels(options);
    case 'decode':
    case 'prefill':
      return { ...(await benchServing(what, options)) };
    case 'compare':
      return { ...(await benchCompare(compared, options)) };
    case 'limits':
      return benchLimits(options);
    default:
      throw new MoebiusError('bench.unknown', `there is no benchmark "${what}"`, {
        values: { what },
        hint: `Take ${nearestName(what, WORKLOADS) ?? WORKLOADS.join(', ')}.`,
      });
  }
}

function benchLimits(options: BenchCommandOptions): Figures {
  const machine = openMachine({ kernels: options.kernels, note });
  const roofline = measureLimits(machine, options.tiny === true ? 0.03 : 0.5);
  const figures = { machine: machine.description, roofline };
  const table = `${machine.description}: ${describeLimits(roofline)}`;
  printResult(options, { table, json: figures });
  return figures;
}
