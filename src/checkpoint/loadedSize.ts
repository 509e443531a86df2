/**
 * Bytes that a checkpoint's weights take in memory, from headers or from the config alone: what is
 * stored, but for copies (not loaded), vectors (always f32), and FP8 that begins within a block of
 * scales once it is packed (dequantised).
 */
import type { ModelConfig } from '../config/modelConfig.ts';
import { bytesPerElement } from '../tensor/dtype.ts';
import { FP8_BLOCK } from '../tensor/fp8.ts';
import { numElements } from '../tensor/tensor.ts';
import { checkpointTensors, type WeightDType } from './parameterNames.ts';

/** @param dtypeOf what a weight is stored as, or undefined where it is absent; the config's own */
export function loadedBytes(
  config: ModelConfig,
  dtypeOf?: (name: string) => WeightDType | undefined,
): number {
  let bytes = 0;
  for (const { name, shape, kind, dtype } of checkpointTensors(config)) {
    if (kind === 'copy') continue;
    const stored = dtypeOf === undefined ? dtype : dtypeOf(name);
    if (stored === undefined) continue;
    const isWide = shape.length === 1 || (stored === 'f8e4m3' && !beginsOnBlock(name, shape));
    bytes += numElements(shape) * (isWide ? 4 : bytesPerElement(stored));
  }
  return bytes;
}

/** Gate rows are followed by up rows in one matrix. */
function beginsOnBlock(name: string, [rows = 0]: readonly number[]): boolean {
  return !/\.(gate|up)_proj\.weight$/.test(name) || rows % FP8_BLOCK === 0;
}
