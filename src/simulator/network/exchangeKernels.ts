/**
 * What published dispatch and combine kernels make of the links: a few shares, fitted to DeepEP's
 * tables (its README at three dates, and ISCA 2025, figure 7) and to nothing else.
 *
 * The tables give *logical* bandwidth: bytes to every distinct node (or rank) of a token, its own
 * included, over the time. At EP64 an eighth of that never leaves the node, so 51 GB/s are 44.6
 * on a NIC of 50; at EP16 a half, so 43 GB/s are 21.5, and the NIC is not what bounds it: 24 SMs
 * forward 140 GB/s inside the node, on H800 and H20 alike. Worked out so, the cells agree:
 *
 * | quantity | cells | fit |
 * | --- | --- | --- |
 * | fixed time | low latency EP8 to EP64: 34.1 to 36.3 µs | 34 µs |
 * | NIC share of the reached 46 GB/s, 2025-02 | EP32, EP64: 33.2 to 41.0 GB/s | 0.81 |
 * | …, 2025-06 | EP32, EP64, EP128: 39.1 to 45.3 GB/s | 0.95 |
 * | …, 2026 (V2) | EP 8 × 2 dispatch, 8 × 4: 45.4 to 46.1 GB/s | 1 |
 * | forwarding, V1 | EP16: 142.4 and 144.2 GB/s by 24 SMs | 5.97 GB/s each |
 * | copying inside the node, V1 | report 3.2.2: 20 SMs reach 160 GB/s | 8 GB/s each |
 * | both, V2 | 24 SMs on B200, 12 on H100: 22.4 to 29.2 GB/s each | 26.6 GB/s each |
 *
 * Within NVLink alone, EP8's 153 and 158 GB/s are the 160 of the link after the fixed time.
 * `exchangeTables.test.ts` repeats the fit and holds every cell.
 */

/**
 * `deepep-2025-02`: first release. `deepep-2025-06`: RDMA part rewritten in April 2025, low latency
 * over NVLink inside nodes in June. `deepep-v2`: 2026, few SMs.
 */
export type ExchangeVersion = 'deepep-2025-02' | 'deepep-2025-06' | 'deepep-v2';

export interface ExchangeKernels {
  readonly version: ExchangeVersion;
  /** Start, flags and the wait for the slowest, seconds. */
  readonly fixedSeconds: number;
  /** Of what a NIC reaches (`achievableShare`). */
  readonly nicShare: number;
  /** Bytes per second that one SM copies to ranks of its own node, and forwards for others. */
  readonly copyBytesPerSm: number;
  readonly forwardBytesPerSm: number;
  /** Low-latency messages between ranks of one node take NVLink and not the NIC. */
  readonly lowLatencyUsesScaleUp: boolean;
  /** One standard deviation over the tables' cells of this version. */
  readonly relativeError: number;
}

const FIXED_SECONDS = 34e-6;

export const exchangeKernels: Readonly<Record<ExchangeVersion, ExchangeKernels>> = {
  'deepep-2025-02': {
    version: 'deepep-2025-02',
    fixedSeconds: FIXED_SECONDS,
    nicShare: 0.81,
    copyBytesPerSm: 8e9,
    forwardBytesPerSm: 5.97e9,
    lowLatencyUsesScaleUp: false,
    relativeError: 0.07,
  },
  'deepep-2025-06': {
    version: 'deepep-2025-06',
    fixedSeconds: FIXED_SECONDS,
    nicShare: 0.95,
    copyBytesPerSm: 8e9,
    forwardBytesPerSm: 5.97e9,
    lowLatencyUsesScaleUp: true,
    relativeError: 0.05,
  },
  'deepep-v2': {
    version: 'deepep-v2',
    fixedSeconds: FIXED_SECONDS,
    nicShare: 1,
    copyBytesPerSm: 26.6e9,
    forwardBytesPerSm: 26.6e9,
    lowLatencyUsesScaleUp: true,
    relativeError: 0.08,
  },
};

/** NVLink of H800 is 200 GB/s; H100 and later have 450 and more. */
const FAST_SCALE_UP = 300e9;

/**
 * The version whose table was measured on such links: of anything with faster NVLink than H800's,
 * V2; of H800 the first, as the products' curves are those of the first release too, or with
 * `later` the one of June 2025.
 */
export function defaultExchangeVersion(
  scaleUpBytesPerSecond: number,
  release: 'first' | 'later' = 'first',
): ExchangeVersion {
  if (scaleUpBytesPerSecond > FAST_SCALE_UP) return 'deepep-v2';
  return release === 'first' ? 'deepep-2025-02' : 'deepep-2025-06';
}
