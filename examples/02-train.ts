/**
 * Trains a tiny DeepSeek-V3 on text of one's own, watches it learn, and lets it speak.
 *
 * A recipe gives every setting; spreading it changes some. The run's folder holds checkpoints that
 * other programs read too (config.json, safetensors, tokenizer.json), metrics.jsonl and TensorBoard
 * files; `resume: true` goes on after a crash, bit for bit.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadModel, resolveTraining, type TrainConfig, trainModel } from 'moebius';

const directory = mkdtempSync(join(tmpdir(), 'moebius-'));
process.on('exit', () => rmSync(directory, { recursive: true }));
const file = join(directory, 'rhymes.txt');
const names = ['Ann', 'Ben', 'Cleo', 'Dan'];
const rhyme = names.map((name) => `${name} had a little lamb, its fleece was white as snow.`);
writeFileSync(file, `${rhyme.join('\n')}\n`.repeat(100));

const { config: tiny } = resolveTraining('tiny', ['steps=60', 'vocabSize=384']);
const config: TrainConfig = {
  ...tiny,
  data: { ...tiny.data, sources: [{ path: file, weight: null }] },
  learningRate: { ...tiny.learningRate, peak: 6e-3 },
  sample: { ...tiny.sample, prompts: [] },
};

const run = await trainModel(config, {
  directory: join(directory, 'run'),
  onEvent: (event) => {
    if (event.kind !== 'step' || event.step % 10 !== 0) return;
    console.log(`step ${event.step}: loss ${event.mainLoss.toFixed(3)} nats per token`);
  },
});
console.log(`held-out text: ${run.validationBitsPerByte?.toFixed(3)} bits per byte`);

const model = await loadModel(run.checkpoint?.directory ?? '');
const { text } = await model.generate('Ben had', { maxTokens: 30, temperature: 0 }).finish();
console.log(`Ben had${text}`);
