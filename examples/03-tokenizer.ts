/**
 * Trains a byte-level BPE tokenizer, saves it as the tokenizer.json that other programs read, and
 * shows how it cuts text. Every byte has a token, so any text comes back as it was.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer, saveTokenizerJson, trainBpe } from 'moebius';

const root = new URL('..', import.meta.url);
const texts = ['README.md', 'STYLE.md', 'ARCHITECTURE.md'].map((name) =>
  readFileSync(new URL(name, root), 'utf8'),
);

const directory = mkdtempSync(join(tmpdir(), 'moebius-'));
process.on('exit', () => rmSync(directory, { recursive: true }));
const path = join(directory, 'tokenizer.json');
writeFileSync(path, saveTokenizerJson(trainBpe(texts, { vocabSize: 1024 })));

const tokenizer = loadTokenizer(readFileSync(path));
console.log(`${tokenizer.vocabSize} tokens`);

const sentence = 'the experts of a layer, and a token that meets three of them';
const tokens = [...tokenizer.encode(sentence)].map((id) => tokenizer.decode([id]));
console.log(tokens.join('|'));

for (const text of [sentence, '层里的专家', 'ζ🙂\u0000']) {
  const ids = tokenizer.encode(text);
  console.log(`${JSON.stringify(text)}: ${Buffer.byteLength(text)} bytes, ${ids.length} tokens`);
  if (tokenizer.decode(ids) !== text) throw new Error('the text did not come back');
}

const all = texts.join('');
const bytesPerToken = Buffer.byteLength(all) / tokenizer.encode(all).length;
console.log(`${bytesPerToken.toFixed(2)} bytes per token on the text it was trained on`);
