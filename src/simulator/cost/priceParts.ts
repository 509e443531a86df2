/**
 * Seconds of parts and of their transfers, and sums by class of operation for the report. Kernels
 * of one class are off together (one curve made them), classes are off independently: an error
 * adds within a class and in quadrature across.
 */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { EngineTraits } from '../../config/engineTraits.ts';
import type { Estimate, EstimateSource } from '../estimate.ts';
import type { NetworkModel } from '../networkModel.ts';
import { type KernelMachine, kernelTime } from './kernelTime.ts';
import type { ExpertTransferWork, KernelWork, TensorTransferWork } from './stageWork.ts';

/** What of a plan and a model decides a transfer. */
export interface TransferSetting {
  readonly network: NetworkModel;
  readonly cluster: ClusterSpec;
  readonly ep: number;
  readonly tp: number;
  readonly numExperts: number;
  readonly expertsPerToken: number;
  readonly nodeLimit: number | null;
  readonly imbalance: number;
  readonly engine: EngineTraits;
}

export interface OperationSum {
  readonly name: string;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
  readonly source: EstimateSource;
  readonly relativeError: number;
  readonly shareOfLimit: number;
  readonly bound: 'compute' | 'memory' | 'network';
}

/** Adds up kernels and transfers by class. */
export class OperationSums {
  readonly #sums = new Map<string, Mutable>();

  add(name: string, entry: OperationEntry): void {
    const { seconds, flops, bytes, limitSeconds, errorSeconds, bound, source } = entry;
    const sum = this.#sums.get(name);
    if (sum === undefined) {
      const numbers = { seconds, flops, bytes, limitSeconds, errorSeconds };
      const byBound = { compute: 0, memory: 0, network: 0, [bound]: seconds };
      this.#sums.set(name, { ...numbers, byBound, worstSource: source });
      return;
    }
    sum.byBound[bound] += seconds;
    sum.seconds += seconds;
    sum.flops += flops;
    sum.bytes += bytes;
    sum.limitSeconds += limitSeconds;
    sum.errorSeconds += errorSeconds;
    if (sum.worstSource !== source) sum.worstSource = worse(sum.worstSource, source);
  }

  list(): OperationSum[] {
    return [...this.#sums].map(([name, sum]) => ({
      name,
      seconds: sum.seconds,
      flops: sum.flops,
      bytes: sum.bytes,
      source: sum.worstSource,
      relativeError: sum.seconds > 0 ? sum.errorSeconds / sum.seconds : 0,
      shareOfLimit: sum.seconds > 0 ? sum.limitSeconds / sum.seconds : 0,
      bound: largest(sum.byBound),
    }));
  }
}

type Bound = OperationSum['bound'];

/** Of several bounds the one with most time names the class. */
function largest(byBound: Readonly<Record<Bound, number>>): Bound {
  const { compute, memory, network } = byBound;
  if (compute >= memory && compute >= network) return 'compute';
  return memory >= network ? 'memory' : 'network';
}

interface Mutable {
  seconds: number;
  flops: number;
  bytes: number;
  /** What peak and bandwidth alone would take. */
  limitSeconds: number;
  errorSeconds: number;
  /** Seconds. */
  readonly byBound: Record<Bound, number>;
  worstSource: EstimateSource;
}

interface OperationEntry extends Readonly<Omit<Mutable, 'worstSource' | 'byBound'>> {
  readonly bound: Bound;
  readonly source: EstimateSource;
}

const ORDER: readonly EstimateSource[] = ['measured', 'fitted', 'derived', 'extrapolated'];

export function worse(a: EstimateSource, b: EstimateSource): EstimateSource {
  return ORDER.indexOf(a) >= ORDER.indexOf(b) ? a : b;
}

