/**
 * Says how long a training step will take before it is run, then runs some and compares.
 *
 * The prediction comes from the model's own code on kernels that compute nothing and write down
 * what they were asked; each of those operations is then measured on this machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { predictTraining, resolveTraining, trainModel } from 'moebius';

const { config } = resolveTraining('tiny', ['steps=12', 'depth=3', 'length=128']);
const predicted = await predictTraining(config);

const milliseconds = (seconds: number): string => `${(seconds * 1000).toFixed(1)} ms`;
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
console.log(`on ${predicted.machine}, ${predicted.parameters.toLocaleString('en')} parameters`);
console.log(
  `memory: ${mebibytes(predicted.stateBytes)} of weights, gradients and moments, ` +
    `${mebibytes(predicted.activationBytes)} of activations`,
);
console.log(`a step: ${milliseconds(predicted.stepSeconds)}, of which`);
for (const { family, seconds } of predicted.operations
  .toSorted((a, b) => b.seconds - a.seconds)
  .slice(0, 5)) {
  console.log(`  ${milliseconds(seconds).padStart(9)} ${family}`);
}

const directory = mkdtempSync(join(tmpdir(), 'moebius-'));
process.on('exit', () => rmSync(directory, { recursive: true }));
const { stepSeconds } = await trainModel(config, { directory });
if (stepSeconds === null) throw new Error('no step was run');
const ratio = stepSeconds / predicted.stepSeconds;
console.log(`measured: ${milliseconds(stepSeconds)} (${ratio.toFixed(2)} × the prediction)`);
