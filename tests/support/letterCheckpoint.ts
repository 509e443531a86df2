/**
 * The trained golden model (24 tokens, an MTP module that predicts well) with a tokenizer that
 * spells its tokens as the letters a to x, so that golden ids can be asked for in text.
 */
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { goldenRoot } from './golden.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwx';

/** @returns the folder it was given */
export function writeLetterCheckpoint(folder: string): string {
  for (const file of ['config.json', 'model.safetensors']) {
    cpSync(join(goldenRoot, 'v3-tiny-trained', file), join(folder, file));
  }
  const settings = { add_prefix_space: false, trim_offsets: false, use_regex: false };
  const byteLevel = { type: 'ByteLevel', ...settings };
  const vocab = Object.fromEntries([...LETTERS].map((letter, id) => [letter, id]));
  const tokenizer = {
    ...{ version: '1.0', added_tokens: [], normalizer: null, post_processor: null },
    ...{ pre_tokenizer: byteLevel, decoder: byteLevel, model: { type: 'BPE', vocab, merges: [] } },
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  return folder;
}

export function lettersOf(ids: readonly number[]): string {
  return ids.map((id) => LETTERS[id] ?? assert.fail(`no letter for ${id}`)).join('');
}
