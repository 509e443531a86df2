/**
 * `moebius bench compare`: ours and another program in turns, A B A B, each in a fresh process,
 * because machines are shared and clocks drift: pairs that ran side by side can be compared, and
 * the median of their ratios is the answer. Every process has the limits measured around it.
 */
import { join } from 'node:path';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { median } from '../../base/median.ts';
import { formatPercent } from '../../base/units.ts';
import { packageRoot } from '../../runtime/packageRoot.ts';
import { readModelTarget } from '../modelTarget.ts';
import { type Cell, formatTable, note, printResult } from '../output.ts';
import { checkLength } from './benchOptions.ts';
import { describeLimits, type Limits, largerLimits } from './machineLimits.ts';
import { llamaPeer, type Peer, torchPeer } from './peers.ts';
import { type Command, type Figures, figure, runCommand } from './runCommand.ts';
import type { ServingBenchOptions } from './servingBench.ts';
import { DEFAULT_LENGTH, type TrainBenchOptions } from './trainBench.ts';

export interface CompareOptions extends ServingBenchOptions, TrainBenchOptions {
  /** Folder with what the peers need, and where models for them are kept. */
  readonly peers?: string;
  readonly rounds?: number;
  readonly gguf?: string;
  /** Words put before every measured command, as `taskset -c 0,1`. */
  readonly via?: string;
}

/** One of the two in one round. */
export interface Turn {
  readonly tokensPerSecond: number;
  readonly roofline: Limits | null;
  readonly figures: Figures;
}

