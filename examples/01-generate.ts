/**
 * Loads a checkpoint and streams text from it.
 *
 *     node --conditions=moebius-source examples/01-generate.ts [FOLDER] [PROMPT]
 *
 * Without a folder a tiny model is trained first: it knows letters and a few words, after seconds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, resolveTraining, trainModel } from 'moebius';

const [folder = await trainTiny(), prompt = 'Call me'] = process.argv.slice(2);

const model = await loadModel(folder);
const generation = model.generate(prompt, { maxTokens: 60, temperature: 0.7, seed: 1 });

process.stdout.write(prompt);
for await (const text of generation) process.stdout.write(text);

const { numTokens, finishReason } = await generation.finish();
console.log(`\n[${numTokens} tokens, ${finishReason}, on ${model.machine}]`);
model.close();

/** @returns a checkpoint's folder */
async function trainTiny(): Promise<string> {
  const { config } = resolveTraining('tiny', ['steps=40']);
  const directory = mkdtempSync(join(tmpdir(), 'moebius-'));
  process.on('exit', () => rmSync(directory, { recursive: true }));
  const { checkpoint } = await trainModel(config, { directory, onNotice: console.error });
  if (checkpoint === null) throw new Error('the run left no checkpoint');
  return checkpoint.directory;
}
