/** A run of very many steps as a run's folder has it, without having trained. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export function writeLongRun(directory: string, steps: number): void {
  mkdirSync(directory, { recursive: true });
  const model = { modelType: 'deepseek_v3', numHiddenLayers: 4 };
  writeFileSync(join(directory, 'train.json'), JSON.stringify({ name: 'long', steps, model }));
  const lines = [JSON.stringify({ kind: 'start', step: 0, numSteps: steps, totalTokens: null })];
  for (let step = 1; step <= steps; step++) lines.push(JSON.stringify(stepLine(step, steps)));
  writeFileSync(join(directory, 'metrics.jsonl'), `${lines.join('\n')}\n`);
}

function stepLine(step: number, numSteps: number): object {
  // A curve that falls, with a noise that is the same each time.
  const noise = Math.sin(step * 12.9898) * 0.1;
  const mainLoss = 2 + 4 / Math.sqrt(1 + step / 100) + noise;
  return {
    kind: 'step',
    step,
    numSteps,
    tokens: 1024,
    loss: mainLoss * 1.3,
    smoothedLoss: mainLoss,
    mainLoss,
    mtpLoss: mainLoss + 0.2,
    gradientNorm: 1 + 5 * Math.abs(noise),
    learningRate: 1e-3,
    seconds: 1 + noise,
    tokensPerSecond: 1024 / (1 + noise),
  };
}
