/** The options of `moebius bench serve`, beside those that it shares with other benchmarks. */
import type { Command } from 'commander';
import { integerOption, numberOption } from '../../optionValues.ts';

export function addServeBenchOptions(command: Command): void {
  command
    .option('--url <url>', 'serve: a running server, in place of one started here')
    .option('--api-key <key>', 'serve: the server’s key')
    .option('--name <model>', 'serve: the model’s name; the first that is listed')
    .option('--serve <words>', 'serve: options for the server that is started')
    .option('--as-decode', 'serve: decode as bench decode does, to be held against it')
    .option('--without-drafts', 'compare serve: with the same server that does not speculate')
    .option('--concurrency <n>', 'serve: a closed loop of n requests; 8', integerOption(1))
    .option('--request-rate <r>', 'serve: an open loop, r a second', numberOption(1e-6, 1e6))
    .option('--burstiness <x>', 'serve: gamma arrivals; 1 is Poisson', numberOption(1e-3, 1e6))
    .option('--ramp <law>', 'serve: rates as linear:1..20 or exponential:1..20')
    .option('--max-concurrency <n>', 'serve: at once in an open loop', integerOption(1))
    .option('--num-prompts <n>', 'serve: requests in all', integerOption(1))
    .option('--seconds <s>', 'serve: no new requests after s seconds', numberOption(1e-3, 1e9))
    .option('--warmup <n>', 'serve: requests before, not counted', integerOption(0))
    .option('--shared-prefix <share>', 'serve: of made-up prompts, the same', numberOption(0, 1))
    .option('--vocab-size <n>', 'serve: made-up prompts use ids below n', integerOption(1))
    .option('--prompts <file>', 'serve: prompts by lines, or bodies in a .jsonl')
    .option('--endpoint <name>', 'serve: completions or chat')
    .option('--max-tokens <n>', 'serve: tokens of each answer; 128', integerOption(1))
    .option('--temperature <t>', 'serve: 0 is greedy', numberOption(0, 100))
    .option('--ignore-eos', 'serve: go on past the end token')
    .option('--goodput <limits>', 'serve: milliseconds, as ttft:500,tpot:50,e2e:9000')
    .option('--seed <n>', 'serve: of arrivals, prompts and sampling; 0', integerOption(0));
}
