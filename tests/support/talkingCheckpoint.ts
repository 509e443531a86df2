/**
 * A checkpoint folder of a few kilobytes that a stranger's program can load and talk with: the
 * smallest V3 model with experts and an MTP module, random weights, and a tokenizer of single
 * bytes.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../src/base/random.ts';
import { checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import { writeCheckpoint } from '../../src/checkpoint/shards.ts';
import { tensorsToWrite } from '../../src/checkpoint/weights.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { v3Mini } from '../../src/config/presets/small.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { createFileSink } from '../../src/runtime/files.ts';
import { BYTE_TO_CODE } from '../../src/tokenizer/byteAlphabet.ts';

const END_OF_TEXT = 256;

/** The output head, and the copy of it that an MTP module carries. */
const HEADS = /(lm_head|shared_head\.head)\.weight$/;

export interface TalkingOptions {
  /** Control tokens behind the end of text, from id 257 on. */
  readonly controlTokens?: readonly string[];
  /** Written into `tokenizer_config.json`; without one there is no such file. */
  readonly chatTemplate?: string;
  /** `endless`: a wide and deep one that takes its time and, when greedy, never ends by itself. */
  readonly speech?: 'brief' | 'endless';
}

const smallest: ModelConfig = {
  ...v3Mini,
  ...{ bosTokenId: END_OF_TEXT, eosTokenId: END_OF_TEXT },
  ...{ hiddenSize: 32, numHiddenLayers: 2, numAttentionHeads: 2, intermediateSize: 48 },
  ...{ nRoutedExperts: 8, moeIntermediateSize: 16, kvLoraRank: 16, qLoraRank: 24 },
};

/** 38 million parameters: some hundreds of tokens a second. */
const endless: ModelConfig = {
  ...smallest,
  ...{ hiddenSize: 512, numHiddenLayers: 48, intermediateSize: 2048 },
};

/** @returns the folder it was given, with config, weights and tokenizer in it */
export async function writeTalkingCheckpoint(
  folder: string,
  { controlTokens = [], chatTemplate, speech = 'brief' }: TalkingOptions = {},
): Promise<string> {
  const model = speech === 'endless' ? endless : smallest;
  const config = { ...model, vocabSize: END_OF_TEXT + 1 + controlTokens.length };
  const shapes = new Map([...checkpointTensors(config)].map(({ name, shape }) => [name, shape]));
  const values = (name: string): Float32Array => {
    const shape = shapes.get(name) ?? [];
    const out = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
    if (name.endsWith('bias')) return out;
    // A stream for each name: the copies that MTP modules carry must equal their originals.
    const random = new Random(2024, name);
    if (shape.length === 1) return out.fill(1);
    for (let i = 0; i < out.length; i++) out[i] = 0.05 * random.normal();
    // Of so many scores one is above zero, always.
    const width = config.hiddenSize;
    const row = END_OF_TEXT * width;
    if (speech === 'endless' && HEADS.test(name)) out.fill(0, row, row + width);
    return out;
  };
  await writeCheckpoint(tensorsToWrite(config, values), {
    create: (file) => createFileSink(join(folder, file), 'new'),
  });
  await writeFile(join(folder, 'config.json'), JSON.stringify(serializeModelConfig(config)));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(byteTokenizer(controlTokens)));
  if (chatTemplate !== undefined) {
    const tokenizerConfig = { chat_template: chatTemplate, bos_token: END, eos_token: END };
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  }
  return folder;
}

const END = '<|end|>';

function byteTokenizer(controlTokens: readonly string[]): object {
  const bytes = Array.from(BYTE_TO_CODE, (code, byte) => [String.fromCharCode(code), byte]);
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const added = [END, ...controlTokens].map((content, i) => {
    return { id: END_OF_TEXT + i, content, special: true, ...plain };
  });
  const settings = { add_prefix_space: false, trim_offsets: false, use_regex: false };
  const byteLevel = { type: 'ByteLevel', ...settings };
  return {
    version: '1.0',
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: 'BPE', vocab: Object.fromEntries(bytes), merges: [] },
  };
}
