/**
 * `moebius bench compare serve`: what serving costs. The same made-up weights decode the same
 * prompts under HTTP, scheduling and text (`bench serve --as-decode`) and bare (`bench decode`), in
 * turns, each in fresh processes; the client runs on the same cores, so its work counts too. With
 * `--without-drafts` the other side is the same server that does not speculate: what the policy
 * makes of drafts, or loses by them.
 */
import { basename, resolve } from 'node:path';
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
import { checkWeights, type ServeBenchOptions } from './serveOptions.ts';

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
  checkWeights(options);
  const isTiny = options.tiny === true;
  const { dtype = 'f32', batch = 1, serve, model } = options;
  const config = model === undefined ? (options.config ?? 'v3-small') : basename(resolve(model));
  const via = options.via?.split(' ').filter((word) => word !== '') ?? [];
  const weights = model === undefined ? ['--config', config, '--dtype', dtype] : ['--model', model];
  const common = [...weights, ...kernelsOf(options)];
  const tokens = ['--tokens', `${options.tokens ?? (isTiny ? 4 : 64)}`];
  const tiny = isTiny ? ['--tiny'] : [];
  const served = (words: string | undefined): Command => {
    const given = words === undefined ? [] : ['--serve', words];
    const load = ['serve', '--as-decode', '--concurrency', `${batch}`, ...given];
    return moebiusCommand([...load, ...common, ...tokens, ...tiny]);
  };
  const isDraftless = options.withoutDrafts === true;
  const ours = served(serve);
  const bare = isDraftless
    ? served(`${serve ?? ''} --speculate off`.trim())
    : moebiusCommand(['decode', '--batch', `${batch}`, ...common, ...tokens, ...tiny]);
  const peerName = isDraftless ? 'the same server without drafts' : 'the kernels alone';
  note(`served: moebius ${ours.args.slice(1).join(' ')}`);
  note(`${isDraftless ? 'without drafts' : 'bare'}: moebius ${bare.args.slice(1).join(' ')}`);
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
    ...{ workload: 'serve', peerName, config, dtype, batch },
    ...comparison,
    ratioOfMeans: median(means),
  };
  printResult(options, { table: table(figures), json: { ...figures } });
  return figures;
}

function describeTurns({ ours, peer }: Comparison['rounds'][number]): string {
  const ratio = (ours.tokensPerSecond / peer.tokensPerSecond).toFixed(3);
  const rates = [ours, peer].map(({ tokensPerSecond }) => `${tokensPerSecond.toFixed(1)} tok/s`);
  return `served ${rates[0]}, other ${rates[1]}, ratio ${ratio}`;
}

function table(figures: ServeComparison): string {
  const { config, dtype, batch, ours, peer, ratios, ratio, ratioOfMeans } = figures;
  const range = ({ median: middle, least, most }: Spread): string =>
    `${middle.toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
  const share = formatPercent(Math.abs(1 - ratio));
  const rows: Cell[][] = [
    ['work', `decode, batch ${batch}, ${config}, ${dtype}, ${figures.rounds.length} rounds`],
    ['served, tokens per second', range(ours)],
    [`${figures.peerName}, tokens per second`, range(peer)],
    ['ratio, pair by pair', ratios.map((each) => each.toFixed(3)).join(' ')],
    ['median ratio', `${ratio.toFixed(3)}: ${ratio < 1 ? 'costs' : 'gains'} ${share}`],
    ['the same of the means', `${ratioOfMeans.toFixed(3)}: stalls count here`],
  ];
  return formatTable(rows);
}
