/**
 * What an interconnect allows at most when experts lie one to a device (ISCA 2025, 2.3.2).
 *
 * A token is dispatched in FP8 (1 byte) and combined in BF16 (2 bytes) to and from its 8 routed
 * experts and the shared one. With two micro-batches in turn, computing is hidden and a layer
 * takes two such exchanges; bandwidth alone counts, no latency:
 *
 * ```
 * exchange = (1 + 2) B × 32 tokens × 9 × 7000 / bandwidth        120.96 µs at 50 GB/s
 * layer    = 2 × exchange,   token = 61 × layer                   14.76 ms, 67 tokens/s
 * ```
 *
 * The paper's 7K is 7,000; with V3's hidden width of 7,168 the same sum is 123.9 µs.
 */

export interface DecodeLimitSetting {
  readonly bytesPerSecond: number;
  readonly tokensPerDevice: number;
  /** Routed experts of a token, and the shared one. */
  readonly destinations: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly dispatchBytes: number;
  readonly combineBytes: number;
}

export interface DecodeLimit {
  readonly exchangeSeconds: number;
  readonly layerSeconds: number;
  readonly secondsPerToken: number;
  readonly tokensPerSecond: number;
}

/** The paper's numbers but for the bandwidth. */
export const paperDecodeSetting: Omit<DecodeLimitSetting, 'bytesPerSecond'> = {
  tokensPerDevice: 32,
  destinations: 9,
  hiddenSize: 7000,
  numLayers: 61,
  dispatchBytes: 1,
  combineBytes: 2,
};

export function decodeLimit(setting: DecodeLimitSetting): DecodeLimit {
  const { tokensPerDevice, destinations, hiddenSize, dispatchBytes, combineBytes } = setting;
  const bytes = (dispatchBytes + combineBytes) * tokensPerDevice * destinations * hiddenSize;
  const exchangeSeconds = bytes / setting.bytesPerSecond;
  const layerSeconds = 2 * exchangeSeconds;
  const secondsPerToken = setting.numLayers * layerSeconds;
  return { exchangeSeconds, layerSeconds, secondsPerToken, tokensPerSecond: 1 / secondsPerToken };
}