export interface Comparison {
  readonly ours: Spread;
  readonly peer: Spread;
  /** Ours over the peer's, pair by pair, and their median. */
  readonly ratios: readonly number[];
  readonly ratio: number;
  readonly rounds: readonly { readonly ours: Turn; readonly peer: Turn }[];
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface CompareFigures extends Comparison {
  readonly workload: string;
  readonly peerName: string;
  readonly dtype: string;
  readonly batch: number;
}

const WORKLOADS = ['train', 'decode', 'prefill'] as const;
type ComparedWorkload = (typeof WORKLOADS)[number];

/** @throws bench.unknown, bench.peers, bench.peerMissing, bench.peerFailed, bench.length */
export async function benchCompare(
  name: string | undefined,
  options: CompareOptions,
): Promise<CompareFigures> {
  const workload = WORKLOADS.find((each) => each === name);
  if (workload === undefined) {
    throw new MoebiusError('bench.unknown', `there is nothing to compare in "${name ?? ''}"`, {
      values: { workload: name },
      hint: `Take ${nearestName(name ?? '', WORKLOADS) ?? WORKLOADS.join(', ')}.`,
    });
  }
  const via = options.via?.split(' ').filter((word) => word !== '') ?? [];
  const { ours, peer, dtype, batch } = await contestants(workload, options);
  note(`ours: moebius ${ours.args.slice(1).join(' ')}`);
  note(`${peer.name}: ${[peer.command.file, ...peer.command.args].join(' ')}`);
  const limitsNow = async (): Promise<Limits | null> =>
    limitsIn(await runCommand(moebiusCommand(['limits', ...kernelsOf(options)]), via));
  const comparison = await compareInTurns({
    rounds: options.rounds ?? (options.tiny === true ? 1 : 5),
    ours: async () => {
      const figures = await runCommand(ours, via);
      return {
        tokensPerSecond: figure(figures, 'tokensPerSecond'),
        roofline: limitsIn(figures),
        figures: withoutLists(figures),
      };
    },
    peer: async () => {
      const before = await limitsNow();
      const figures = await runCommand(peer.command, via);
      return {
        tokensPerSecond: figure(figures, peer.key),
        roofline: largerLimits(before, await limitsNow()),
        figures,
      };
    },
    onRound: (round, turns) => note(describeRound(round, turns)),
  });
  const figures = { workload, peerName: peer.name, dtype, batch, ...comparison };
  printComparison(figures, options);
  return figures;
}

/** Ours, the peer, ours, the peer, … */
export async function compareInTurns(args: {
  rounds: number;
  ours: () => Promise<Turn>;
  peer: () => Promise<Turn>;
  onRound?: (round: number, turns: Comparison['rounds'][number]) => void;
}): Promise<Comparison> {
  const rounds: { ours: Turn; peer: Turn }[] = [];
  for (let round = 1; round <= args.rounds; round++) {
    const ours = await args.ours();
    const peer = await args.peer();
    rounds.push({ ours, peer });
    args.onRound?.(round, { ours, peer });
  }
  const ratios = rounds.map(({ ours, peer }) => ours.tokensPerSecond / peer.tokensPerSecond);
  return {
    ours: spread(rounds.map(({ ours }) => ours.tokensPerSecond)),
    peer: spread(rounds.map(({ peer }) => peer.tokensPerSecond)),
    ratios,
    ratio: median(ratios),
    rounds,
  };
}

async function contestants(
  workload: ComparedWorkload,
  options: CompareOptions,
): Promise<{ ours: Command; peer: Peer; dtype: string; batch: number }> {
  const { peers } = options;
  if (peers === undefined) {
    throw new MoebiusError('bench.peers', 'where the other programs are is not said', {
      hint: 'Give --peers DIR: an empty folder will do, and what is missing there is said.',
    });
  }
  const isTiny = options.tiny === true;
  const isTraining = workload === 'train';
  const name = options.config ?? (isTraining ? 'v3-mini' : 'v3-small');
  const { config: model } = await readModelTarget(name);
  const dtype = options.dtype ?? 'f32';
  const batch = options.batch ?? (isTraining && !isTiny ? 8 : 1);
  const common = ['--config', name, '--batch', `${batch}`, ...kernelsOf(options)];
  if (isTraining) {
    const length = options.sequenceLength ?? (isTiny ? 32 : DEFAULT_LENGTH);
    checkLength(model, length, '--sequence-length');
    const steps = options.steps ?? (isTiny ? 1 : 3);
    const sizes = ['--sequence-length', `${length}`, '--steps', `${steps}`];
    return {
      ours: moebiusCommand(['train', ...common, ...sizes]),
      peer: torchPeer({ model, peers, batch, length, steps }),
      dtype: 'f32',
      batch,
    };
  }
  if (options.context !== undefined && options.context !== PEER_CONTEXT) {
    throw new MoebiusError('bench.compareContext', 'the peer decodes after prompts of 64 tokens', {
      values: { context: options.context },
      hint: 'Leave out --context.',
    });
  }
  const tokens = options.tokens ?? (isTiny ? 4 : 64);
  const prompt = options.prompt ?? (isTiny ? 16 : 512);
  const peer = llamaPeer({
    ...{ workload, model, name, peers, dtype, gguf: options.gguf, batch, prompt, tokens },
  });
  const sizes =
    workload === 'decode'
      ? ['--context', `${PEER_CONTEXT}`, '--tokens', `${tokens}`]
      : ['--prompt', `${prompt}`, '--steps', `${options.steps ?? 3}`];
  const ours = moebiusCommand([workload, ...common, '--dtype', dtype, ...sizes]);
  return { ours, peer, dtype, batch };
}

/** What `llamacpp_bench.mjs` puts before each sequence that it decodes. */
const PEER_CONTEXT = 64;

export function moebiusCommand(args: readonly string[]): Command {
  const program = join(packageRoot() ?? '', 'bin', 'moebius.js');
  return { file: process.execPath, args: [program, 'bench', ...args, '--json'] };
}

export function kernelsOf({ kernels }: { readonly kernels?: string }): string[] {
  return kernels === undefined ? [] : ['--kernels', kernels];
}

export function limitsIn(figures: Figures): Limits | null {
  return (figures.roofline ?? null) as Limits | null;
}

/** Without what is long: single steps and operations. */
export function withoutLists(figures: Figures): Figures {
  return Object.fromEntries(Object.entries(figures).filter(([, value]) => !Array.isArray(value)));
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

function describeRound(round: number, { ours, peer }: Comparison['rounds'][number]): string {
  const ratio = (ours.tokensPerSecond / peer.tokensPerSecond).toFixed(2);
  return (
    `round ${round}: ours ${rate(ours.tokensPerSecond)} (${describeLimits(ours.roofline)}), ` +
    `peer ${rate(peer.tokensPerSecond)} (${describeLimits(peer.roofline)}), ratio ${ratio}`
  );
}

function rate(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(1)} tok/s`;
}

function printComparison(figures: CompareFigures, options: CompareOptions): void {
  const { workload, peerName, dtype, batch, ours, peer, ratios } = figures;
  const range = ({ median: middle, least, most }: Spread): string =>
    `${middle.toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
  const share = (key: string): string => {
    const shares = figures.rounds.map((round) => Number(round.ours.figures[key] ?? Number.NaN));
    return shares.some((each) => Number.isNaN(each)) ? '–' : formatPercent(median(shares));
  };
  const rows: Cell[][] = [
    ['work', `${workload}, batch ${batch}, ${dtype}, ${figures.rounds.length} rounds`],
    ['ours, tokens per second', range(ours)],
    [`${peerName}, tokens per second`, range(peer)],
    ['ratio, pair by pair', ratios.map((each) => each.toFixed(2)).join(' ')],
    ['median ratio', figures.ratio.toFixed(2)],
    ['our share of read speed, of peak', `${share('shareOfBandwidth')}, ${share('shareOfPeak')}`],
  ];
  printResult(options, { table: formatTable(rows), json: { ...figures } });
}
