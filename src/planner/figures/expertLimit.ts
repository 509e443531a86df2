/**
 * The bound that expert exchange alone sets on decoding (ISCA 2025, 2.3.2): a device sends the
 * tokens of its batch to their experts in FP8 and gets them back in BF16, and everything else is
 * taken to hide behind it. Two micro-batches take turns, so a layer has two exchanges.
 */

export interface ExchangeOptions {
  readonly tokensPerDevice: number;
  /** Devices a token goes to: its routed experts and the shared one. */
  readonly destinations: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  /** Of one device, one way. */
  readonly bytesPerSecond: number;
}

export interface ExpertLimit {
  /** One dispatch and one combine. */
  readonly exchangeSeconds: number;
  /** Both micro-batches. */
  readonly layerSeconds: number;
  /** One token of a sequence through all layers. */
  readonly tokenSeconds: number;
  readonly tokensPerSecond: number;
}

const DISPATCH_BYTES = 1;
const COMBINE_BYTES = 2;

export function expertLimit(options: ExchangeOptions): ExpertLimit {
  const { tokensPerDevice, destinations, hiddenSize, numLayers, bytesPerSecond } = options;
  const numbers = tokensPerDevice * destinations * hiddenSize;
  const exchangeSeconds = ((DISPATCH_BYTES + COMBINE_BYTES) * numbers) / bytesPerSecond;
  const layerSeconds = 2 * exchangeSeconds;
  const tokenSeconds = numLayers * layerSeconds;
  return { exchangeSeconds, layerSeconds, tokenSeconds, tokensPerSecond: 1 / tokenSeconds };
}
