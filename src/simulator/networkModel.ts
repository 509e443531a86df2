/**
 * What a described network does, as the cost model asks it: seconds of collectives between groups
 * of ranks. The implementation knows links, planes and routes; whoever asks knows only ranks.
 */
import type { Estimate } from './estimate.ts';

/** Ranks `first`, `first + stride`, …: `size` of them. Ranks count through nodes, GPU by GPU. */
export interface RankGroup {
  readonly size: number;
  readonly stride: number;
}

/** Tokens that go to the ranks of their experts and back. */
export interface ExpertExchange {
  /** The ranks over which the experts lie. */
  readonly group: RankGroup;
  /** Tokens that one rank sends. */
  readonly tokensPerRank: number;
  /** Bytes of one token on the wire, scales included. */
  readonly bytesPerToken: number;
  readonly expertsPerToken: number;
  readonly numExperts: number;
  /** The most nodes a token may go to (report, 2.1.2: 4); null limits nothing. */
  readonly nodeLimit: number | null;
  /**
   * Load of the busiest rank over the mean, at least 1: its tokens arrive last, and wait.
   */
  readonly imbalance: number;
  /** SMs given to the transfer; 0 for a co-processor. */
  readonly numSms: number;
  /**
   * `normal` (when absent): a token once to each node, forwarded there. `lowLatency`: a copy to
   * each expert straight away, for decoding.
   */
  readonly kernel?: 'normal' | 'lowLatency';
}

export interface NetworkModel {
  dispatch(exchange: ExpertExchange): Estimate;
  combine(exchange: ExpertExchange): Estimate;
  /** One message between ranks `stride` apart, all such pairs at once. */
  send(args: { readonly bytes: number; readonly stride: number }): Estimate;
  /** `bytes` is the whole tensor, of which each rank ends with (or begins from) its share. */
  reduceScatter(args: { readonly bytes: number; readonly group: RankGroup }): Estimate;
  allGather(args: { readonly bytes: number; readonly group: RankGroup }): Estimate;
  allReduce(args: { readonly bytes: number; readonly group: RankGroup }): Estimate;
  /** Every rank sends `bytes` in total, the same to every other. */
  allToAll(args: { readonly bytes: number; readonly group: RankGroup }): Estimate;
}
