/**
 * Speculative decoding: the model's own MTP module drafts tokens, and the model keeps those it
 * would have sampled itself. The text is the same, in fewer passes.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Completion, loadModel, resolveTraining, trainModel } from 'moebius';

const directory = mkdtempSync(join(tmpdir(), 'moebius-'));
process.on('exit', () => rmSync(directory, { recursive: true }));
const file = join(directory, 'counting.txt');
writeFileSync(file, 'one two three four five six seven eight nine ten, and again: '.repeat(300));

const { config } = resolveTraining('tiny', ['steps=60', 'vocabSize=384']);
const data = { ...config.data, sources: [{ path: file, weight: null }] };
const run = await trainModel(
  { ...config, data, learningRate: { ...config.learningRate, peak: 6e-3 } },
  { directory: join(directory, 'run') },
);
const model = await loadModel(run.checkpoint?.directory ?? '');

const options = { maxTokens: 80, temperature: 0.5, seed: 3 };
await model.generate('one two', options).finish(); // the first text warms up
const plain = await timed('plain', options);
for (const speculate of [1, 2]) {
  const drafted = await timed(`${speculate} a step`, { ...options, speculate });
  if (drafted.text !== plain.text) throw new Error('speculation changed the text');
}
console.log(`one two${plain.text.slice(0, 60)}…`);

async function timed(
  name: string,
  settings: Parameters<typeof model.generate>[1],
): Promise<Completion> {
  const started = performance.now();
  const completion = await model.generate('one two', settings).finish();
  const { numTokens, numPasses, numDrafted, numAccepted } = completion;
  const speed = (numTokens / (performance.now() - started)) * 1000;
  const drafts = numDrafted === 0 ? '' : `, ${numAccepted} of ${numDrafted} drafts accepted`;
  console.log(
    `${name.padEnd(9)} ${numTokens} tokens in ${numPasses} passes, ` +
      `${speed.toFixed(0)} tokens/s${drafts}`,
  );
  return completion;
}
