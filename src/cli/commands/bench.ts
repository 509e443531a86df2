/**
 * `moebius bench`: speed as a share of what this machine can do, measured in the same run.
 *
 * - `train`: steps of a model on made-up tokens, beside the same step's prediction
 * - `kernels`: where a step's time goes, operation by operation, each against the roofline
 * - `decode`, `prefill`: the serving path on made-up weights, or a checkpoint's; with
 *   `--speculate` plain and speculative decoding in turns, against the bound by their bytes
 * - `serve`: a server under load, over HTTP, as its users would see it
 * - `compare`: one of them and another program in turns; `serve` and the bare kernels
 * - `limits`: the machine's limits alone
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { optionName } from '../bench/benchOptions.ts';
import { benchCompare, type CompareOptions } from '../bench/compareBench.ts';
import { recordResult } from '../bench/ledger.ts';
import { describeLimits, measureLimits } from '../bench/machineLimits.ts';
import type { Figures } from '../bench/runCommand.ts';
import { compareServe } from '../bench/serve/compareServe.ts';
import { benchServe } from '../bench/serve/serveBench.ts';
import type { ServeBenchOptions } from '../bench/serve/serveOptions.ts';
import { benchServing, type ServingBenchOptions } from '../bench/servingBench.ts';
import { benchSpeculation, type SpeculationBenchOptions } from '../bench/speculationBench.ts';
import { benchKernels, benchTrain } from '../bench/trainBench.ts';
import { note, printResult } from '../output.ts';
import { openMachine } from '../wiring.ts';

export interface BenchCommandOptions
  extends CompareOptions,
    ServeBenchOptions,
    Omit<Partial<SpeculationBenchOptions>, keyof ServingBenchOptions> {
  /** The ledger that the figures are written to. */
  readonly record?: string | true;
}

const WORKLOADS = ['train', 'kernels', 'decode', 'prefill', 'serve', 'compare', 'limits'];

/** Every benchmark reads these; `tiny` only makes defaults small. */
const ALWAYS = ['tiny', 'kernels', 'record', 'json'] as const;
const STEPS = ['config', 'batch', 'sequenceLength'] as const;
const SERVING = ['config', 'batch', 'dtype'] as const;
const SPECULATION = ['speculate', 'numPrompts', 'temperature', 'acceptance'] as const;
const LOAD = [
  ...(['concurrency', 'requestRate', 'burstiness', 'ramp', 'maxConcurrency'] as const),
  ...([
    'numPrompts',
    'seconds',
    'warmup',
    'prompt',
    'sharedPrefix',
    'vocabSize',
    'prompts',
  ] as const),
  ...(['endpoint', 'maxTokens', 'temperature', 'ignoreEos', 'goodput', 'seed'] as const),
] as const;
const PEER = ['peers', 'rounds', 'via'] as const;

/** What each benchmark reads beside `ALWAYS`. What it does not read is refused, not ignored. */
const OPTIONS: Readonly<Record<string, readonly (keyof BenchCommandOptions)[]>> = {
  train: [...STEPS, 'steps', 'operations', 'shapes'],
  kernels: STEPS,
  decode: [...SERVING, 'context', 'tokens', 'model', 'shapes', ...SPECULATION],
  prefill: [...SERVING, 'prompt', 'steps', 'model', 'shapes'],
  serve: [
    'url',
    'apiKey',
    'name',
    'model',
    'config',
    'dtype',
    'serve',
    'asDecode',
    'tokens',
    ...LOAD,
  ],
  limits: [],
  'compare train': [...STEPS, 'steps', ...PEER],
  'compare decode': [...SERVING, 'context', 'tokens', 'gguf', ...PEER],
  'compare serve': [...SERVING, 'model', 'tokens', 'serve', 'withoutDrafts', 'rounds', 'via'],
  'compare prefill': [...SERVING, 'prompt', 'steps', 'gguf', ...PEER],
};

/** @throws bench.unknown, bench.option, and what the benchmarks throw */
export async function bench(
  what: string,
  compared: string | undefined,
  options: BenchCommandOptions,
): Promise<void> {
  checkOptions(what, compared, options);
  const figures = await run(what, compared, options);
  if (options.record === undefined) return;
  const path = recordResult({ what, compared, options: { ...options }, figures });
  note(`recorded in ${path}`);
}

/**
 * Options have no defaults on the command line: what is there was given. Names of benchmarks that
 * nobody knows are refused later, by those who know the names.
 *
 * @throws bench.option
 */
function checkOptions(
  what: string,
  compared: string | undefined,
  options: BenchCommandOptions,
): void {
  const name = what === 'compare' ? `compare ${compared}` : what;
  const read = OPTIONS[name];
  if (read === undefined) return;
  if (name === what && compared !== undefined) {
    throw new MoebiusError('bench.option', `bench ${what} takes no second name`, {
      values: { given: compared },
      hint: `Leave out ${compared}, or run: moebius bench compare ${what}.`,
    });
  }
  const known: readonly string[] = [...ALWAYS, ...read];
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || known.includes(key)) continue;
    const readers = Object.keys(OPTIONS).filter((each) =>
      OPTIONS[each]?.some((option) => option === key),
    );
    const option = optionName(key);
    throw new MoebiusError('bench.option', `bench ${name} does not read ${option}`, {
      values: { [option]: value, readBy: readers.map((each) => `bench ${each}`).join(', ') },
      hint: `Leave out ${option}.`,
    });
  }
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
      if (what === 'decode' && options.speculate !== undefined) {
        return { ...(await benchSpeculation({ ...options, speculate: options.speculate })) };
      }
      refuseAlone(options);
      return { ...(await benchServing(what, options)) };
    case 'serve':
      return { ...(await benchServe(options)) };
    case 'compare':
      return compared === 'serve'
        ? { ...(await compareServe(options)) }
        : { ...(await benchCompare(compared, options)) };
    case 'limits':
      return benchLimits(options);
    default:
      throw new MoebiusError('bench.unknown', `there is no benchmark "${what}"`, {
        values: { what },
        hint: `Take ${nearestName(what, WORKLOADS) ?? WORKLOADS.join(', ')}.`,
      });
  }
}

/** What only `decode --speculate` reads. @throws bench.option */
function refuseAlone(options: BenchCommandOptions): void {
  for (const key of SPECULATION) {
    if (options[key] === undefined) continue;
    const option = optionName(key);
    throw new MoebiusError('bench.option', `bench decode does not read ${option} alone`, {
      values: { [option]: options[key] },
      hint: `Leave out ${option}, or add --speculate 1.`,
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
