/**
 * `moebius bench compare serve`: what serving costs. The same made-up weights decode the same
 * prompts under HTTP, scheduling and text (`bench serve --as-decode`) and bare (`bench decode`), in
 * turns, each in fresh processes; the client runs on the same cores, so its work counts too.
 */
import { median } from '../../../base/median.ts';
import { formatPercent } from '../../../base/units.ts';
import { type Cell, formatTable, note, printResult } from '../../output.ts';
import {
  type CompareOptions,
  type Comparison,
  compareInTurns,
  kernelsOf,
  limitsIn,
  moebiusCommand,
  type Spread,
  type Turn,
  withoutLists,
} from '../compareBench.ts';
import { type Command, type Figures, figure, runCommand } from '../runCommand.ts';
import type { ServeBenchOptions } from './serveOptions.ts';

export interface ServeComparison extends Comparison {
  readonly config: string;
  readonly workload: 'serve';
  readonly peerName: string;
  readonly dtype: string;
  readonly batch: number;
  /** Of the means over the window, where stalls count: the median pair by pair. */
  readonly ratioOfMeans: number;
}

/** @throws bench.peerFailed, and what the two benchmarks throw */
export async function compareServe(
  options: CompareOptions & ServeBenchOptions,
): Promise<ServeComparison> {
  const isTiny = options.tiny === true;
  const { config = 'v3-small', dtype = 'f32', batch = 1, serve } = options;
  const via = options.via?.split(' ').filter((word) => word !== '') ?? [];
  const common = ['--config', config, '--dtype', dtype, ...kernelsOf(options)];
  const tokens = ['--tokens', `${options.tokens ?? (isTiny ? 4 : 64)}`];
  const tiny = isTiny ? ['--tiny'] : [];
  const words = serve === undefined ? [] : ['--serve', serve];
  const served = ['serve', '--as-decode', '--concurrency', `${batch}`, ...words];
  const ours = moebiusCommand([...served, ...common, ...tokens, ...tiny]);
  const bare = moebiusCommand(['decode', '--batch', `${batch}`, ...common, ...tokens, ...tiny]);
  note(`served: moebius ${ours.args.slice(1).join(' ')}`);
  note(`bare: moebius ${bare.args.slice(1).join(' ')}`);
  const turn = (command: Command) => async (): Promise<Turn> => {
    const figures = await runCommand(command, via);
    const tokensPerSecond = figure(figures, 'tokensPerSecond');
    return { tokensPerSecond, roofline: limitsIn(figures), figures: withoutLists(figures) };
  };
  const comparison = await compareInTurns({
    rounds: options.rounds ?? (isTiny ? 1 : 5),
    ours: turn(ours),
    peer: turn(bare),
    onRound: (round, turns) => note(`round ${round}: ${describeTurns(turns)}`),
  });
  const mean = (figures: Figures): number => figure(figures, 'tokensPerSecondMean');
  const means = comparison.rounds.map((each) => mean(each.ours.figures) / mean(each.peer.figures));
  const figures: ServeComparison = {
    ...{ workload: 'serve', peerName: 'the kernels alone', config, dtype, batch },
    ...comparison,
    ratioOfMeans: median(means),
  };
  printResult(options, { table: table(figures), json: { ...figures } });
  return figures;
}

function describeTurns({ ours, peer }: Comparison['rounds'][number]): string {
  const ratio = (ours.tokensPerSecond / peer.tokensPerSecond).toFixed(3);
  const rates = [ours, peer].map(({ tokensPerSecond }) => `${tokensPerSecond.toFixed(1)} tok/s`);
  return `served ${rates[0]}, bare ${rates[1]}, ratio ${ratio}`;
}

function table(figures: ServeComparison): string {
  const { config, dtype, batch, ours, peer, ratios, ratio, ratioOfMeans } = figures;
  const range = ({ median: middle, least, most }: Spread): string =>
    `${middle.toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
  const rows: Cell[][] = [
    ['work', `decode, batch ${batch}, ${config}, ${dtype}, ${figures.rounds.length} rounds`],
    ['served, tokens per second', range(ours)],
    ['bare kernels, tokens per second', range(peer)],
    ['ratio, pair by pair', ratios.map((each) => each.toFixed(3)).join(' ')],
    ['median ratio', `${ratio.toFixed(3)}: serving costs ${formatPercent(1 - ratio)}`],
    ['the same of the means', `${ratioOfMeans.toFixed(3)}: stalls count here`],
  ];
  return formatTable(rows);
}
