/** A folder of made-up weights with all that a server needs beside them: config and tokenizer. */
import { randomTensors } from '../checkpoint/randomWeights.ts';
import { tensorByteLength } from '../checkpoint/safetensors.ts';
import { writeCheckpoint } from '../checkpoint/shards.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { serializeModelConfig } from '../config/serializeModelConfig.ts';
import { writeFolder } from './files.ts';

export interface RandomCheckpointOptions {
  readonly path: string;
  readonly config: ModelConfig;
  readonly seed: number;
  /** Small files beside the weights, by name. */
  readonly texts: Readonly<Record<string, string>>;
  readonly maxShardBytes?: number;
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

/** @returns bytes written */
export async function writeRandomCheckpoint(options: RandomCheckpointOptions): Promise<number> {
  const { path, config, seed, texts, maxShardBytes, onProgress } = options;
  const tensors = randomTensors(config, seed);
  const totalBytes = tensors.reduce((sum, tensor) => sum + tensorByteLength(tensor), 0);
  let bytesMade = 0;
  const counted = tensors.map((tensor) => ({
    ...tensor,
    bytes: () => {
      bytesMade += tensorByteLength(tensor);
      onProgress?.(bytesMade, totalBytes);
      return tensor.bytes();
    },
  }));
  return writeFolder(path, async ({ create, writeText }) => {
    await writeText('config.json', `${JSON.stringify(serializeModelConfig(config), null, 2)}\n`);
    for (const [name, text] of Object.entries(texts)) await writeText(name, text);
    await writeCheckpoint(counted, {
      create,
      ...(maxShardBytes === undefined ? {} : { maxShardBytes }),
    });
  });
}
