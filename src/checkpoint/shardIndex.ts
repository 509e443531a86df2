/** `model.safetensors.index.json` as the Hub has it: which shard each tensor is in. */
import { type TensorInfo, tensorByteLength } from './safetensors.ts';

export const INDEX_FILE = 'model.safetensors.index.json';

export function shardIndexText(shards: ReadonlyMap<string, readonly TensorInfo[]>): string {
  const weightMap: [name: string, file: string][] = [];
  let totalSize = 0;
  for (const [file, tensors] of shards) {
    for (const tensor of tensors) {
      weightMap.push([tensor.name, file]);
      totalSize += tensorByteLength(tensor);
    }
  }
  const index = {
    metadata: { total_size: totalSize },
    weight_map: Object.fromEntries(weightMap.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  return `${JSON.stringify(index, null, 2)}\n`;
}