/** @returns seconds of the kernels one after another */
export function priceKernels(
  kernels: readonly KernelWork[],
  machine: KernelMachine,
  sums: OperationSums,
): number {
  const { gpu } = machine;
  let total = 0;
  for (const kernel of kernels) {
    const { seconds, source, relativeError, bound } = kernelTime(kernel, machine);
    const flops = kernel.flops + kernel.recomputedFlops;
    const isFp8 = kernel.class.startsWith('fp8');
    const peak = (isFp8 ? gpu.peakFlops.fp8 : null) ?? gpu.peakFlops.bf16;
    const limitSeconds = Math.max(flops / peak, kernel.bytes / gpu.memoryBytesPerSecond);
    const errorSeconds = relativeError * seconds;
    const { bytes } = kernel;
    sums.add(kernel.class, { seconds, flops, bytes, limitSeconds, errorSeconds, bound, source });
    total += seconds;
  }
  return total;
}

/** @returns seconds of rows going to their experts or back; nothing on one rank */
export function priceTransfer(
  transfer: ExpertTransferWork,
  setting: TransferSetting,
  sums: OperationSums,
): number {
  const { network, cluster, ep, numExperts, expertsPerToken, nodeLimit, imbalance } = setting;
  if (ep === 1) return 0;
  const exchange = {
    group: { size: ep, stride: 1 },
    tokensPerRank: transfer.tokens,
    bytesPerToken: transfer.bytesPerToken,
    ...{ expertsPerToken, numExperts, nodeLimit, imbalance },
    numSms: cluster.communicationSms,
  };
  const rows = transfer.tokens * transfer.bytesPerToken;
  const bytes = rows * expertsPerToken;
  const { expertRows = 'once' } = setting.engine;
  const { group } = exchange;
  if (expertRows === 'perExpert') {
    const leaving = (bytes * imbalance * (ep - 1)) / ep;
    const estimate = network.allToAll({ bytes: leaving, group });
    return noteTransfer(sums, { name: transfer.kind, bytes, estimate, cluster });
  }
  if (expertRows === 'gathered') {
    const collective = transfer.kind === 'dispatch' ? 'allGather' : 'reduceScatter';
    const estimate = network[collective]({ bytes: rows * ep, group });
    return noteTransfer(sums, { name: transfer.kind, bytes: rows * ep, estimate, cluster });
  }
  const estimate = network[transfer.kind](exchange);
  return noteTransfer(sums, { name: transfer.kind, bytes, estimate, cluster });
}

export function priceTensorTransfer(
  transfer: TensorTransferWork,
  setting: TransferSetting,
  sums: OperationSums,
): number {
  const { network, cluster, tp } = setting;
  const { bytes, kind } = transfer;
  const estimate = network[kind]({ bytes, group: { size: tp, stride: 1 } });
  return noteTransfer(sums, { name: kind, bytes, estimate, cluster });
}

function noteTransfer(
  sums: OperationSums,
  args: { name: string; bytes: number; estimate: Estimate; cluster: ClusterSpec },
): number {
  const { name, bytes, estimate, cluster } = args;
  const { seconds, source, relativeError } = estimate;
  sums.add(name, {
    ...{ seconds, flops: 0, bytes, source, bound: 'network' },
    limitSeconds: Math.min(seconds, bytes / cluster.scaleUp.bytesPerSecond),
    errorSeconds: relativeError * seconds,
  });
  return seconds;
}

/**
 * Bytes of a GPU's memory that one token's transfer reads and writes, in token widths: DeepEP's
 * kernels read the token, write, send, receive and read a buffer for each node, and write a buffer,
 * read it and write the row for each expert's rank (dispatch; combine is the reverse). A node is
 * whatever the scale-up network spans.
 */
export function memoryPasses(setting: TransferSetting): number {
  const { cluster, ep, nodeLimit, expertsPerToken } = setting;
  const { domainSize } = cluster.scaleUp;
  const nodes = Math.max(1, Math.min(nodeLimit ?? expertsPerToken, ep / domainSize));
  return 1 + 4 * nodes + 3 * Math.min(expertsPerToken, ep);
}
