/**
 * Seconds of one product on tensor cores, from how such kernels work (DeepGEMM, CUTLASS on Hopper):
 *
 *     tiles  = ceil(m / tileM) × ceil(n / tileN) × groups, dealt to the SMs in waves
 *     a tile = tileSeconds + ceil(k / 128) × (stepSeconds + FLOPs of the step / an SM's rate)
 *     time   = launchSeconds + max(waves × tile, bytes / bandwidth)
 *
 * `stepSeconds` is what each 128 deep slice costs beside the tensor core: barriers, and where FP8
 * sums must be promoted every 128 terms the ordinary cores' additions (report, 3.3.2).
 * `tileSeconds` is filling the pipeline and writing the result. The tile is the fastest one, as the
 * libraries choose theirs. Fewer SMs mean more waves.
 */

export interface ProductCurve {
  /** Share of the peak that the tensor core reaches inside of a step. */
  readonly tensorShare: number;
  readonly stepSeconds: number;
  readonly tileSeconds: number;
  readonly launchSeconds: number;
  /** Share of the memory bandwidth. */
  readonly memoryShare: number;
  /** The widest tile, in columns. */
  readonly maxTileN: number;
  /** `together`: one launch deals the tiles of all groups; `apart`: a launch for each. */
  readonly groups: 'together' | 'apart';
}

export interface Product {
  /** Rows of all groups, except in a weight gradient, where a group has `m` rows. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly groups: number;
  readonly bytes: number;
}

/** What of a GPU decides a product's time. */
export interface TensorMachine {
  readonly numSms: number;
  /** Of one SM, FLOP/s. */
  readonly smFlops: number;
  readonly memoryBytesPerSecond: number;
}

export interface ProductTime {
  readonly seconds: number;
  readonly bound: 'compute' | 'memory';
}

const STEP = 128;
const TILES_M = [64, 128];
const TILES_N = [16, 32, 64, 96, 112, 128, 152, 160];

/** @param product with `m` the rows of one group */
export function productTime(
  curve: ProductCurve,
  product: Product,
  machine: TensorMachine,
): ProductTime {
  const { m, n, k, groups, bytes } = product;
  const { numSms, smFlops, memoryBytesPerSecond } = machine;
  const rate = smFlops * curve.tensorShare;
  const steps = Math.ceil(k / STEP);
  const together = curve.groups === 'together' ? groups : 1;
  let best = Number.POSITIVE_INFINITY;
  for (const tileM of TILES_M) {
    for (const tileN of TILES_N) {
      if (tileN > curve.maxTileN) continue;
      const tiles = Math.ceil(m / tileM) * Math.ceil(n / tileN) * together;
      const step = curve.stepSeconds + (2 * tileM * tileN * STEP) / rate;
      const tile = steps * step + curve.tileSeconds;
      best = Math.min(best, Math.ceil(tiles / numSms) * tile);
    }
  }
  const launches = groups / together;
  const compute = best * launches;
  const memory = bytes / (memoryBytesPerSecond * curve.memoryShare);
  return {
    seconds: curve.launchSeconds * launches + Math.max(compute, memory),
    bound: compute >= memory ? 'compute' : 'memory',
  };
}
