/**
 * Tensor-parallel transfers beside the products they feed, as Transformer Engine runs them with the
 * settings that NeMo gives for its benchmarks (recipes/tp_overlap_configs/userbuffers.py):
 *
 *     forward, gathered before a product     a ring: a piece of rows for each rank
 *     forward, scattered behind a product    in 4 pieces; the transfer takes 16 to 24 SMs from it
 *     backward, gathered before a product    a ring
 *     backward, scattered behind a product   whole: the other product's transfer runs beside it
 *
 * A piece has as many columns and as deep a sum, but fewer rows, so it fills the card less well.
 */
import type { EngineTraits } from '../../config/engineTraits.ts';
import type { KernelMachine } from './kernelTime.ts';
import { type OperationSums, priceKernels } from './priceParts.ts';
import type { KernelWork, PassName } from './stageWork.ts';

interface Overlap {
  readonly engine: EngineTraits;
  readonly tp: number;
  readonly pass: PassName;
}

/** Of the 16 to 24 that a scattering transfer takes. */
const SCATTER_SMS = 20;
const SCATTER_PIECES = 4;

/** Seconds of a step's kernels where sharded products run beside their transfers. */
export function priceBesideTransfers(
  kernels: readonly KernelWork[],
  { machine, sums, overlap }: { machine: KernelMachine; sums: OperationSums; overlap: Overlap },
): number {
  if (!isPipelined(overlap)) return priceKernels(kernels, machine, sums);
  const scatters = (kernel: KernelWork): boolean =>
    overlap.pass === 'forward' && isProduct(kernel) && isRowSharded(kernel);
  const others = kernels.filter((kernel) => !scatters(kernel));
  const behind = kernels.filter(scatters);
  const smaller = {
    ...machine,
    numSms: machine.numSms - SCATTER_SMS,
    freeSms: machine.freeSms - SCATTER_SMS,
  };
  return (
    priceKernels(
      others.flatMap((kernel) => ringPieces(kernel, overlap)),
      machine,
      sums,
    ) +
    priceKernels(
      behind.flatMap((kernel) => inPieces(kernel, SCATTER_PIECES)),
      smaller,
      sums,
    )
  );
}

/**
 * What shows of a step's transfers: pipelined in as many pieces as ranks, the first piece travels,
 * or the last one computes, alone.
 */
export function shownSeconds(
  transfers: number,
  { products, overlap }: { readonly products: number; readonly overlap: Overlap },
): number {
  const { engine, tp } = overlap;
  const { tensorTransfers = 'alone' } = engine;
  if (tensorTransfers === 'alone' || transfers === 0) return transfers;
  if (tensorTransfers !== 'pipelined') return transfers * (1 - tensorTransfers.hiddenShare);
  return Math.max(transfers / tp, transfers - (products * (tp - 1)) / tp);
}

function isPipelined({ engine, pass }: Overlap): boolean {
  return engine.tensorTransfers === 'pipelined' && pass !== 'backwardWeight';
}

function ringPieces(kernel: KernelWork, { pass, tp }: Overlap): KernelWork[] {
  const gathers = pass === 'forward' ? !isRowSharded(kernel) : isRowSharded(kernel);
  return isProduct(kernel) && gathers ? inPieces(kernel, tp) : [kernel];
}

function isProduct(kernel: KernelWork): boolean {
  return kernel.class === 'fp8Gemm' || kernel.class === 'bf16Gemm';
}

/** Sharded along what is summed over: its result is scattered. */
function isRowSharded({ what }: KernelWork): boolean {
  return what.endsWith('o_proj') || what.endsWith('down_proj');
}

function inPieces(kernel: KernelWork, count: number): KernelWork[] {
  const { m, flops, recomputedFlops, bytes } = kernel;
  const piece = {
    ...kernel,
    m: m / count,
    flops: flops / count,
    recomputedFlops: recomputedFlops / count,
    bytes: bytes / count,
  };
  return Array.from({ length: count }, () => piece);
}
